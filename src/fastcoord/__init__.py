"""A coordination bus for clusters of Python processes over NATS, wire-compatible with Stalwart.

::

    async with fastcoord.connect("node.toml") as node:
        await node.publish(StateChange(account_id=7, change_id=42, types=DataType.EMAIL))
        async with node.subscribe() as events:
            async for event in events:
                ...
"""

from __future__ import annotations

from fastcoord import _early_interrupt  # noqa: F401  before all other imports

# isort: split
import importlib as _importlib
import os as _os
import typing as _typing

from fastcoord._codec import Batch, decode_batch, encode_batch
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
    IncompatibleNatsPy,
    NodeClosed,
    PeersUnconfirmed,
    PermissionDenied,
    RequestTimeout,
    ServerError,
    ServerNotFound,
    StreamError,
    SubscriptionError,
    TlsError,
    UnsupportedEvent,
    WrongLoop,
)
from fastcoord.events import *  # noqa: F403  the notices
from fastcoord.events import __all__ as _event_names
from fastcoord.wire.events import *  # noqa: F403  the events of the table

if _typing.TYPE_CHECKING:
    from fastcoord._connect import Connecting, connect
    from fastcoord.config import Config, load_config, make_config, parse_config
    from fastcoord.node import Node
    from fastcoord.receiving.subscription import Subscription
    from fastcoord.stats import Health, Peer, Stats, StreamStats, SubscriptionStats

__version__ = "0.1.0"

__all__ = [
    "AuthenticationFailed",
    "Batch",
    "Config",
    "ConfigError",
    "ConfigProblem",
    "ConnectError",
    "ConnectTimeout",
    "Connecting",
    "ConnectionLost",
    "DecodeError",
    "EventTooLarge",
    "FastcoordError",
    "Health",
    "IncompatibleNatsPy",
    "Node",
    "NodeClosed",
    "Peer",
    "PeersUnconfirmed",
    "PermissionDenied",
    "RequestTimeout",
    "ServerError",
    "ServerNotFound",
    "Stats",
    "StreamError",
    "StreamStats",
    "Subscription",
    "SubscriptionError",
    "SubscriptionStats",
    "TlsError",
    "UnsupportedEvent",
    "WrongLoop",
    "connect",
    "decode_batch",
    "encode_batch",
    "get_include",
    "load_config",
    "make_config",
    "parse_config",
]
__all__ += _event_names
__all__.sort()

# These names need nats-py, asyncio or the configuration. They are imported at their first use, so
# that a program that uses only the codec starts faster.
_LOADED_LATER = {
    "Config": "config",
    "Connecting": "_connect",
    "Health": "stats",
    "Node": "node",
    "Peer": "stats",
    "Stats": "stats",
    "Subscription": "receiving.subscription",
    "StreamStats": "stats",
    "SubscriptionStats": "stats",
    "connect": "_connect",
    "load_config": "config",
    "make_config": "config",
    "parse_config": "config",
}


def get_include() -> str:
    """Return the folder of the C headers, for ``include_dirs`` of an extension with ``cimport``.

    :return: an absolute path.
    """
    return _os.path.dirname(_os.path.dirname(_os.path.abspath(__file__)))


def __getattr__(name: str) -> _typing.Any:
    module = _LOADED_LATER.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(_importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
