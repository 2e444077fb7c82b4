"""A coordination bus for clusters of Python processes over NATS, wire-compatible with Stalwart.

::

    async with fastcoord.connect("node.toml") as node:
        await node.publish(StateChange(account_id=7, change_id=42, types=DataType.EMAIL))
        async with node.subscribe() as events:
            async for event in events:
                ...
"""

from __future__ import annotations

from fastcoord._codec import Batch, decode_batch, encode_batch
from fastcoord._connect import Connecting, connect
from fastcoord.config import Config, load_config, parse_config
from fastcoord.coordinator import Node
from fastcoord.errors import (
    AuthenticationFailed,
    ConfigError,
    ConfigProblem,
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    DecodeError,
    EventTooLarge,
    FastcoordError,
    NodeClosed,
    RequestTimeout,
    ServerError,
    ServerNotFound,
    TlsError,
    UnsupportedEvent,
)
from fastcoord.events import (
    AppEvent,
    CacheInvalidate,
    CacheInvalidateAll,
    CacheInvalidateNegative,
    CalendarAlert,
    DataType,
    DuplicateNodeId,
    EmailPush,
    Event,
    IndexQueueRefresh,
    InvalidateAccessTokens,
    InvalidateGroupwareCache,
    Missed,
    MtaQueueStatus,
    Notice,
    ObjectType,
    PeerDown,
    PeerUp,
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
    from_builtins,
    to_builtins,
)
from fastcoord.statistics import Peer, Stats, SubscriptionStats
from fastcoord.subscription import Subscription

__version__ = "0.1.0"

__all__ = [
    "AppEvent",
    "AuthenticationFailed",
    "Batch",
    "CacheInvalidate",
    "CacheInvalidateAll",
    "CacheInvalidateNegative",
    "CalendarAlert",
    "Config",
    "ConfigError",
    "ConfigProblem",
    "ConnectError",
    "ConnectTimeout",
    "Connecting",
    "ConnectionLost",
    "DataType",
    "DecodeError",
    "DuplicateNodeId",
    "EmailPush",
    "Event",
    "EventTooLarge",
    "FastcoordError",
    "IndexQueueRefresh",
    "InvalidateAccessTokens",
    "InvalidateGroupwareCache",
    "Missed",
    "MtaQueueStatus",
    "Node",
    "NodeClosed",
    "Notice",
    "ObjectType",
    "Peer",
    "PeerDown",
    "PeerUp",
    "PushServerUpdate",
    "QueueRefresh",
    "RegistryDelete",
    "RegistryInsert",
    "RegistryReload",
    "ReloadBlockedIps",
    "ReloadPushServers",
    "ReloadSettings",
    "ReloadSpamFilter",
    "RequestTimeout",
    "ServerError",
    "ServerNotFound",
    "StateChange",
    "Stats",
    "Subscription",
    "SubscriptionStats",
    "TaskQueueRefresh",
    "TlsError",
    "UnsupportedEvent",
    "connect",
    "decode_batch",
    "encode_batch",
    "from_builtins",
    "load_config",
    "parse_config",
    "to_builtins",
]
