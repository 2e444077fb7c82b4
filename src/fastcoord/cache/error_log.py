"""Log lines about a failing function ``keys``, at most one a minute."""

from __future__ import annotations

import logging
import time
from typing import Protocol

__all__ = ["ErrorLog"]

INTERVAL = 60.0
"""Seconds between two log lines."""

logger = logging.getLogger("fastcoord")


class HasNodeId(Protocol):
    """A node of either API."""

    @property
    def node_id(self) -> int: ...


class ErrorLog:
    """Reports that everything was dropped because ``keys`` has failed.

    :param node: the node of the cache.
    """

    def __init__(self, node: HasNodeId) -> None:
        self._node = node
        self._next_line_at = 0.0

    def note(self, event: object, error: Exception) -> None:
        """Log the failure, unless the last line is less than a minute old."""
        now = time.monotonic()
        if now < self._next_line_at:
            return
        self._next_line_at = now + INTERVAL
        logger.error(
            "a cache of node %d has dropped everything: the keys of an event are unknown: %s: %r",
            self._node.node_id,
            type(event).__name__,
            error,
        )
