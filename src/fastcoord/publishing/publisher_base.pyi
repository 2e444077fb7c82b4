from typing_extensions import disjoint_base

from fastcoord.publishing.batcher import Batcher
from fastcoord.publishing.node_state import NodeState
from fastcoord.wire.event_classes import Publishable

@disjoint_base
class PublisherBase:
    """Accept events for a node.

    :param state: stores what has ended the node.
    :param batcher: encodes the events.
    :param owner: waits for capacity and for the event loop; see the subclasses.
    """
    def __init__(self, state: NodeState, batcher: Batcher, owner: object) -> None: ...
    def publish_nowait(self, *events: Publishable) -> None:
        """Publish events without waiting, from any thread.

        The state of the connection never makes this call fail. When ``capacity.client`` is used up,
        the oldest batch that was not sent is discarded. It is counted in ``stats().discarded``, and
        the peers receive ``Missed`` with the cause ``"discarded"``.

        :raises UnsupportedEvent: the protocol does not have such an event.
        :raises EventTooLarge: an event does not fit into a batch and cannot be split.
        :raises TypeError: something is not an event.
        :raises NodeClosed: the node was closed, or this process is a forked child.
        """
