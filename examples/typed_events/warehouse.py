"""Print what the warehouse has to do.

FASTCOORD_SERVERS=nats://127.0.0.1:4222 python warehouse.py 2
"""

import asyncio
import sys

from orders import OrderCancelled, OrderPlaced

import fastcoord
from fastcoord import AppEvent, Missed


async def main(node_id: int) -> None:
    async with (
        fastcoord.connect(node_id=node_id, protocol="fastcoord-1") as node,
        # Other events of the cluster are dropped before an object is made of them.
        node.subscribe(kinds=[OrderPlaced, OrderCancelled]) as events,
    ):
        print("ready", flush=True)
        async for event in events:
            match event:
                case OrderPlaced(order=order, articles=articles, express=express):
                    print(f"pack {order} {articles}{' at once' if express else ''}", flush=True)
                case OrderCancelled(order=order, reason=reason):
                    print(f"cancel {order}: {reason} (node {events.sender})", flush=True)
                    if reason == "out of stock":
                        return
                case AppEvent(kind=kind):
                    # A payload that does not fit the class of its kind.
                    print(f"unreadable event of kind {kind}: look at the orders", flush=True)
                case Missed():
                    print("events are lost: look at all orders", flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
