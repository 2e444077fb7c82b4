"""Configurations for test servers, and nodes that connect to them."""

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

import fastcoord


class Reachable(Protocol):
    """A local server or a proxy in front of one."""

    @property
    def url(self) -> str: ...


def node_toml(
    servers: Reachable | Iterable[Reachable],
    *,
    cluster: Mapping[str, Any] | None = None,
    **settings: Any,
) -> str:
    """Write the TOML that starts a node on the given servers.

    ::

        node_toml(server, user="a", password="b", capacity={"client": 8}, max_reconnects=3,
                  cluster={"protocol": "fastcoord-1", "heartbeat": "100ms"})

    :param servers: one or several.
    :param cluster: keys of ``[cluster]``, with ``_`` for ``-``.
    :param settings: keys of ``[store."nats"]``, with ``_`` for ``-``; a table is a mapping. An
        ``address`` here replaces that of ``servers``.
    """
    each = [servers] if hasattr(servers, "url") else servers
    store = {"type": "nats", "address": [server.url for server in each], **settings}
    lines = ['[store."nats"]', *_lines(store)]
    lines += ["", "[cluster]", *_lines({"coordinator": "nats", **(cluster or {})})]
    return "\n".join([*lines, ""])


@asynccontextmanager
async def joined(
    servers: Reachable | Iterable[Reachable], node_id: int, **settings: Any
) -> AsyncIterator[Any]:
    """Connect a node to the given servers.

    :param node_id: the node's id.
    :param settings: those of :func:`node_toml`. Without a ``timeout``, a busy machine may need
        longer than the default one.
    :return: the node; it is closed at the end.
    """
    config = fastcoord.parse_config(node_toml(servers, **settings))
    if "timeout" in settings:
        connecting: Awaitable[fastcoord.Node] = fastcoord.connect(config, node_id=node_id)
    else:
        connecting = patiently_connected(config, node_id=node_id)
    async with await connecting as node:
        yield node


async def patiently_connected(config: fastcoord.Config, **options: Any) -> fastcoord.Node:
    """Connect a node, and try again if a busy machine needs longer than ``timeout.connection``.

    :param options: those of :func:`fastcoord.connect`.
    """
    while True:
        with contextlib.suppress(fastcoord.ConnectTimeout):
            return await fastcoord.connect(config, **options)


def _lines(table: Mapping[str, Any], prefix: str = "") -> list[str]:
    lines = []
    for key, value in table.items():
        name = prefix + key.replace("_", "-")
        if isinstance(value, Mapping):
            lines += _lines(value, f"{name}.")
        else:
            lines.append(f"{name} = {_value(value)}")
    return lines


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_value(each) for each in value)}]"
    if isinstance(value, (bool, int)):
        return json.dumps(value)
    # A JSON string is a TOML basic string, except for DEL, which no test needs.
    return json.dumps(str(value), ensure_ascii=False)
