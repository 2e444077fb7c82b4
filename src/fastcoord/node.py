"""``Node``: the public API of one node of a cluster."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from fastcoord._deadline import seconds_of
from fastcoord.publishing.publisher import Publisher
from fastcoord.receiving.subscription import Subscription

if TYPE_CHECKING:
    from fastcoord._session import Session
    from fastcoord.config import Config
    from fastcoord.events import Event, Notice
    from fastcoord.receiving.consumer import Overflow
    from fastcoord.stats import Health, Peer, Stats
    from fastcoord.streaming.start import Since

__all__ = ["Node"]

DEFAULT_CLOSE_TIMEOUT = 5.0

T = TypeVar("T")


class Node(Publisher):
    """A node of a cluster. It publishes events and receives the events of all other nodes.

    ``fastcoord.connect`` creates a node. Use the node on the event loop and in the process that
    created it. A call from another event loop raises ``WrongLoop``, and a call in a forked child
    raises ``NodeClosed``. Only ``publish_nowait`` may be called from any thread.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session.state, session.sender.batcher, session.sender)
        self._session = session

    def __del__(self) -> None:
        session: Session | None = getattr(self, "_session", None)
        if session is None or session.is_closing or session.state.ended is not None:
            return
        warnings.warn(
            f"{self!r} was never closed: use async with, or await node.close()",
            ResourceWarning,
            source=self,
            stacklevel=2,
        )
        session.abandon()

    def __repr__(self) -> str:
        session = self._session
        state = "closed" if session.is_closing else (session.server or "not connected")
        return f"<fastcoord.Node {self.node_id} on {self.config.cluster.subject}: {state}>"

    @overload
    async def flush(self, *, peers: Literal[False] = False) -> None: ...

    @overload
    async def flush(self, *, peers: Literal[True]) -> frozenset[int]: ...

    @overload
    async def flush(self, *, peers: bool) -> frozenset[int] | None: ...

    async def flush(self, *, peers: bool = False) -> frozenset[int] | None:
        """Wait until the server has confirmed all events that were accepted before this call.

        Discarded events (``stats().discarded``) cannot be confirmed.

        :param peers: whether to wait as well until every peer that is up has received these events,
            as far as they were published after it joined. Received means stored for each of its
            subscriptions; one with ``since`` must first have replayed them. Peers that send no
            sequence headers, such as Stalwart, are not asked.
        :return: with ``peers``, the ids of these peers; else ``None``.
        :raises PeersUnconfirmed: a peer did not confirm all events within ``timeout.request``, or
            has missed some of those accepted since the last call with ``peers``.
        :raises RequestTimeout: the confirmation took longer than ``timeout.request``, or some of
            the events were discarded during this call.
        :raises PermissionDenied: the server does not permit this node to publish.
        :raises ConnectionLost: the connection is lost, and reconnecting was given up.
        :raises NodeClosed: the node was closed.
        """
        self._session.check_caller()
        if peers:
            return await self._session.flush_peers()
        await self._session.sender.flush()
        return None

    @overload
    def subscribe(
        self,
        *,
        kinds: Iterable[type[Event] | type[Notice]] | None = ...,
        overflow: Overflow = ...,
        peers: bool = ...,
        connection: bool = ...,
        name: str | None = ...,
        since: Since | None = ...,
    ) -> Subscription[Event]: ...

    @overload
    def subscribe(
        self,
        *,
        kinds: Iterable[type[T]],
        overflow: Overflow = ...,
        peers: bool = ...,
        connection: bool = ...,
        name: str | None = ...,
        since: Since | None = ...,
    ) -> Subscription[T]: ...

    def subscribe(
        self,
        *,
        kinds: Iterable[type[Any]] | None = None,
        overflow: Overflow = "drop-oldest",
        peers: bool = False,
        connection: bool = False,
        name: str | None = None,
        since: Since | None = None,
    ) -> Subscription[Any]:
        """Subscribe to the events that the other nodes publish from now on, or since earlier.

        :param kinds: the classes of events and notices to deliver; ``None`` for all events.
            ``Missed`` is always delivered.
        :param overflow: which events to drop if the program is too slow: ``"drop-oldest"`` or
            ``"drop-newest"``. ``Missed`` reports how many were dropped.
        :param peers: whether to deliver ``PeerUp`` and ``PeerDown``.
        :param connection: whether to deliver ``Disconnected`` and ``Reconnected``.
        :param name: a short name for stats and metrics, such as ``"cache"``.
        :param since: where to begin in the stream of ``cluster.stream``. What is stored there is
            replayed first. An integer is a stream sequence: the messages behind it are delivered,
            so that a program continues with the ``sequence`` of its last subscription. A
            ``timedelta`` or a float (seconds) counts back from now. A ``datetime`` with a time zone
            is the time at which the stream stored the first message.
        :return: the subscription, to be used with ``async with`` and ``async for``.
        :raises TypeError: an item of ``kinds`` is not a class of events or notices, or ``name`` or
            ``since`` has another type.
        :raises UnsupportedEvent: ``kinds`` has an event that the node's protocol does not have.
        :raises ValueError: ``kinds`` or ``name`` is empty, or ``overflow`` has another value, or
            ``since`` is negative or has no time zone.
        :raises StreamError: ``since`` is given, and the node has no stream.
        :raises ConnectionLost: the connection is lost, and reconnecting was given up.
        :raises NodeClosed: the node was closed.
        """
        self._session.check_caller()
        consumer = self._session.subscribe(
            kinds=kinds,
            overflow=overflow,
            peers=peers,
            connection=connection,
            name=name,
            since=since,
        )
        # A program may refer to the subscription only. The subscription then keeps the node alive.
        consumer.node = self
        return Subscription(consumer)

    @property
    def node_id(self) -> int:
        """This node's id within the cluster."""
        return self._session.node_id

    @property
    def config(self) -> Config:
        """The configuration in force, with the arguments of ``connect`` applied."""
        return self._session.config

    @property
    def is_connected(self) -> bool:
        """Whether the node is connected to a server now."""
        return self._session.server is not None

    def stats(self) -> Stats:
        """Return the current stats of this node."""
        self._session.check_caller()
        return self._session.stats()

    def peers(self) -> tuple[Peer, ...]:
        """Return the stats of every other node, by node id."""
        self._session.check_caller()
        return self._session.peers()

    def health(self) -> Health:
        """Return whether this node works: a true value, or a false one with the reasons.

        The reasons are: the node has ended or is not connected to a server; the server refuses a
        right that the node needs; a subscription has been more than half full for longer than a
        heartbeat, because the program reads it too slowly.
        """
        self._session.check_caller()
        return self._session.health()

    async def ping(self, node_id: int) -> float:
        """Send a ping to another fastcoord node and wait for its answer.

        :param node_id: the id of the other node.
        :return: the round-trip time, in seconds.
        :raises TypeError: the node id is not an integer.
        :raises ValueError: no other node can have this id.
        :raises RequestTimeout: the node did not answer within ``timeout.request``.
        :raises ConnectionLost: the connection is lost, and reconnecting was given up.
        :raises NodeClosed: the node was closed.
        """
        self._session.check_caller()
        return await self._session.ping(node_id)

    async def close(self, timeout: float = DEFAULT_CLOSE_TIMEOUT) -> int:
        """Send the accepted events and a goodbye, then disconnect, within ``timeout``.

        Publishing raises ``NodeClosed`` as soon as the goodbye is sent. Iterations over
        subscriptions end after the buffered events. Further calls wait for the first one.

        :param timeout: the limit in seconds.
        :return: the number of events that were not confirmed, including those discarded during this
            call; 0 if all were confirmed.
        :raises TypeError: ``timeout`` is not a number.
        :raises ValueError: ``timeout`` is negative.
        """
        self._session.check_caller()
        return await self._session.close(seconds_of(timeout))

    async def __aenter__(self) -> Node:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._session.is_forked:
            await self.close()


Node.__module__ = "fastcoord"
