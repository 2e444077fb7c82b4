"""Place orders.

FASTCOORD_SERVERS=nats://127.0.0.1:4222 python shop.py 1
"""

import asyncio
import sys

import msgspec
from orders import OrderCancelled, OrderPlaced

import fastcoord
from fastcoord import AppEvent


async def main(node_id: int) -> None:
    async with fastcoord.connect(node_id=node_id, protocol="fastcoord-1") as node:
        await node.publish(
            OrderPlaced(1, {"tea": 2}, express=True),
            OrderPlaced(2, {"cup": 1}),
            OrderCancelled(2),
        )
        # What a program of another version could send: one fits the class, one does not.
        for fields in ({"order": 3, "articles": {}, "gift": "yes"}, {"order": "four"}):
            await node.publish(AppEvent(1, msgspec.msgpack.encode(fields)))
        await node.publish(OrderCancelled(1, reason="out of stock"))
        await node.flush()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
