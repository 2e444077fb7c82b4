"""``Node``: the public API of one blocking node."""

from __future__ import annotations

import warnings
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from fastcoord._deadline import limit_of, seconds_of, within
from fastcoord.blocking._loop_thread import LoopThread
from fastcoord.blocking._subscription import Subscription
from fastcoord.errors import RequestTimeout
from fastcoord.node import DEFAULT_CLOSE_TIMEOUT
from fastcoord.publishing.blocking_publisher import BlockingPublisher

if TYPE_CHECKING:
    from fastcoord import node as asynchronous
    from fastcoord.config import Config
    from fastcoord.events import Event, Notice
    from fastcoord.publishing.sender import Sender
    from fastcoord.receiving.consumer import Overflow
    from fastcoord.stats import Health, Peer, Stats
    from fastcoord.streaming.start import Since

__all__ = ["Node"]

T = TypeVar("T")


class Node(BlockingPublisher):
    """A node of a cluster, for programs without an event loop.

    ``fastcoord.blocking.connect`` creates a node. Any thread of the process may call its methods. A
    call in a forked child raises ``NodeClosed``. A node that is not closed is closed when the
    interpreter exits.
    """

    def __init__(self, node: asynchronous.Node, thread: LoopThread) -> None:
        session = node._session
        super().__init__(session.state, session.sender.batcher, _Waits(session.sender, thread))
        self._node = node
        self._thread = thread

    def __del__(self) -> None:
        thread: LoopThread | None = getattr(self, "_thread", None)
        if thread is None or thread.is_ended or self._node._session.is_closing:
            return
        thread.close_later(DEFAULT_CLOSE_TIMEOUT)
        warnings.warn(
            f"{self!r} was never closed: use `with`, or call node.close()",
            ResourceWarning,
            source=self,
            stacklevel=2,
        )

    def __repr__(self) -> str:
        return repr(self._node).replace("fastcoord.Node", "fastcoord.blocking.Node", 1)

    @overload
    def flush(self, timeout: float | None = ..., *, peers: Literal[False] = ...) -> None: ...

    @overload
    def flush(self, timeout: float | None = ..., *, peers: Literal[True]) -> frozenset[int]: ...

    @overload
    def flush(self, timeout: float | None = ..., *, peers: bool) -> frozenset[int] | None: ...

    def flush(self, timeout: float | None = None, *, peers: bool = False) -> frozenset[int] | None:
        """Wait until the server has confirmed all events that were accepted before this call.

        Discarded events (``stats().discarded``) cannot be confirmed.

        :param timeout: the limit in seconds; by default ``timeout.request`` of the configuration.
        :param peers: whether to wait as well until every peer that is up has received these events,
            as for ``fastcoord.Node``. This takes at most ``timeout.request``.
        :return: with ``peers``, the ids of these peers; else ``None``.
        :raises TypeError: ``timeout`` is not a number.
        :raises ValueError: ``timeout`` is negative.
        :raises PeersUnconfirmed: a peer did not confirm all events in time, or has missed some of
            those accepted since the last call with ``peers``.
        :raises RequestTimeout: the confirmation took longer, or some of the events were discarded
            during this call.
        :raises PermissionDenied: the server does not permit this node to publish.
        :raises ConnectionLost: the connection is lost, and reconnecting was given up.
        :raises NodeClosed: the node was closed, or this process is a forked child.
        """
        self._check()
        limit = limit_of(timeout)
        if peers:
            return self._thread.run(
                lambda: _limited(
                    self._node.flush(peers=True), limit, "flush: not every peer has confirmed"
                )
            )
        if limit is None:
            self._thread.run(self._node.flush)
        else:
            sender = self._node._session.sender
            self._thread.run(lambda: sender.flush(limit))
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
        timeout: float | None = ...,
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
        timeout: float | None = ...,
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
        timeout: float | None = None,
    ) -> Subscription[Any]:
        """Subscribe to the events that the other nodes publish from now on.

        :param kinds: the classes of events and notices to deliver; ``None`` for all events.
            ``Missed`` is always delivered.
        :param overflow: which events to drop if the program is too slow: ``"drop-oldest"`` or
            ``"drop-newest"``. ``Missed`` reports how many were dropped.
        :param peers: whether to deliver ``PeerUp`` and ``PeerDown``.
        :param connection: whether to deliver ``Disconnected`` and ``Reconnected``.
        :param name: a short name for stats and metrics, such as ``"cache"``.
        :param since: where to begin in the stream of ``cluster.stream``: a stream sequence, a
            ``timedelta`` or seconds before now, or a ``datetime``, as for ``fastcoord.Node``.
        :param timeout: how many seconds an iteration waits for its next item before it raises
            ``RequestTimeout``; ``None`` for no limit.
        :return: the subscription, to be used with ``with`` and ``for``.
        :raises TypeError: an item of ``kinds`` is not a class of events or notices, or ``name``,
            ``since`` or ``timeout`` has another type.
        :raises UnsupportedEvent: ``kinds`` has an event that the node's protocol does not have.
        :raises ValueError: ``kinds`` or ``name`` is empty, or ``overflow`` has another value, or
            ``since`` is negative or has no time zone, or ``timeout`` is negative.
        :raises StreamError: ``since`` is given, and the node has no stream.
        :raises ConnectionLost: the connection is lost, and reconnecting was given up.
        :raises NodeClosed: the node was closed, or this process is a forked child.
        """
        self._check()
        limit = limit_of(timeout)
        subscription = self._thread.call(
            lambda: self._node.subscribe(
                kinds=kinds,
                overflow=overflow,
                peers=peers,
                connection=connection,
                name=name,
                since=since,
            )
        )
        return Subscription(subscription._consumer, self._thread, self, limit)

    @property
    def node_id(self) -> int:
        """This node's id within the cluster."""
        return self._node.node_id

    @property
    def config(self) -> Config:
        """The configuration in force, with the arguments of ``connect`` applied."""
        return self._node.config

    @property
    def is_connected(self) -> bool:
        """Whether the node is connected to a server now."""
        return self._node.is_connected

    def stats(self) -> Stats:
        """Return the current stats of this node."""
        return self._thread.call(self._node.stats)

    def peers(self) -> tuple[Peer, ...]:
        """Return the stats of every other node, by node id."""
        return self._thread.call(self._node.peers)

    def health(self) -> Health:
        """Return whether this node works: a true value, or a false one with the reasons.

        The reasons are those of ``fastcoord.Node.health``.
        """
        return self._thread.call(self._node.health)

    def ping(self, node_id: int, timeout: float | None = None) -> float:
        """Send a ping to another fastcoord node and wait for its answer.

        :param node_id: the id of the other node.
        :param timeout: the limit in seconds, if it is less than ``timeout.request`` of the
            configuration.
        :return: the round-trip time, in seconds.
        :raises TypeError: the node id is not an integer, or ``timeout`` is not a number.
        :raises ValueError: no other node can have this id, or ``timeout`` is negative.
        :raises RequestTimeout: the node did not answer in time.
        :raises ConnectionLost: the connection is lost, and reconnecting was given up.
        :raises NodeClosed: the node was closed, or this process is a forked child.
        """
        self._check()
        limit = limit_of(timeout)
        return self._thread.run(
            lambda: _limited(
                self._node.ping(node_id), limit, f"ping: node {node_id} did not answer"
            )
        )

    def close(self, timeout: float = DEFAULT_CLOSE_TIMEOUT) -> int:
        """Send the accepted events and a goodbye, then disconnect, within ``timeout``.

        Publishing raises ``NodeClosed`` as soon as the goodbye is sent. Iterations over
        subscriptions end after the buffered events. Further calls wait for the first one.

        :param timeout: the limit in seconds.
        :return: the number of events that were not confirmed, including those discarded during this
            call; 0 if all were confirmed.
        :raises TypeError: ``timeout`` is not a number.
        :raises ValueError: ``timeout`` is negative.
        """
        if self._node._session.is_forked:
            self._check()
        return self._thread.close(seconds_of(timeout))

    def __enter__(self) -> Node:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._node._session.is_forked:
            self.close()

    def _check(self) -> None:
        """Raise what has ended the node, if it has ended."""
        self._node._session.state.check()


class _Waits:
    """The waits of ``publish``.

    :param sender: the sending side of the node.
    :param thread: the thread of the node's event loop.
    """

    def __init__(self, sender: Sender, thread: LoopThread) -> None:
        self._sender = sender
        self.yield_to_loop = thread.pause
        self.limit_of = limit_of
        self._thread = thread

    def publish_rest(self, prepared: tuple[Event, ...], done: int, timeout: float | None) -> None:
        part = "; a part of the events was accepted" if done else ""
        self._thread.run(
            lambda: _limited(
                self._sender.publish_rest(prepared, done),
                timeout,
                f"publish: no capacity for the events became free{part}",
            )
        )


async def _limited(awaitable: Coroutine[Any, Any, T], timeout: float | None, what: str) -> T:
    """Await a coroutine within a time limit.

    :param what: the beginning of the error message.
    :raises RequestTimeout: the limit was exceeded.
    """
    if timeout is None:
        return await awaitable
    try:
        return await within(awaitable, timeout)
    except RequestTimeout:
        raise
    except TimeoutError:
        raise RequestTimeout(f"{what} within {timeout:g} s") from None


Node.__module__ = "fastcoord.blocking"
