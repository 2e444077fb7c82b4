from collections.abc import Coroutine, Iterable
from typing import Any, Protocol

from fastcoord.publishing.batcher import Batcher
from fastcoord.publishing.node_state import NodeState
from fastcoord.publishing.publisher_base import PublisherBase
from fastcoord.wire.event_classes import Publishable
from fastcoord.wire.events import Event

class _Sender(Protocol):
    def publish_rest(self, prepared: tuple[Event, ...], done: int) -> Coroutine[Any, Any, None]: ...
    def yield_to_loop(self) -> Coroutine[Any, Any, None]: ...
    def check_caller(self) -> None: ...

class Publisher(PublisherBase):
    """The publishing methods of a node.

    :param state: stores what has ended the node.
    :param batcher: encodes the events.
    :param owner: has three methods. ``publish_rest(prepared, done)`` returns a coroutine that
        waits until the events from index ``done`` on are accepted. ``yield_to_loop()`` returns a
        coroutine that lets the event loop run one iteration. ``check_caller()`` raises
        ``WrongLoop`` if the call comes from another event loop or thread.
    """
    def __init__(self, state: NodeState, batcher: Batcher, owner: _Sender) -> None: ...
    def publish(self, *events: Publishable) -> Coroutine[Any, Any, None]:
        """Publish events to every other node; wait while ``capacity.client`` is used up.

        The events are accepted in their order. If there is capacity, they are accepted as soon as
        this call returns. Otherwise they are accepted when the await ends. Accepted events are kept
        until the server has confirmed them. After a reconnect they are sent again.

        :param events: any events that the protocol has. If one of them is refused, none is sent.
        :raises UnsupportedEvent: the protocol does not have such an event.
        :raises EventTooLarge: an event does not fit into a batch and cannot be split.
        :raises TypeError: something is not an event.
        :raises PermissionDenied: the server does not permit this node to publish.
        :raises ConnectionLost: the connection is lost, and reconnecting was given up.
        :raises NodeClosed: the node was closed.
        :raises WrongLoop: the call comes from another event loop or thread.
        """
    def publish_many(self, events: Iterable[Publishable]) -> Coroutine[Any, Any, None]:
        """Publish a list of events, like ``publish(*events)`` but without unpacking the list.

        :param events: an iterable of events.
        :raises UnsupportedEvent: the protocol does not have such an event.
        :raises EventTooLarge: an event does not fit into a batch and cannot be split.
        :raises TypeError: something is not an event.
        :raises PermissionDenied: the server does not permit this node to publish.
        :raises ConnectionLost: the connection is lost, and reconnecting was given up.
        :raises NodeClosed: the node was closed.
        :raises WrongLoop: the call comes from another event loop or thread.
        """
