"""Block addresses that fail to log in too often, on every node of a Stalwart 0.15 cluster.

    tail -F stalwart.log | STALWART_API=http://127.0.0.1:8080 STALWART_TOKEN=... \\
        python block_addresses.py /etc/stalwart/config.toml 2000

It reads log lines from its standard input. An address with five failures within a minute is written
into the settings of Stalwart through its HTTP API, and ``ReloadBlockedIps`` lets all nodes read it.
"""

import asyncio
import collections
import ipaddress
import json
import os
import re
import sys
import time
import urllib.request

import fastcoord
from fastcoord import ReloadBlockedIps

FAILURE = re.compile(r"\(auth\.failed\).*\bremoteIp = ([0-9a-fA-F.:]+)")
FAILURES = 5
PERIOD = 60.0


class Failures:
    """The recent failures of each address."""

    def __init__(self) -> None:
        self._times: dict[str, collections.deque[float]] = {}

    def note(self, address: str, now: float) -> bool:
        """Note one failure.

        :return: whether the address has reached the limit.
        """
        times = self._times.setdefault(address, collections.deque(maxlen=FAILURES))
        times.append(now)
        if len(times) < FAILURES or now - times[0] > PERIOD:
            self._forget(now)
            return False
        del self._times[address]
        return True

    def _forget(self, now: float) -> None:
        for address in [key for key, times in self._times.items() if now - times[-1] > PERIOD]:
            del self._times[address]


def write_block(address: str) -> None:
    """Add an address to the blocked ones in the settings of Stalwart."""
    change = {
        "type": "insert",
        "prefix": "server.blocked-ip",
        "values": [[address, ""]],
        "assert_empty": False,
    }
    request = urllib.request.Request(
        f"{os.environ['STALWART_API']}/api/settings",
        json.dumps([change]).encode(),
        {
            "Authorization": f"Bearer {os.environ['STALWART_TOKEN']}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        answer.read()


async def main(config: str, node_id: str) -> None:
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    failures = Failures()
    async with fastcoord.connect(config, node_id=int(node_id)) as node:
        async for line in lines:
            found = FAILURE.search(line.decode("utf-8", "replace"))
            if found is None or not failures.note(found[1], time.monotonic()):
                continue
            address = str(ipaddress.ip_address(found[1]))
            try:
                await asyncio.to_thread(write_block, address)
            except OSError as error:
                print(f"{address} is not blocked: {error}", file=sys.stderr, flush=True)
                continue
            # A node that misses the event reads the stored address when it starts again.
            await node.publish(ReloadBlockedIps())
            await node.flush()
            print(f"blocked {address}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
