"""End on SIGTERM without losing an event that was accepted.

    FASTCOORD_SERVERS=nats://127.0.0.1:4222 python service.py 1

``docker stop``, systemd and Kubernetes send SIGTERM, wait for some seconds, then kill the process.
"""

import asyncio
import signal
import sys

import msgspec

import fastcoord

CLOSE_TIMEOUT = 5.0
"""Seconds; less than what the process manager waits (10 s in Docker, 30 s in Kubernetes)."""


@fastcoord.event(kind=1)
class Numbered(msgspec.Struct, frozen=True):
    number: int


async def work(node: fastcoord.Node) -> None:
    number = 0
    while True:
        await node.publish(Numbered(number))
        number += 1
        await asyncio.sleep(0.001)


async def main(node_id: int) -> int:
    loop = asyncio.get_running_loop()
    node = await fastcoord.connect(node_id=node_id, protocol="fastcoord-1")
    try:
        working = asyncio.create_task(work(node))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, working.cancel)
        print("working", flush=True)
        await asyncio.wait({working})
        if not working.cancelled():
            working.result()  # raises what has ended the work
    finally:
        # Sends what was accepted, waits for its confirmation, and tells the other nodes.
        unconfirmed = await node.close(CLOSE_TIMEOUT)
    stats = node.stats()
    print(f"accepted {stats.accepted}, unconfirmed {unconfirmed}", flush=True)
    return 1 if unconfirmed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]))))
