"""Events that are too large, unsupported or no events: the call raises and sends nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

import fastcoord
from fastcoord import (
    AppEvent,
    CacheInvalidate,
    CalendarAlert,
    EmailPush,
    Event,
    EventTooLarge,
    InvalidateAccessTokens,
    Missed,
    Node,
    NodeClosed,
    ReloadBlockedIps,
    ReloadPushServers,
    StateChange,
    Subscription,
    UnsupportedEvent,
    decode_batch,
)
from fastcoord.server import LocalServer
from support.cluster.accounting import accounted, collect, drain
from support.cluster.nodes import node_toml
from support.cluster.plain_peer import PlainPeer
from support.wait import until

Cluster = dict[str, Any]
SMALL: dict[str, Any] = {"batch_bytes": 256}


def alert(size: int) -> CalendarAlert:
    """Return an event with a text of this many bytes; it cannot be split."""
    return CalendarAlert(account_id=1, event_id=2, recurrence_id=None, uid="x" * size, alert_id="")


# ------------------------------------------------------------------------------- the byte limit


async def test_batches_fill_byte_limit(shared_server: LocalServer, cluster: Cluster) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster, capacity=SMALL) as sender,
        PlainPeer(shared_server.url, cluster["subject"]) as plain,
    ):
        sent: list[Event] = [EmailPush(each, each, each) for each in range(5_000)]
        await sender.publish_many(sent)
        await sender.flush()
        await until(lambda: len(decoded(plain)) == len(sent))
        sizes = [len(payload) for payload in plain.payloads if len(payload) > 1]
        assert max(sizes) <= 256
        assert min(sizes[:-1]) > 256 - 12, "an event of at most 12 bytes would still have fitted"
        assert decoded(plain) == sent


@pytest.mark.parametrize(("extra", "fits"), [(0, True), (1, False)])
async def test_batch_limit_is_exact(
    shared_server: LocalServer, cluster: Cluster, extra: int, fits: bool
) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster, capacity=SMALL) as sender,
        accounted(shared_server, 2, cluster=cluster) as receiver,
        receiver.subscribe() as events,
    ):
        overhead = len(fastcoord.encode_batch([alert(200)], node_id=1, protocol="fastcoord-1"))
        event = alert(256 - (overhead - 200) + extra)
        if fits:
            await sender.publish(event)
            assert await collect(events, 1) == [event]
        else:
            with pytest.raises(EventTooLarge, match="takes 256 bytes, and a batch holds 255"):
                await sender.publish(event)


@pytest.mark.parametrize("how", ["publish", "publish_many", "publish_nowait"])
async def test_oversized_event_refuses_call(
    shared_server: LocalServer, cluster: Cluster, how: str
) -> None:
    async with (
        accounted(shared_server, 1, cluster=cluster, capacity=SMALL) as sender,
        accounted(shared_server, 2, cluster=cluster) as receiver,
        receiver.subscribe() as events,
    ):
        call: list[Event] = [ReloadPushServers(1), alert(5_000), ReloadPushServers(2)]
        with pytest.raises(EventTooLarge) as caught:
            sender.publish_many(call) if how == "publish_many" else getattr(sender, how)(*call)
        assert "CalendarAlert takes 5" in str(caught.value)
        assert "capacity.batch-bytes" in str(caught.value)
        assert sender.stats().accepted == 0
        await sender.publish(ReloadBlockedIps())
        assert await collect(events, 1) == [ReloadBlockedIps()]
        assert sender.stats().accepted == 1


async def test_oversized_lists_are_split(shared_server: LocalServer, cluster: Cluster) -> None:
    accounts = tuple(range(1 << 20, (1 << 20) + 3_000))
    items = tuple(("EmailNegative", each, (1 << 32) - 1 - each) for each in range(1_000))
    async with (
        accounted(shared_server, 1, cluster=cluster, capacity=SMALL) as sender,
        accounted(shared_server, 2, cluster=cluster) as receiver,
        receiver.subscribe() as events,
    ):
        await sender.publish(
            ReloadPushServers(0), InvalidateAccessTokens(accounts), CacheInvalidate(items)
        )
        await sender.publish(ReloadPushServers(1))
        await sender.flush()
        await until(lambda: receiver.stats().received == sender.stats().accepted)
        first, *pieces, last = drain(events)
        assert (first, last) == (ReloadPushServers(0), ReloadPushServers(1))
        tokens = [each for each in pieces if isinstance(each, InvalidateAccessTokens)]
        caches = [each for each in pieces if isinstance(each, CacheInvalidate)]
        assert pieces == [*tokens, *caches]
        assert sum((each.account_ids for each in tokens), ()) == accounts
        assert sum((each.items for each in caches), ()) == items
        assert len(tokens) > 10
        assert len(caches) > 10


async def test_max_payload_bounds_batches() -> None:
    with LocalServer(max_payload=2048) as server:
        async with (
            accounted(server, 1) as sender,
            accounted(server, 2) as receiver,
            receiver.subscribe() as events,
        ):
            sent: list[Event] = [StateChange(each, each, 1) for each in range(3_000)]
            await sender.publish_many(sent)
            await sender.flush()
            assert await collect(events, len(sent)) == sent
            with pytest.raises(EventTooLarge, match="max_payload"):
                await sender.publish(alert(2_000))
            assert sender.stats().reconnects == 0


@contextlib.asynccontextmanager
async def behind_smaller_server(
    cluster: Cluster, *published: Event
) -> AsyncIterator[tuple[Node, Node, Subscription]]:
    """Publish in one batch during an outage; the server returns with a max_payload of 2048."""
    with LocalServer() as server:
        async with (
            accounted(server, 1, cluster=cluster) as sender,
            accounted(server, 2, cluster=cluster) as receiver,
            receiver.subscribe() as events,
        ):
            await sender.publish(ReloadPushServers(1))
            await collect(events, 1)
            # After an outage a sender waits for the peers that it knew before.
            await until(sender.peers)
            server.kill()
            await until(lambda: not sender.is_connected and not receiver.is_connected)
            await sender.publish_many(published)
            await asyncio.sleep(0)  # an iteration of the event loop seals the batch
            assert sender.stats().waiting_batches == 1
            server.settings.max_payload = 2048
            server.restart()
            yield sender, receiver, events


async def test_smaller_max_payload_splits_batch(cluster: Cluster) -> None:
    published: list[Event] = [StateChange(each, each, 1) for each in range(2_000)]
    async with behind_smaller_server(cluster, *published) as (sender, _, events):
        assert await collect(events, 1 + len(published)) == [
            Missed(None, None, "disconnect"),
            *published,
        ]
        await sender.flush()
        stats = sender.stats()
        assert (stats.discarded, stats.waiting, stats.waiting_batches) == (0, 0, 0)


async def test_smaller_max_payload_discards_event(cluster: Cluster) -> None:
    published = [ReloadPushServers(2), alert(1_000), alert(8_000), alert(1_000)]
    async with behind_smaller_server(cluster, *published) as (sender, _, events):
        assert await collect(events, 5) == [
            Missed(None, None, "disconnect"),
            *published[:2],
            Missed(1, 1, "discarded"),
            published[3],
        ]
        assert sender.stats().discarded == 1


async def test_max_payload_changed_by_reload_splits_batch(cluster: Cluster) -> None:
    published: list[Event] = [StateChange(each, each, 1) for each in range(20_000)]
    with LocalServer() as server:
        async with (
            accounted(server, 1, cluster=cluster) as sender,
            accounted(server, 2, cluster=cluster) as receiver,
            receiver.subscribe(connection=True) as events,
        ):
            await sender.publish(ReloadPushServers(1))
            await collect(events, 1)
            server.freeze()
            await sender.publish_many(published)
            await until(lambda: sender.stats().waiting_batches > 1)
            server.settings.max_payload = 2048
            server.restart()
            found: list[Any] = []
            while (item := await events.__anext__()) != published[-1]:
                found.append(item)
            received = [item for item in found if isinstance(item, StateChange)]
            assert received == published[:-1]
            assert sender.stats().discarded == 0


# ---------------------------------------------------------------------------- what is no event


@pytest.mark.parametrize(
    ("protocol", "event"),
    [
        ("stalwart-0.15", CacheInvalidate((("Domain", 1),))),
        ("stalwart-0.16", ReloadBlockedIps()),
        ("stalwart-0.16", fastcoord.TaskQueueRefresh()),
        ("stalwart-1.0", AppEvent(1, b"")),
    ],
)
async def test_unsupported_event_refuses_call(
    shared_server: LocalServer, cluster: Cluster, protocol: str, event: Event
) -> None:
    spoken = {**cluster, "protocol": protocol}
    good = EmailPush(1, 2, 3)
    async with (
        accounted(shared_server, 1, cluster=spoken) as sender,
        accounted(shared_server, 2, cluster=spoken) as receiver,
        receiver.subscribe() as events,
    ):
        for publish in (
            sender.publish,
            sender.publish_nowait,
            lambda *all: sender.publish_many(all),
        ):
            with pytest.raises(UnsupportedEvent) as caught:
                publish(good, event, good)
            assert protocol in str(caught.value)
            assert type(event).__name__ in str(caught.value)
        await sender.publish(good)
        assert await collect(events, 1) == [good]
        assert drain(events) == []


@pytest.mark.parametrize(
    "thing", [None, "ReloadSettings", 7, ReloadBlockedIps, [ReloadBlockedIps()]]
)
async def test_non_events_are_refused(
    shared_server: LocalServer, cluster: Cluster, thing: Any
) -> None:
    async with accounted(shared_server, 1, cluster=cluster) as sender:
        for publish in (sender.publish, sender.publish_nowait):
            with pytest.raises(TypeError, match="only events can be published") as caught:
                publish(ReloadBlockedIps(), thing)
            name = thing.__name__ if isinstance(thing, type) else type(thing).__name__
            assert name in str(caught.value)
        assert sender.stats().accepted == 0


async def test_closed_node_refuses_calls(shared_server: LocalServer, cluster: Cluster) -> None:
    async with accounted(shared_server, 7, cluster=cluster) as node:
        events = node.subscribe()
        assert await node.close() == 0
        for call in (
            lambda: node.publish(ReloadBlockedIps()),
            lambda: node.publish_nowait(ReloadBlockedIps()),
            lambda: node.publish_many([ReloadBlockedIps()]),
            node.subscribe,
        ):
            with pytest.raises(NodeClosed, match="node 7 is closed"):
                call()
        with pytest.raises(NodeClosed, match="node 7 is closed"):
            await node.flush()
        with pytest.raises(NodeClosed, match="node 7 is closed"):
            await node.ping(1)
        assert [event async for event in events] == []
        assert await node.close() == 0
        assert (node.is_connected, node.stats().server) == (False, None)


async def test_wrong_arguments_are_refused(shared_server: LocalServer) -> None:
    config = fastcoord.parse_config(node_toml(shared_server))
    with pytest.raises(ValueError, match=r"stalwart-0\.15.*fastcoord-1"):
        fastcoord.connect(config, protocol="stalwart-0.14")
    for node_id in (-1, 65536):
        with pytest.raises(ValueError, match="65535"):
            fastcoord.connect(config, node_id=node_id)
    for thing in ("1", True, 1.5):
        with pytest.raises(TypeError, match="node_id must be an integer"):
            fastcoord.connect(config, node_id=thing)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="path of a configuration"):
        fastcoord.connect(42)  # type: ignore[arg-type]
    async with accounted(shared_server, 1) as node:
        with pytest.raises(ValueError, match="drop-oldest"):
            node.subscribe(overflow="drop-all")  # type: ignore[arg-type]
        for kinds in ([int], ["StateChange"], [None]):
            with pytest.raises(TypeError, match="event class"):
                node.subscribe(kinds=kinds)  # type: ignore[arg-type]
        assert node.stats().subscriptions == ()


def decoded(plain: PlainPeer) -> list[Event]:
    """Decode all payloads that a plain client received."""
    return [
        event
        for payload in plain.payloads
        for event in decode_batch(payload, protocol="fastcoord-1")
    ]
