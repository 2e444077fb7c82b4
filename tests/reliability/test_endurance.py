"""Faults of servers, networks and the system after which every event is accounted for."""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import shutil
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fastcoord import (
    ConnectError,
    Event,
    InvalidateAccessTokens,
    Missed,
    Node,
    StateChange,
    Subscription,
)
from fastcoord.nats.connection import Connection
from fastcoord.server import LocalServer
from support.cluster.accounting import accounted
from support.faults.proxy import Proxy
from support.scale import repeats
from support.servers.certificates import Certificates, Pair
from support.servers.unusable import unused_address
from support.wait import until

CLUSTER: dict[str, Any] = {"protocol": "fastcoord-1", "heartbeat": "2s", "subject": "endurance"}


class Account:
    """The numbers that a subscription received, and what it reported."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.missed = 0
        self.is_unknown = False

    def take(self, item: Any) -> None:
        if isinstance(item, StateChange):
            self.numbers.append(item.account_id)
        elif isinstance(item, InvalidateAccessTokens):
            self.numbers.extend(item.account_ids)
        elif isinstance(item, Missed):
            self.missed += item.events or 0
            self.is_unknown |= item.events is None

    async def read(self, events: Subscription, last: int) -> None:
        async for item in events:
            self.take(item)
            if self.numbers and self.numbers[-1] == last:
                return

    def check(self, count: int) -> None:
        """Check that nothing was received twice, out of order, or lost without a report."""
        assert self.numbers == sorted(set(self.numbers))
        if not self.is_unknown and not self.missed:
            assert self.numbers == list(range(count))


@contextlib.asynccontextmanager
async def pair(
    sending: Any, receiving: Any, **settings: Any
) -> AsyncIterator[tuple[Node, Subscription]]:
    settings = {"cluster": CLUSTER, **settings}
    async with (
        accounted(sending, 1, **settings) as sender,
        accounted(receiving, 2, **settings) as receiver,
        receiver.subscribe() as events,
    ):
        await until(lambda: sender.peers() and receiver.peers())
        yield sender, events


def changes(first: int, count: int) -> list[Event]:
    return [StateChange(number, 1, 1) for number in range(first, first + count)]


async def test_many_reconnects_lose_nothing(server: LocalServer) -> None:
    nodes, rounds = repeats(4, long=24), repeats(4, long=30)
    async with (
        Proxy(server.host, server.port) as proxy,
        pair(proxy, server) as (sender, events),
        contextlib.AsyncExitStack() as stack,
    ):
        others = [
            await stack.enter_async_context(accounted(proxy, 10 + number, cluster=CLUSTER))
            for number in range(nodes - 1)
        ]
        together = [sender, *others]
        for number in range(rounds):
            await sender.publish_many(changes(100 * number, 100))
            before = [node.stats().reconnects for node in together]
            proxy.cut(reset=bool(number % 2))
            await until(  # type: ignore[misc]
                lambda before=before: all(
                    node.stats().reconnects > count
                    for node, count in zip(together, before, strict=True)
                )
            )
        account = Account()
        await account.read(events, 100 * rounds - 1)
        assert account.numbers == list(range(100 * rounds))
        assert sum(node.stats().reconnects for node in together) >= nodes * rounds


async def test_kills_while_sending_are_accounted(server: LocalServer) -> None:
    chance = random.Random(9)
    async with pair(server, server) as (sender, events):
        account = Account()
        number = 0
        reading = asyncio.ensure_future(account.read(events, -1))
        for _ in range(repeats(4, long=100)):
            for _ in range(chance.randrange(20, 60)):
                await sender.publish_many(changes(number, 100))
                number += 100
            server.kill()
            await server.start_async()
            await until(lambda: sender.is_connected)
        await sender.flush()
        await until(lambda: account.numbers and account.numbers[-1] == number - 1)
        reading.cancel()
        account.check(number)


async def test_split_lists_survive_kills(server: LocalServer) -> None:
    capacity = {"batch_bytes": 256}
    async with pair(server, server, capacity=capacity) as (sender, events):
        account = Account()
        size = 2_000
        rounds = repeats(3, long=20)
        reading = asyncio.ensure_future(account.read(events, rounds * size - 1))
        for number in range(rounds):
            ids = tuple(range(number * size, (number + 1) * size))
            publishing = asyncio.ensure_future(sender.publish(InvalidateAccessTokens(ids)))
            server.kill()
            await server.start_async()
            await publishing
            await until(lambda: sender.is_connected)
        await sender.flush()
        await reading
        account.check(rounds * size)


async def test_events_pass_through_gateway() -> None:
    port = int(unused_address().name.rpartition(":")[2])
    gateway = (
        'gateway {{ name: {}, listen: "127.0.0.1:{}",'
        f' gateways: [ {{{{ name: one, url: "nats://127.0.0.1:{port}" }}}} ] }}}}'
    )
    with (
        LocalServer(extra_config=gateway.format("one", port)) as first,
        LocalServer(extra_config=gateway.format("two", -1)) as second,
    ):
        await until(lambda: second.monitor("gatewayz")["outbound_gateways"])
        await until(lambda: first.monitor("gatewayz")["outbound_gateways"])
        async with pair(first, second) as (sender, events):
            await sender.publish_many(changes(0, 5_000))
            second.kill()
            await second.start_async()
            account, number = Account(), 5_000
            reading = asyncio.ensure_future(account.read(events, -1))

            async def passes() -> bool:
                nonlocal number
                await sender.publish_many(changes(number, 100))
                number += 100
                await sender.flush()
                # What was sent before the first server knew the subscription again is reported.
                return account.numbers[-1:] >= [5_000]

            await until(passes)
            await until(lambda: account.numbers[-1] == number - 1)
            reading.cancel()
            account.check(number)


async def test_write_deadline_is_accounted() -> None:
    config = 'write_deadline: "200ms"\nmax_pending: 100000'
    with LocalServer(max_payload=50_000, extra_config=config) as server:
        async with (
            Proxy(server.host, server.port) as proxy,
            pair(server, proxy) as (sender, events),
        ):
            account = Account()
            proxy.to_client.pause()
            number = 0
            while server.monitor("varz")["slow_consumers"] == 0:
                await sender.publish_many(changes(number, 5_000))
                number += 5_000
            proxy.to_client.resume()
            reading = asyncio.ensure_future(account.read(events, -1))
            # The receiver reports what the server has dropped.
            await until(lambda: account.is_unknown or account.missed)
            await sender.publish_many(changes(number, 1))
            await until(lambda: account.numbers and account.numbers[-1] == number)
            reading.cancel()
            account.check(number + 1)


async def test_no_free_descriptor_delays_reconnect(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[str] = []
    opened = Connection.open

    async def recorded(connection: Connection) -> None:
        try:
            await opened(connection)
        except ConnectError as error:
            failures.append(str(error))
            raise

    monkeypatch.setattr(Connection, "open", recorded)
    async with Proxy(server.host, server.port) as proxy, pair(proxy, server) as (sender, events):
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        taken: list[socket.socket] = []
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, limits[0]), limits[1]))
            proxy.refuse()
            proxy.cut()
            await until(lambda: not sender.is_connected and not proxy.connections)
            with contextlib.suppress(OSError):
                while True:
                    taken.append(socket.socket())
            await sender.publish_many(changes(0, 100))
            await until(lambda: sum("Too many open files" in text for text in failures) >= 3)
            assert sender.stats().connection == "connecting"
        finally:
            for each in taken:
                each.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        await proxy.accept()
        account = Account()
        await account.read(events, 99)
        account.check(100)


async def test_renewed_certificate_is_accepted(certificates: Certificates, tmp_path: Any) -> None:
    served = Pair(tmp_path / "server.pem", tmp_path / "server.key")

    def serve(source: Pair) -> None:
        shutil.copy(source.cert, served.cert)
        shutil.copy(source.key, served.key)

    serve(certificates.server)
    tls = {"enable": True, "ca_file": certificates.ca}
    with LocalServer(tls=served.tls()) as server:
        async with (
            Proxy(server.host, server.port) as proxy,
            pair(proxy, server, tls=tls) as (sender, events),
        ):
            await sender.publish_many(changes(0, 100))
            serve(certificates.expired)
            server.reload()
            proxy.cut()
            await until(lambda: not sender.is_connected)
            await sender.publish_many(changes(100, 100))
            serve(certificates.server)
            server.reload()
            account = Account()
            await account.read(events, 199)
            assert account.numbers == list(range(200))


@pytest.mark.slow
async def test_nodes_join_and_leave(server: LocalServer) -> None:
    async with pair(server, server) as (sender, events), contextlib.AsyncExitStack() as stack:
        joined = [
            await stack.enter_async_context(accounted(server, 3 + number, cluster=CLUSTER))
            for number in range(repeats(8, long=22))
        ]
        number = 0
        for node in joined:
            await sender.publish_many(changes(number, 500))
            number += 500
            await node.close()
        account = Account()
        await account.read(events, number - 1)
        assert account.numbers == list(range(number))
