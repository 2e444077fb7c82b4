"""Two nodes that lose their connection, with a ledger of what was accepted and received."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import fastcoord
from fastcoord import EmailPush, Missed, Node
from fastcoord.server import LocalServer
from interrupts.injector import Injector
from support.cluster.nodes import node_toml, patiently_connected
from support.faults.proxy import Proxy
from support.wait import until

HEARTBEAT = 0.1
EVENTS = 20
PATIENCE = 45
"""Seconds until something counts as lost, on a busy machine too."""
TICKS = 4
"""How many ticks of each node a phase lasts at least."""


class Ledger:
    """What one subscription received and reported."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.missed = 0
        self.is_unknown = False

    async def follow(self, events: fastcoord.Subscription) -> None:
        """Read a subscription; an exception that the iteration raises is reported, so read on."""
        iterator = aiter(events)
        while True:
            try:
                item = await anext(iterator)
            except (StopAsyncIteration, asyncio.CancelledError):
                return
            except (MemoryError, KeyboardInterrupt):
                self.is_unknown = True
                continue
            if isinstance(item, EmailPush):
                self.numbers.append(item.email_id)
            elif isinstance(item, Missed):
                self.missed += item.events or 0
                self.is_unknown |= item.events is None

    def check(self, accepted: int) -> None:
        assert self.numbers == sorted(set(self.numbers)), "out of order or twice"
        if not self.is_unknown:
            assert len(self.numbers) + self.missed == accepted, (
                f"{accepted} accepted, {len(self.numbers)} received, {self.missed} missed"
            )


async def reported(call: Callable[[], Any]) -> None:
    """Make a call of the program, which may be given the injected exception."""
    with contextlib.suppress(MemoryError, KeyboardInterrupt, fastcoord.FastcoordError):
        await call()


async def scenario(server: LocalServer, injector: Injector) -> None:
    """Publish, lose the connection, reconnect, publish again, and check the ledger."""
    cluster = {"protocol": "fastcoord-1", "heartbeat": "100ms", "subject": f"t.{id(injector)}"}
    timeout = {"connection": "1s", "request": "1s"}
    async with Proxy(server.host, server.port) as proxy:
        config = fastcoord.parse_config(node_toml(proxy, cluster=cluster, timeout=timeout))
        sender = await patiently_connected(config, node_id=1)
        hearer = await patiently_connected(config, node_id=2)
        ledgers = [Ledger(), Ledger()]
        followers = [asyncio.ensure_future(ledger.follow(hearer.subscribe())) for ledger in ledgers]
        await until(lambda: sender.peers() and hearer.peers())
        number = 0

        async def publish(count: int) -> None:
            nonlocal number
            for _ in range(count):
                number += 1
                # A refused number stays unused: `accepted` is what counts.
                event = EmailPush(1, number, 0)
                await reported(lambda event=event: sender.publish(event))  # type: ignore[misc]
                await asyncio.sleep(0)

        def is_sent() -> bool:
            # This call, too, may be given the injected exception.
            with contextlib.suppress(MemoryError, KeyboardInterrupt):
                return not sender.stats().waiting
            return False

        async def some_ticks() -> None:
            # On a busy machine, the flush may have raised before everything was sent.
            await until(lambda: is_sent() or injector.has_raised)
            # Each tick of each node sends a PING, unless one is unanswered.
            frames = proxy.to_server.frames + 2 * TICKS
            await until(lambda: proxy.to_server.frames >= frames or injector.has_raised)

        try:
            injector.start("connected")
            await publish(EVENTS)
            await reported(sender.flush)
            await some_ticks()
            injector.start("lost")
            accepted = proxy.accepted
            proxy.cut()
            await publish(EVENTS)
            await until(lambda: proxy.accepted >= accepted + 2 or injector.has_raised)
            await reported(sender.flush)
            await some_ticks()
        finally:
            injector.stop()
        await until(
            lambda: is_well(sender, hearer),
            timeout=PATIENCE,
            because="both nodes are up for each other",
        )
        await publish(1)
        for ledger in ledgers:
            await until(  # type: ignore[misc]
                lambda ledger=ledger: number in ledger.numbers or ledger.is_unknown,
                timeout=PATIENCE,
                because="the last event is received",
            )
        await until(lambda: sender.stats().waiting == 0, timeout=PATIENCE)
        for ledger in ledgers:
            ledger.check(sender.stats().accepted)
        # The heartbeats go on, although nothing is published.
        for node in (sender, hearer):
            since = node.peers()[0].last_heard
            await until(  # type: ignore[misc]
                lambda node=node, since=since: node.peers()[0].last_heard > since + 4 * HEARTBEAT,
                timeout=PATIENCE,
                because="heartbeats go on",
            )
        await until(lambda: is_well(sender, hearer), timeout=PATIENCE, because="no heartbeat stops")
        assert await sender.close() == 0
        await hearer.close()
        await asyncio.wait(followers)


def is_well(*nodes: Node) -> bool:
    return all(
        node.is_connected and [peer.is_up for peer in node.peers()] == [True] for node in nodes
    )
