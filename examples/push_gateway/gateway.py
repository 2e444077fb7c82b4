"""Tell connected clients which of their accounts have changed.

    FASTCOORD_SERVERS=nats://127.0.0.1:4222 python gateway.py 3000 7000

A client connects by TCP and sends the number of an account in one line. It receives a line
``changed 7 Email,Thread`` for each change, and ``refresh`` when changes may be missing.
"""

import asyncio
import collections
import sys

import fastcoord
from fastcoord import DataType, Missed, StateChange

WAITING = 100
"""A client that reads too slowly, so that more lines would wait, gets ``refresh`` instead."""


class Client:
    """The lines that wait for one client."""

    def __init__(self) -> None:
        self._lines: collections.deque[str] = collections.deque()
        self._is_filled = asyncio.Event()

    def put(self, line: str) -> None:
        if len(self._lines) >= WAITING:
            self._lines.clear()
            line = "refresh"
        self._lines.append(line)
        self._is_filled.set()

    async def send_to(self, writer: asyncio.StreamWriter) -> None:
        while True:
            await self._is_filled.wait()
            while self._lines:
                writer.write(f"{self._lines.popleft()}\n".encode())
                await writer.drain()
            self._is_filled.clear()


class Gateway:
    """The clients by account."""

    def __init__(self) -> None:
        self._clients: dict[int, set[Client]] = {}

    async def follow(self, events: fastcoord.Subscription) -> None:
        async for event in events:
            match event:
                case StateChange(account_id=account, types=types):
                    names = ",".join(kind.name.title() for kind in DataType if kind & types)
                    for client in self._clients.get(account, ()):
                        client.put(f"changed {account} {names}")
                case Missed():
                    for clients in self._clients.values():
                        for client in clients:
                            client.put("refresh")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Client()
        sending = None
        try:
            account = int(await reader.readline())
            clients = self._clients.setdefault(account, set())
            clients.add(client)
            client.put(f"following {account}")
            sending = asyncio.create_task(client.send_to(writer))
            try:
                await reader.read()  # until the client closes
            finally:
                sending.cancel()
                clients.discard(client)
                if not clients:
                    self._clients.pop(account, None)
        except (ValueError, OSError):
            pass  # not a number, or the connection is lost
        finally:
            writer.close()


async def main(node_id: str, port: str) -> None:
    gateway = Gateway()
    async with (
        fastcoord.connect(node_id=int(node_id)) as node,
        node.subscribe(kinds=[StateChange]) as events,
        await asyncio.start_server(gateway.serve, "127.0.0.1", int(port)) as server,
    ):
        print(f"listening on {server.sockets[0].getsockname()[1]}", flush=True)
        await gateway.follow(events)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
