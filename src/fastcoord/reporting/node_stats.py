"""The stats of a node and of its peers, and the health of the node."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fastcoord.stats import Health, Peer, Stats

if TYPE_CHECKING:
    from fastcoord._subscriptions import Subscriptions
    from fastcoord.nats.supervisor import Supervisor
    from fastcoord.presence.presence import Presence
    from fastcoord.publishing.sender import Sender
    from fastcoord.receiving.receiver import Receiver
    from fastcoord.reporting.cluster_errors import ClusterErrors
    from fastcoord.reporting.loss_log import LossLog
    from fastcoord.streaming.feed import Feed
    from fastcoord.streaming.session import StreamSession

__all__ = ["NodeStats"]


class NodeStats:
    """Collect the stats of the parts of a node.

    :param heartbeat: ``cluster.heartbeat``, in seconds.
    """

    def __init__(
        self,
        *,
        sender: Sender,
        receiver: Receiver,
        supervisor: Supervisor,
        presence: Presence,
        stream: StreamSession | None,
        subscriptions: Subscriptions,
        losses: LossLog,
        errors: ClusterErrors,
        heartbeat: float,
    ) -> None:
        self._sender = sender
        self._receiver = receiver
        self._supervisor = supervisor
        self._presence = presence
        self._stream = stream
        self._subscriptions = subscriptions
        self._losses = losses
        self._errors = errors
        self._heartbeat = heartbeat

    def stats(self, node_id: int, incarnation: int, server: str | None) -> Stats:
        """Return the stats of the node now."""
        batcher, receiver = self._sender.batcher, self._receiver
        # With a stream, events arrive at its feed, and everything else at the receiver.
        sides: list[Receiver | Feed] = [receiver]
        if self._stream is not None:
            sides.append(self._stream.feed)
        return Stats(
            node_id=node_id,
            incarnation=incarnation,
            server=server,
            connection=self._supervisor.state,
            reconnects=self._supervisor.reconnects,
            accepted=batcher.accepted,
            confirmed=batcher.confirmed,
            waiting=batcher.waiting,
            discarded=batcher.discarded,
            waiting_batches=batcher.unconfirmed_batches,
            sent_batches=batcher.sealed_batches,
            sent_bytes=self._sender.sent_bytes,
            pace=self._sender.pace.seconds,
            received=sum(each.received for each in sides),
            received_batches=sum(each.received_batches for each in sides),
            received_bytes=sum(each.received_bytes for each in sides),
            duplicates=receiver.duplicates,
            late=receiver.late,
            malformed=sum(each.malformed for each in sides),
            unanswered=self._presence.unanswered,
            missed=self._losses.by_cause(self._subscriptions.missed),
            missed_unknown=self._losses.unknown_by_cause(),
            duplicate_node_ids=tuple(sorted(self._errors.duplicates)),
            protocol_mismatches=dict(self._errors.protocol_mismatches),
            stream=None if self._stream is None else self._stream.stats(),
            subscriptions=self._subscriptions.open_stats(),
            closed_subscriptions=self._subscriptions.closed_stats(),
        )

    def peers(self, own_id: int, now: float) -> tuple[Peer, ...]:
        """Return the stats of every other node, by node id.

        :param own_id: the id of this node.
        :param now: the time of the event loop.
        """
        since_epoch = time.time() - now
        streamed = {} if self._stream is None else self._stream.feed.runs.received_from()
        return tuple(
            Peer(
                node_id=state.node_id,
                incarnation=state.incarnation if state.has_header else None,
                is_up=state.history.is_up if state.has_header else None,
                last_heard=since_epoch + state.last_received_at,
                received=state.received + streamed.get(state.node_id, 0),
                missed=state.missed,
                round_trip=self._presence.questions.round_trips.get(state.node_id),
            )
            for _, state in sorted(self._receiver.peers.items())
            if state.history is not None and state.node_id != own_id
        )

    def health(self, loss_reason: str, now: float) -> Health:
        """Return whether a node that has not ended works, with the reasons if it does not.

        :param loss_reason: why the last connection was lost.
        :param now: the time of the event loop.
        """
        reasons = []
        connection = self._supervisor.connection
        if connection is None:
            failure = self._supervisor.last_failure
            attempt = f"; the last attempt to connect failed: {failure}" if failure else ""
            reasons.append(f"not connected to a server: {loss_reason}{attempt}")
        else:
            reasons += [str(right.denied()) for right in connection.refused]
            if self._stream is not None and self._stream.any_trouble is not None:
                reasons.append(f"the stream {self._stream.stream}: {self._stream.any_trouble}")
        reasons += self._subscriptions.slow(now, self._heartbeat)
        return Health(reasons=tuple(reasons))
