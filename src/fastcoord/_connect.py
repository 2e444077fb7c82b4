"""``fastcoord.connect``: creates a node from a configuration and joins the cluster."""

from __future__ import annotations

import os
import warnings
from collections.abc import Generator
from types import TracebackType
from typing import Any

import msgspec

from fastcoord._session import Session
from fastcoord.config import Config, load_config
from fastcoord.node import Node

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
    session = Session(config)
    await session.start()
    return Node(session)


def connect(
    config: Config | str | os.PathLike[str],
    *,
    node_id: int | None = None,
    protocol: str | None = None,
) -> Connecting:
    """Join the cluster that a configuration describes.

    :param config: the path of a TOML or JSON file, or the result of ``load_config`` or
        ``parse_config``.
    :param node_id: overrides ``cluster.node-id``, so that several nodes can share one file.
    :param protocol: overrides ``cluster.protocol``. The default subject depends on the protocol.
    :return: an object for ``await`` or ``async with``. Both return the node, and ``async with``
        closes the node at the end.
    :raises ConfigError: the configuration cannot be used. The call itself raises this.
    :raises ValueError: an argument is out of range. The call itself raises this.
    :raises ConnectError: no server could be joined. ``await`` or ``async with`` raises this.
    """
    if not isinstance(config, Config):
        if not isinstance(config, str | os.PathLike):
            raise TypeError(
                "connect takes the path of a configuration, or a Config, not a"
                f" {type(config).__name__}"
            )
        config = load_config(config)
    cluster = config.cluster
    if protocol is not None:
        cluster = cluster.with_protocol(protocol)
    if node_id is not None:
        if isinstance(node_id, bool) or not isinstance(node_id, int):
            raise TypeError(f"node_id must be an integer, not {type(node_id).__name__}")
        cluster = msgspec.structs.replace(cluster, node_id=node_id)
    return Connecting(msgspec.structs.replace(config, cluster=cluster))
