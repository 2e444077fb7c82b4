"""``fastcoord.connect``: creates a node from a configuration and joins the cluster."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from fastcoord._session import Session
from fastcoord.config import Config, Settings, is_url, load_config, make_config
from fastcoord.nats.dialing import prepare
from fastcoord.node import Node

if sys.version_info >= (3, 11):
    from typing import Unpack
elif TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Connecting", "connect"]


HOW_TO_CONNECT = (
    "write: async with fastcoord.connect(...) as node, or: node = await fastcoord.connect(...)"
)


class Connecting:
    """The result of ``connect``. Use it with ``await`` or ``async with``."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._node: Node | None = None
        self._is_used = False

    def __await__(self) -> Generator[Any, None, Node]:
        self._is_used = True
        return _started(self._config).__await__()

    def __del__(self) -> None:
        if not self._is_used:
            warnings.warn(
                f"connect(...) was never awaited: {HOW_TO_CONNECT}", RuntimeWarning, stacklevel=2
            )

    def __getattr__(self, name: str) -> Any:
        if hasattr(Node, name):
            self._is_used = True
            raise AttributeError(
                f"connect(...) is not a node yet, so it has no {name}: {HOW_TO_CONNECT}"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # Without these methods, the interpreter's error would not say how to connect.
    def __enter__(self) -> Any:
        self._is_used = True
        raise TypeError(f"connect(...) takes async with or await: {HOW_TO_CONNECT}")

    def __exit__(self, *unused: object) -> None:
        raise AssertionError("never entered")

    __aiter__ = __enter__

    async def __aenter__(self) -> Node:
        self._node = await self
        return self._node

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._node is not None:
            await self._node.__aexit__(exc_type, exc, traceback)


Connecting.__module__ = "fastcoord"


async def _started(config: Config) -> Node:
    prepare(config)
    session = Session(config)
    await session.start()
    return Node(session)


def connect(
    config: Config | str | os.PathLike[str] | None = None,
    *,
    node_id: int | Literal["auto"] | None = None,
    protocol: str | None = None,
    **settings: Unpack[Settings],
) -> Connecting:
    """Join the cluster that a configuration describes.

    :param config: the path of a TOML or JSON file, or the URL of servers, such as
        ``nats://user:password@host1,host2:4222``, or a ``Config``. A text with ``://`` is a URL.
        Without this argument, ``servers`` or the variable ``FASTCOORD_SERVERS`` names the servers.
    :param node_id: overrides ``cluster.node-id``, so that several nodes can share one file.
        ``"auto"`` chooses a free id; ``Node.node_id`` says which one.
    :param protocol: overrides ``cluster.protocol``. The default subject depends on the protocol.
    :param settings: without a file, all settings, as in ``make_config``: arguments take precedence
        over the environment variables ``FASTCOORD_…``. With a file or a ``Config``, no further
        settings are accepted, and no environment variables are read.
    :return: an object for ``await`` or ``async with``. Both return the node, and ``async with``
        closes the node at the end.
    :raises ConfigError: the configuration cannot be used. The call itself raises this.
    :raises TypeError: there is no such argument, or it is not accepted with a file.
    :raises ValueError: an argument is out of range. The call itself raises this.
    :raises ConnectError: no server could be joined. ``await`` or ``async with`` raises this.
    """
    if config is None or is_url(config):
        url = None if config is None else str(config)
        return Connecting(make_config(url, node_id=node_id, protocol=protocol, **settings))
    if not isinstance(config, Config | str | os.PathLike):
        raise TypeError(
            "connect takes the path of a configuration, a URL of servers, or a Config, not a"
            f" {type(config).__name__}"
        )
    given = [name for name, value in settings.items() if value is not None]
    if given:
        raise TypeError(
            f"{', '.join(given)} cannot be given together with a"
            f" {'Config' if isinstance(config, Config) else 'file'}: write the settings there, or"
            " pass all of them as arguments without it"
        )
    if not isinstance(config, Config):
        config = load_config(config)
    cluster = config.cluster
    if protocol is not None:
        cluster = cluster.with_protocol(protocol)
    if node_id is not None:
        if node_id != "auto" and (isinstance(node_id, bool) or not isinstance(node_id, int)):
            raise TypeError(f'node_id must be an integer or "auto", not {node_id!r:.60}')
        cluster = msgspec.structs.replace(cluster, node_id=node_id)
    return Connecting(msgspec.structs.replace(config, cluster=cluster))
