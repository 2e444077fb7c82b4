"""Errors in the settings of a cluster that a node notices by the messages of its peers."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from fastcoord.reporting.log_limit import LogLimit

if TYPE_CHECKING:
    from fastcoord.config import Cluster

__all__ = ["ClusterErrors"]


class ClusterErrors:
    """Log and store the errors that one node has noticed.

    :param cluster: the settings of the node.
    :param name: the start of each log line.
    :ivar duplicates: the ids that two running nodes use.
    :ivar protocol_mismatches: the protocols of peers that use another one than this node.
    """

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster = cluster
        self._log = LogLimit(name)
        self._loop = asyncio.get_running_loop()
        self.duplicates: set[int] = set()
        self.protocol_mismatches: dict[int, str] = {}

    @property
    def name(self) -> str:
        """The start of each log line."""
        return self._log.name

    @name.setter
    def name(self, name: str) -> None:
        self._log.name = name

    def duplicate_node_id(self, node_id: int) -> None:
        """Log that two running nodes have one id."""
        self.duplicates.add(node_id)
        self._error(
            "duplicate node ids",
            "two running nodes use node id %d on %s; each drops the other's events: give one of"
            " them another cluster.node-id",
            node_id,
            self._cluster.subject,
        )

    def protocol_mismatch(self, node_id: int, protocol: str) -> None:
        """Log that a peer uses another protocol on the same subject."""
        self.protocol_mismatches[node_id] = protocol
        self._error(
            "other protocols",
            "node %d uses the protocol %s on %s, and this node uses %s; neither can read the"
            " other's events: give all nodes of a cluster the same cluster.protocol",
            node_id,
            protocol,
            self._cluster.subject,
            self._cluster.protocol,
        )

    def without_presence(self, node_id: int) -> None:
        """Log that events of a peer arrive, but not its heartbeats."""
        cluster = self._cluster
        self._error(
            "nodes without presence",
            "events of node %d arrive on %s, but nothing of it on %s: give all nodes of the cluster"
            " the same cluster.presence-subject and the rights on it, or set"
            ' cluster.presence-subject = "%s" on all of them',
            node_id,
            cluster.subject,
            cluster.presence_subject,
            cluster.subject,
        )

    def _error(self, kind: str, text: str, *arguments: object) -> None:
        self._log.log(logging.ERROR, kind, self._loop.time(), text, *arguments)

    def tick(self, now: float) -> None:
        """Log how many lines were left out."""
        self._log.tick(now)
