"""Opening the TCP connection to a host with several addresses."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from fastcoord import ConnectError
from fastcoord.nats.dialing import Target, dial, resolve
from support.loops import LOOPS, runner
from support.servers.unusable import open_sockets, unused_address
from support.wait import until

LOOPBACKS = ("127.0.0.2", "127.0.0.1")


class Accepted(asyncio.BufferedProtocol):
    """Store the address of the connection."""

    address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.address = transport.get_extra_info("peername")[0]
        transport.close()


@contextlib.contextmanager
def unanswered(host: str) -> Iterator[int]:
    """Listen without accepting, until the system drops further connections; yield the port."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind((host, 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
        yield listener.getsockname()[1]


def target(port: int, *hosts: str) -> Target:
    kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
    return Target("nats.example", port, [(*kind, (host, port)) for host in hosts])


@pytest.mark.parametrize("loop", LOOPS)
def test_unanswered_address_leaves_time(loop: str) -> None:
    async def dial_both() -> None:
        with (
            unanswered(LOOPBACKS[0]) as port,
            socket.create_server((LOOPBACKS[1], port)),
        ):
            accepted, sockets = Accepted(), open_sockets()
            await dial(accepted, target(port, *LOOPBACKS), 1, 0.4)
            assert accepted.address == LOOPBACKS[1]
            await until(lambda: open_sockets() == sockets)

    runner(loop)(dial_both())


async def test_each_address_has_its_reason() -> None:
    port = int(unused_address().name.rpartition(":")[2])
    sockets = open_sockets()
    with pytest.raises(ConnectError) as caught:
        await dial(Accepted(), target(port, *LOOPBACKS), 1, 5)
    assert str(caught.value) == ", ".join(f"{host}: Connection refused" for host in LOOPBACKS)
    assert open_sockets() == sockets


@pytest.mark.parametrize("loop", LOOPS)
def test_cancelled_dial_closes_socket(loop: str) -> None:
    async def cancel() -> None:
        with unanswered(LOOPBACKS[0]) as port:
            sockets = open_sockets()
            for hosts in (LOOPBACKS[:1], (LOOPBACKS[0], LOOPBACKS[0])):
                task = asyncio.create_task(dial(Accepted(), target(port, *hosts), 1, 60))
                await until(lambda: open_sockets() > sockets)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert open_sockets() == sockets

    runner(loop)(cancel())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
async def test_host_is_resolved(host: str) -> None:
    found = await resolve(host, 4222)
    assert found.host == host
    assert len(found.addresses) == len(set(found.addresses)) > 0
    assert all(address[4][1] == 4222 for address in found.addresses)
