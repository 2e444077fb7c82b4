"""The loss of a connection is reported however early it comes."""

import asyncio
import json

import pytest

import fastcoord
from fastcoord import ConnectError
from fastcoord.nats.connection import Connection
from fastcoord.nats.servers import Server
from support.cluster.nodes import node_toml
from support.receiving.messages import Collector
from support.wait import until

INFO = json.dumps(
    {"server_id": "brief", "version": "2.12.0", "max_payload": 1 << 20, "headers": True}
)


class BriefServer:
    """Complete the handshake, and close the connection some iterations of the event loop later."""

    def __init__(self, iterations: int) -> None:
        self.iterations = iterations
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"INFO {INFO}\r\n".encode())
        await reader.readuntil(b"PING\r\n")
        writer.write(b"PONG\r\n")
        for _ in range(self.iterations):
            await asyncio.sleep(0)
        writer.close()

    async def __aenter__(self) -> "BriefServer":
        self.listener = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        port = self.listener.sockets[0].getsockname()[1]
        self.url = f"nats://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *error: object) -> None:
        self.listener.close()
        await self.listener.wait_closed()


class Owner:
    """Record the losses that a connection reports."""

    def __init__(self) -> None:
        self.lost: list[str] = []

    def connection_writable(self) -> None: ...

    def connection_leaving(self, connection: object) -> None: ...

    def connection_servers(self, connection: object) -> None: ...

    def connection_refused(self, connection: object, reason: str) -> None: ...

    def connection_lost(self, connection: object, reason: str) -> None:
        self.lost.append(reason)


@pytest.mark.parametrize("iterations", range(12))
async def test_early_loss_is_reported(iterations: int) -> None:
    async with BriefServer(iterations) as server:
        config = fastcoord.parse_config(node_toml(server))
        for _ in range(20):
            owner = Owner()
            connection = Connection(config, Server(config.nats.address[0]), Collector(), owner)
            try:
                await connection.open()
            except ConnectError:
                assert owner.lost == []
            else:
                await until(lambda owner=owner: owner.lost)
            await connection.close()


async def test_aborted_connection_reports_once() -> None:
    async with BriefServer(30) as server:
        config = fastcoord.parse_config(node_toml(server))
        owner = Owner()
        connection = Connection(config, Server(config.nats.address[0]), Collector(), owner)
        await connection.open()
        await until(lambda: owner.lost)
        connection.abort("no sign of life")
        assert len(owner.lost) == 1
        await connection.close()
