"""What the consumers of a node know about the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fastcoord.nats.connection import Connection
    from fastcoord.nats.jetstream import JetStream
    from fastcoord.nats.stream_info import StreamInfo

__all__ = ["StreamSource"]


class StreamSource(Protocol):
    """What all consumers of a node share."""

    stream: str
    jetstream: JetStream | None
    connection: Connection | None
    heartbeat: float
    max_demand: int
    """The most messages that are requested at once; every ring has space for as many."""
    max_demand_bytes: int
    """The most bytes of one request; every ring has space for several times as many."""

    ring_bytes: int
    """The bytes of payload that every ring holds."""

    async def wait_connected(self) -> None:
        """Wait until the node is connected."""

    def next_sid(self) -> int:
        """Return a subscription id that was not used before."""

    def observe(self, info: StreamInfo) -> None:
        """Note what is known about the stream."""
