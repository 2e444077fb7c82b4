"""Join a cluster for the time of a command."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import fastcoord

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastcoord import Config, Node
    from fastcoord.cli.arguments import NodeId

__all__ = ["join"]

TIME_TO_LEAVE = 0.1
"""Seconds to close a node that has no connection and nothing to send."""


@asynccontextmanager
async def join(config: Config, node_id: NodeId) -> AsyncIterator[Node]:
    """Join a cluster as one more node, and leave it at the end.

    ``Node.close`` waits for a lost connection, so that the goodbye can be sent. An operator who
    presses Ctrl-C does not want to wait for that.

    :param config: the configuration.
    :param node_id: the node id, or ``"auto"``.
    """
    async with fastcoord.connect(config, node_id=node_id) as node:
        try:
            yield node
        finally:
            if not node.is_connected and not node.stats().waiting:
                await node.close(timeout=TIME_TO_LEAVE)
