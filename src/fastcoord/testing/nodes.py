"""The nodes of a program, as arguments of the methods of a bus."""

from __future__ import annotations

from typing import TypeAlias

from fastcoord import blocking
from fastcoord.node import Node

__all__ = ["NodeOrId", "end_without_goodbye", "node_id_of"]

NodeOrId: TypeAlias = Node | blocking.Node | int


def node_id_of(node: NodeOrId) -> int:
    """Return the id of a node.

    :raises TypeError: ``node`` is neither a node nor an id.
    """
    if isinstance(node, int) and not isinstance(node, bool):
        return node
    if isinstance(node, Node | blocking.Node):
        return node.node_id
    raise TypeError(f"expected a node or its id, not {node!r:.60}")


def end_without_goodbye(node: Node | blocking.Node) -> None:
    """End a node as if its process was killed.

    :raises TypeError: ``node`` is not a node.
    """
    if isinstance(node, blocking.Node):
        node = node._node
    if not isinstance(node, Node):
        raise TypeError(f"expected a node, not {node!r:.60}: an id is not enough to end it")
    node._session.abandon("killed")
