"""A stream as JetStream describes it: its settings, its state and its replicas.

The names and values are those of the JSON of JetStream's API. Durations are in nanoseconds, and
``0`` or ``-1`` stand for no limit.
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["Replica", "StreamCluster", "StreamInfo", "StreamSettings", "StreamState"]


class StreamSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a stream. JetStream has more; only these matter to fastcoord."""

    name: str
    subjects: tuple[str, ...] = ()
    retention: str = "limits"
    storage: str = "file"
    discard: str = "old"
    num_replicas: int = 1
    max_age: int = 0
    max_bytes: int = -1
    max_msgs: int = -1
    max_msgs_per_subject: int = -1
    max_msg_size: int = -1
    max_consumers: int = -1
    duplicate_window: int = 0
    no_ack: bool = False
    sealed: bool = False
    allow_direct: bool = False
    mirror: dict[str, Any] | None = None
    sources: tuple[dict[str, Any], ...] | None = None
    subject_transform: dict[str, Any] | None = None


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """The messages that a stream stores."""

    messages: int
    bytes: int
    first_seq: int
    """The sequence of the oldest message; if the stream is empty, that of the next one."""
    last_seq: int
    """The sequence of the newest message, even if it is no longer stored; ``0`` at first."""
    first_ts: str = ""
    last_ts: str = ""
    consumer_count: int = 0
    num_deleted: int = 0


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """A server that follows the leader of a stream."""

    name: str
    current: bool = False
    """Whether the replica has everything that the leader has confirmed."""
    offline: bool = False
    lag: int = 0
    """The number of operations that the replica has not applied yet."""


class StreamCluster(msgspec.Struct, frozen=True, kw_only=True):
    """The servers that store a stream."""

    leader: str = ""
    """The name of the server that accepts messages for the stream; empty if there is none."""
    replicas: tuple[Replica, ...] | None = None


class StreamInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request for a stream."""

    config: StreamSettings
    state: StreamState
    cluster: StreamCluster | None = None
    """A server outside of a cluster is the leader of its streams."""
    created: str = ""
