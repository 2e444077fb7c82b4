"""``fastcoord.blocking.connect``: joins the cluster from a program without an event loop."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Literal

from fastcoord import _connect
from fastcoord._deadline import limit_of, within
from fastcoord.blocking._loop_thread import LoopThread
from fastcoord.blocking._node import Node
from fastcoord.config import Config, Settings
from fastcoord.errors import ConnectTimeout

if sys.version_info >= (3, 11):
    from typing import Unpack
elif TYPE_CHECKING:
    from typing_extensions import Unpack

if TYPE_CHECKING:
    from fastcoord import node as asynchronous

__all__ = ["connect"]


def connect(
    config: Config | str | os.PathLike[str] | None = None,
    *,
    node_id: int | Literal["auto"] | None = None,
    protocol: str | None = None,
    timeout: float | None = None,
    **settings: Unpack[Settings],
) -> Node:
    """Join the cluster that a configuration describes.

    :param config: the path of a TOML or JSON file, or the URL of servers, or a ``Config``. Without
        this argument, ``servers`` or the variable ``FASTCOORD_SERVERS`` names the servers.
    :param node_id: overrides ``cluster.node-id``, so that several nodes can share one file.
        ``"auto"`` chooses a free id; ``Node.node_id`` says which one.
    :param protocol: overrides ``cluster.protocol``. The default subject depends on the protocol.
    :param timeout: the limit of the whole call, in seconds. ``timeout.connection`` of the
        configuration limits each attempt at a server.
    :param settings: without a file, all settings, as in ``fastcoord.connect``.
    :return: the node; ``with`` closes it at the end.
    :raises ConfigError: the configuration cannot be used.
    :raises TypeError: there is no such argument, or it has another type, or it is not accepted
        with a file.
    :raises ValueError: an argument is out of range, such as a negative ``timeout``.
    :raises ConnectError: no server could be joined.
    """
    limit = limit_of(timeout)
    thread = LoopThread()

    async def join() -> asynchronous.Node:
        # Set here: an interrupted call must find the node to close it.
        thread.node = await _connect.connect(config, node_id=node_id, protocol=protocol, **settings)
        return thread.node

    async def join_in_time() -> asynchronous.Node:
        if limit is None:
            return await join()
        try:
            return await within(join(), limit)
        except ConnectTimeout:
            raise
        except TimeoutError:
            raise ConnectTimeout(f"no server could be joined within {limit:g} s") from None

    try:
        node = thread.run(join_in_time)
    except BaseException:
        # Ends the tasks of the attempt, too, if it was interrupted.
        thread.close(0.0)
        raise
    return Node(node, thread)
