from collections.abc import Iterable
from typing import Protocol

from fastcoord.publishing.batcher import Batcher
from fastcoord.publishing.node_state import NodeState
from fastcoord.publishing.publisher_base import PublisherBase
from fastcoord.wire.event_classes import Publishable
from fastcoord.wire.events import Event

class _Waits(Protocol):
    def publish_rest(
        self, prepared: tuple[Event, ...], done: int, timeout: float | None
    ) -> None: ...
    def yield_to_loop(self) -> None: ...
    def limit_of(self, timeout: object) -> float | None: ...

class BlockingPublisher(PublisherBase):
    """The publishing methods of a blocking node.

    :param state: stores what has ended the node.
    :param batcher: encodes the events.
    :param owner: has three methods. ``publish_rest(prepared, done, timeout)`` waits until the
        events from index ``done`` on are accepted. ``yield_to_loop()`` waits until the event loop
        has run one iteration. ``limit_of(timeout)`` checks a timeout and returns it as a float.
    """
    def __init__(self, state: NodeState, batcher: Batcher, owner: _Waits) -> None: ...
    def publish(self, *events: Publishable, timeout: float | None = None) -> None:
        """Publish events to every other node; wait while ``capacity.client`` is used up.

        The events are accepted in their order. Accepted events are kept until the server has
        confirmed them. After a reconnect they are sent again.

        :param events: any events that the protocol has. If one of them is refused, none is sent.
        :param timeout: the limit of the wait, in seconds; ``None`` for no limit.
        :raises RequestTimeout: the wait exceeded the timeout. Of several events, the first ones may
            have been accepted.
        :raises UnsupportedEvent: the protocol does not have such an event.
        :raises EventTooLarge: an event does not fit into a batch and cannot be split.
        :raises TypeError: something is not an event, or ``timeout`` is not a number.
        :raises ValueError: ``timeout`` is negative.
        :raises PermissionDenied: the server does not permit this node to publish.
        :raises ConnectionLost: the connection is lost, and reconnecting was given up.
        :raises NodeClosed: the node was closed, or this process is a forked child.
        """
    def publish_many(self, events: Iterable[Publishable], *, timeout: float | None = None) -> None:
        """Publish a list of events, like ``publish(*events)`` but without unpacking the list.

        :param events: an iterable of events.
        :param timeout: the limit of the wait, in seconds; ``None`` for no limit.
        :raises RequestTimeout: the wait exceeded the timeout. Of several events, the first ones may
            have been accepted.
        :raises UnsupportedEvent: the protocol does not have such an event.
        :raises EventTooLarge: an event does not fit into a batch and cannot be split.
        :raises TypeError: something is not an event, or ``timeout`` is not a number.
        :raises ValueError: ``timeout`` is negative.
        :raises PermissionDenied: the server does not permit this node to publish.
        :raises ConnectionLost: the connection is lost, and reconnecting was given up.
        :raises NodeClosed: the node was closed, or this process is a forked child.
        """
