"""The attributes that the parts of a session share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from fastcoord._liveness import Liveness
    from fastcoord._subscriptions import Subscriptions
    from fastcoord.config import Config
    from fastcoord.nats.supervisor import Supervisor
    from fastcoord.presence.own_id import OwnId
    from fastcoord.presence.presence import Presence
    from fastcoord.publishing.hold import Hold
    from fastcoord.publishing.node_state import NodeState
    from fastcoord.publishing.sender import Sender
    from fastcoord.receiving.receiver import Receiver
    from fastcoord.receiving.rules import Rules
    from fastcoord.reporting.cluster_errors import ClusterErrors
    from fastcoord.reporting.loss_log import LossLog
    from fastcoord.streaming.session import StreamSession

__all__ = ["Parts"]


class Parts:
    """The components and the state of a node, which ``Session`` creates."""

    config: Config
    is_auto: bool
    """Whether the configuration asks for a free node id."""
    node_id: int
    incarnation: int
    name: str
    """The start of each log line of the node."""
    is_forked: bool
    """Whether this process is a forked child, so that the node belongs to its parent."""
    state: NodeState
    sender: Sender
    _loop: asyncio.AbstractEventLoop
    _receiver: Receiver
    _rules: Rules
    _stream: StreamSession | None
    _presence: Presence
    _own_id: OwnId
    _supervisor: Supervisor
    _liveness: Liveness
    _subscriptions: Subscriptions
    _hold: Hold
    _losses: LossLog
    _errors: ClusterErrors
    _closing: asyncio.Task[int] | None
    _has_joined: bool
    _loss_reason: str
    """Why the last connection was lost."""
    _is_duplicate_unreported: bool
    _stalwart_received_at: float | None
    """When a message without a sequence header last arrived, on the event loop's clock."""
