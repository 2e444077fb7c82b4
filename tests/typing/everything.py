"""A program that uses everything public: type checkers read it, nothing runs it.

The comment behind each ``reveal_type`` is the type that mypy and pyright both have to infer,
without the names of modules.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from typing_extensions import assert_never, reveal_type

import fastcoord
from fastcoord import (
    AppEvent,
    Batch,
    CacheInvalidate,
    CacheInvalidateAll,
    CacheInvalidateNegative,
    CalendarAlert,
    DataType,
    EmailPush,
    Event,
    IndexQueueRefresh,
    InvalidateAccessTokens,
    InvalidateGroupwareCache,
    MtaQueueStatus,
    Notice,
    ObjectType,
    PushServerUpdate,
    QueueRefresh,
    RegistryDelete,
    RegistryInsert,
    RegistryReload,
    ReloadBlockedIps,
    ReloadPushServers,
    ReloadSettings,
    ReloadSpamFilter,
    StateChange,
    TaskQueueRefresh,
    blocking,
)
from fastcoord.cache import ALL, AllKeys, BlockingCache, Cache
from fastcoord.testing import Bus, Message


def every_event(event: Event) -> None:
    match event:
        case StateChange():
            reveal_type(event.account_id)  # int
            reveal_type(event.change_id)  # int
            reveal_type(event.types)  # int
        case CalendarAlert():
            reveal_type(event.event_id)  # int
            reveal_type(event.recurrence_id)  # int | None
            reveal_type(event.uid)  # str
            reveal_type(event.alert_id)  # str
        case EmailPush():
            reveal_type(event.email_id)  # int
        case InvalidateAccessTokens() | InvalidateGroupwareCache():
            reveal_type(event.account_ids)  # tuple[int, ...]
        case ReloadPushServers() | PushServerUpdate():
            reveal_type(event.account_id)  # int
        case RegistryInsert() | RegistryDelete():
            reveal_type(event.object)  # int
            reveal_type(event.id)  # int
        case RegistryReload():
            reveal_type(event.object)  # int
        case CacheInvalidate():
            reveal_type(event.items)  # tuple[tuple[str, int] | tuple[str, int, int], ...]
        case MtaQueueStatus():
            reveal_type(event.is_running)  # bool
        case AppEvent():
            reveal_type(event.kind)  # int
            reveal_type(event.payload)  # bytes
        case _:
            reveal_type(event)  # Event
    reveal_type(event.__match_args__)  # tuple[str, ...]
    reveal_type(fastcoord.to_builtins(event))  # dict[str, Any]
    reveal_type(fastcoord.from_builtins({"type": "ReloadSettings"}))  # Event | Struct | _Dataclass


def every_constructor() -> list[Event]:
    return [
        StateChange(account_id=7, change_id=42, types=DataType.EMAIL | DataType.MAILBOX),
        CalendarAlert(account_id=7, event_id=1, recurrence_id=None, uid="u", alert_id="a"),
        EmailPush(account_id=7, email_id=1, change_id=42),
        InvalidateAccessTokens([1, 2]),
        InvalidateGroupwareCache(iter((1, 2))),
        ReloadPushServers(account_id=7),
        PushServerUpdate(account_id=7),
        RegistryInsert(object=ObjectType.ACCOUNT, id=1),
        RegistryDelete(ObjectType.ACCOUNT, 1),
        RegistryReload(ObjectType.ACCOUNT),
        CacheInvalidate([("Domain", 5), ("EmailNegative", 5, 9)]),
        MtaQueueStatus(is_running=True),
        ReloadSettings(),
        ReloadBlockedIps(),
        ReloadSpamFilter(),
        CacheInvalidateAll(),
        CacheInvalidateNegative(),
        QueueRefresh(),
        TaskQueueRefresh(),
        IndexQueueRefresh(),
        AppEvent(1, b"payload"),
    ]


def items_of_caches() -> None:
    CacheInvalidate([["Domain", 5]])
    CacheInvalidate(["Domain"])  # type: ignore[list-item]


def every_batch(payload: bytes) -> None:
    reveal_type(fastcoord.get_include())  # str
    batch = fastcoord.decode_batch(payload, protocol="fastcoord-1")
    reveal_type(batch)  # Batch
    reveal_type(batch.node_id)  # int
    reveal_type(batch.received_at)  # float | None
    reveal_type(batch.sequence)  # int | None
    reveal_type(batch[0])  # Event
    reveal_type(batch[1:])  # tuple[Event, ...]
    reveal_type(len(batch))  # int
    reveal_type(list(batch))  # list[Event]
    reveal_type(batch.count(ReloadSettings()))  # int
    reveal_type(batch.index(ReloadSettings()))  # int
    reveal_type(fastcoord.encode_batch(batch, node_id=1, protocol="fastcoord-1"))  # bytes
    reveal_type(Batch(1, every_constructor()))  # Batch


def every_configuration(text: str) -> fastcoord.Config:
    try:
        reveal_type(fastcoord.load_config("node.toml"))  # Config
        config = fastcoord.parse_config(text, name="node.toml")
    except fastcoord.ConfigError as error:
        problem: fastcoord.ConfigProblem = error.problems[0]
        reveal_type(problem.line)  # int | None
        reveal_type(problem.message)  # str
        raise
    reveal_type(config.cluster.node_id)  # int | Literal['auto']
    reveal_type(config.nats.timeout.request)  # float
    return config


def every_way_to_configure() -> fastcoord.Connecting:
    fastcoord.make_config("nats://nats1", node_id=5, heartbeat="1s", pace=0)
    fastcoord.make_config(servers=["nats1"], user="node", password="word", max_reconnects=None)
    return fastcoord.connect(servers="nats1", tls_enable=True, timeout_request="3s")


async def every_method(config: fastcoord.Config) -> None:
    connecting = fastcoord.connect(config, node_id=5, protocol="fastcoord-1")
    reveal_type(connecting)  # Connecting
    node: fastcoord.Node = await connecting
    reveal_type(await node.publish(ReloadSettings(), ReloadBlockedIps()))  # None
    reveal_type(await node.publish_many(every_constructor()))  # None
    reveal_type(node.publish_nowait(ReloadSettings()))  # None
    reveal_type(await node.flush())  # None
    reveal_type(node.node_id)  # int
    reveal_type(node.config)  # Config
    reveal_type(node.is_connected)  # bool
    reveal_type(await node.ping(7))  # float
    stats: fastcoord.Stats = node.stats()
    reveal_type(stats.accepted)  # int
    reveal_type(stats.server)  # str | None
    reveal_type(stats.to_dict())  # dict[str, Any]
    health: fastcoord.Health = node.health()
    reveal_type(health.reasons)  # tuple[str, ...]
    reveal_type(stats.missed)  # dict[str, int]
    own: fastcoord.SubscriptionStats = stats.subscriptions[0]
    stream: fastcoord.StreamStats | None = stats.stream
    reveal_type(stream)  # StreamStats | None
    reveal_type(own.arrived)  # int
    peers: tuple[fastcoord.Peer, ...] = node.peers()
    reveal_type(peers[0].round_trip)  # float | None
    reveal_type(peers[0].is_up)  # bool | None
    reveal_type(await node.close(timeout=1.0))  # int
    async with fastcoord.connect("node.toml") as other:
        reveal_type(other)  # Node


async def every_subscription(node: fastcoord.Node) -> None:
    kinds = [StateChange, fastcoord.PeerUp]
    async with node.subscribe(kinds=kinds, overflow="drop-newest", peers=True) as events:
        reveal_type(events)  # Subscription[Event]
        reveal_type(events.stats())  # SubscriptionStats
        reveal_type(events.sequence)  # int | None
        async for event in events:
            reveal_type(event)  # Event | Notice
            reveal_type(events.sender)  # int | None
            if isinstance(event, Notice):
                every_notice(event)
            else:
                every_event(event)
        async for batch in events.batches():
            reveal_type(batch)  # Batch | Notice
        reveal_type(await anext(aiter(events)))  # Event | Notice
    subscription: fastcoord.Subscription[Event] = node.subscribe()
    reveal_type(subscription.close())  # None


@fastcoord.event(kind=7)
class OrderShipped(msgspec.Struct, frozen=True):
    order: int


@fastcoord.event(kind=8)
@dataclass(frozen=True)
class PriceChanged:
    article: str


async def every_typed_event(node: fastcoord.Node) -> None:
    reveal_type(OrderShipped(5))  # OrderShipped
    reveal_type(PriceChanged("tea"))  # PriceChanged
    await node.publish(OrderShipped(5), PriceChanged("tea"), ReloadSettings())
    await node.publish_many([OrderShipped(5), PriceChanged("tea")])
    node.publish_nowait(PriceChanged("tea"))
    async with node.subscribe(kinds=[OrderShipped]) as shipped:
        reveal_type(shipped)  # Subscription[OrderShipped]
        async for event in shipped:
            reveal_type(event)  # OrderShipped | Notice
    kinds: list[type[OrderShipped | PriceChanged]] = [OrderShipped, PriceChanged]
    async with node.subscribe(kinds=kinds) as several:
        async for one in several:
            reveal_type(one)  # OrderShipped | PriceChanged | Notice
            match one:
                case OrderShipped():
                    reveal_type(one.order)  # int
                case PriceChanged():
                    reveal_type(one.article)  # str
                case _:
                    pass
    reveal_type(fastcoord.to_builtins(PriceChanged("tea")))  # dict[str, Any]


def every_blocking_call(config: fastcoord.Config) -> None:
    with blocking.connect(config, node_id=5, timeout=2.0) as node:
        reveal_type(node)  # Node
        reveal_type(node.publish(ReloadSettings(), timeout=1.0))  # None
        reveal_type(node.publish_many(every_constructor(), timeout=1.0))  # None
        reveal_type(node.publish_nowait(ReloadSettings()))  # None
        reveal_type(node.flush(timeout=1.0))  # None
        reveal_type(node.flush(peers=True))  # frozenset[int]
        reveal_type(node.ping(7, timeout=1.0))  # float
        reveal_type(node.stats())  # Stats
        reveal_type(node.close())  # int
        with node.subscribe(kinds=[StateChange], timeout=1.0) as events:
            for event in events:
                reveal_type(event)  # Event | Notice
            for batch in events.batches():
                reveal_type(batch)  # Batch | Notice
            reveal_type(events.next(timeout=1.0))  # Event | Notice


def every_notice(notice: Notice) -> None:
    match notice:
        case fastcoord.Missed(node_id=sender, events=count, cause=cause):
            reveal_type(sender)  # int | None
            reveal_type(count)  # int | None
            reveal_type(notice.messages)  # int | None
            match cause:
                case "gap" | "overflow" | "discarded" | "disconnect" | "undecodable" | "retention":
                    pass
                case _:
                    assert_never(cause)
        case fastcoord.PeerUp(node_id=who):
            reveal_type(who)  # int
        case fastcoord.PeerDown(node_id=who, goodbye=clean):
            reveal_type(clean)  # bool
        case fastcoord.Disconnected(reason=reason):
            reveal_type(reason)  # str
        case fastcoord.Reconnected(server=server):
            reveal_type(server)  # str
        case fastcoord.DuplicateNodeId():
            reveal_type(notice.node_id)  # int
        case fastcoord.ProtocolMismatch(protocol=protocol):
            reveal_type(protocol)  # str
        case _:
            reveal_type(notice)  # Notice


async def every_error(node: fastcoord.Node) -> None:
    try:
        await node.flush()
    except fastcoord.DecodeError as error:
        reveal_type(error.offset)  # int
        reveal_type(error.node_id)  # int | None
    except (fastcoord.EventTooLarge, fastcoord.UnsupportedEvent) as error:
        reveal_type(error)  # EventTooLarge | UnsupportedEvent
    except (fastcoord.ConnectTimeout, fastcoord.AuthenticationFailed, fastcoord.TlsError) as error:
        reveal_type(error)  # ConnectTimeout | AuthenticationFailed | TlsError
        raise fastcoord.ConnectError(str(error)) from error
    except fastcoord.RequestTimeout as error:
        timeout: TimeoutError = error
        raise timeout from None
    except (fastcoord.ConnectionLost, fastcoord.NodeClosed, fastcoord.IncompatibleNatsPy):
        raise
    except fastcoord.PeersUnconfirmed as error:
        reveal_type(error.missing)  # frozenset[int]
    except (fastcoord.WrongLoop, fastcoord.SubscriptionError):
        raise
    except (fastcoord.ServerNotFound, fastcoord.ServerError, fastcoord.PermissionDenied):
        raise
    except fastcoord.StreamError:
        raise
    except fastcoord.FastcoordError:
        raise


async def load_name(account: int) -> str:
    return str(account)


def load_name_in_thread(account: int) -> str:
    return str(account)


def keys_of(event: StateChange) -> list[int]:
    return [event.account_id]


def every_key(event: Event) -> list[int] | AllKeys:
    return ALL


async def use_caches(node: fastcoord.Node, blocking_node: blocking.Node) -> None:
    async with Cache(node, load_name, keys=keys_of, kinds=[StateChange], weigh=len) as names:
        reveal_type(names)  # Cache[int, str]
        reveal_type(await names.get(7))  # str
        await names.publish(StateChange(7, 42, 1))
        names.invalidate(7)
        reveal_type(names.stats())  # CacheStats
    with BlockingCache(blocking_node, load_name_in_thread, keys=every_key) as cache:
        reveal_type(cache)  # BlockingCache[int, str]
        reveal_type(cache.get(7, timeout=1.0))  # str


def is_large(message: Message) -> bool:
    reveal_type(message.receiver)  # int | None
    return len(message.payload) > 100


async def use_bus(node: fastcoord.Node, blocking_node: blocking.Node) -> None:
    with Bus(seed=1) as bus:
        reveal_type(bus.clock.time())  # float
        reveal_type(await bus.restart_node(node))  # Node
        bus.lose(blocking_node, 3, where=is_large)
        bus.refuse(7, publish="agora", subscribe=True)
        bus.part([node, 7], blocking_node)
        bus.kill_node(blocking_node)
        await bus.clock.advance(1)
