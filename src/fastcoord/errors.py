"""The exception classes of fastcoord.

::

    FastcoordError
    ├── ConfigError (ValueError)          the configuration cannot be used
    ├── EventTooLarge (ValueError)        an event does not fit into one batch
    ├── UnsupportedEvent (ValueError)     the node's protocol has no such event
    ├── DecodeError (ValueError)          the bytes are not a batch
    ├── ConnectError (ConnectionError)    no server could be joined
    │   ├── ConnectTimeout (TimeoutError)
    │   ├── AuthenticationFailed (PermissionError)
    │   ├── PermissionDenied (PermissionError)
    │   └── TlsError
    ├── ConnectionLost (ConnectionError)  the connection is lost and reconnecting was given up
    ├── RequestTimeout (TimeoutError)     no answer within ``timeout.request``
    ├── PeersUnconfirmed (TimeoutError)   a peer does not have all events of this node
    ├── StreamError (RuntimeError)        JetStream, or the stream of a node, cannot be used
    ├── NodeClosed (RuntimeError)         the node is closed, or this process is a forked child
    ├── WrongLoop (RuntimeError)          the call is from another event loop or thread
    ├── SubscriptionError (RuntimeError)  two tasks wait for one subscription, or it is closed
    ├── IncompatibleNatsPy (ImportError)  the installed nats-py cannot be used
    └── ServerError (RuntimeError)        a local nats-server did not start, or stopped by itself
        └── ServerNotFound (FileNotFoundError)

As in Python, a wrong argument raises ``TypeError`` or ``ValueError`` alone.

A class also inherits the built-in exception in parentheses. For example, ``except TimeoutError``
catches ``ConnectTimeout``, ``RequestTimeout`` and ``PeersUnconfirmed``.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "AuthenticationFailed",
    "ConfigError",
    "ConfigProblem",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionLost",
    "DecodeError",
    "EventTooLarge",
    "FastcoordError",
    "IncompatibleNatsPy",
    "NodeClosed",
    "PeersUnconfirmed",
    "PermissionDenied",
    "RequestTimeout",
    "ServerError",
    "ServerNotFound",
    "StreamError",
    "SubscriptionError",
    "TlsError",
    "UnsupportedEvent",
    "WrongLoop",
]


class FastcoordError(Exception):
    """The base class of the exceptions of fastcoord."""


class ConfigProblem(NamedTuple):
    """One error in a configuration."""

    file: str
    line: int | None
    """The line, counted from 1; ``None`` if the error has no line, such as a missing key."""
    key: str
    """The full dotted key, for example ``store."nats".timeout.request``."""
    message: str
    """The given value, the allowed values and what to do. It never contains a secret."""

    def __str__(self) -> str:
        where = self.place()
        return f"{where}: {self.key}: {self.message}" if self.key else f"{where}: {self.message}"

    def place(self) -> str:
        """Return the file, and the line if it is known."""
        return self.file if self.line is None else f"{self.file}:{self.line}"


class ConfigError(FastcoordError, ValueError):
    """The configuration cannot be used. ``problems`` lists all errors in it."""

    def __init__(self, problems: Sequence[ConfigProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.problems,))


class EventTooLarge(FastcoordError, ValueError):
    """An event does not fit into one batch and cannot be split."""


class UnsupportedEvent(FastcoordError, ValueError):
    """The protocol does not have this event."""


class DecodeError(FastcoordError, ValueError):
    """The bytes are not a batch of the given protocol.

    :ivar offset: the position in the payload at which decoding stopped, counted from 0.
    :ivar decoded: the events before this position, in their order.
    :ivar node_id: the node id of the sender, or ``None`` if the node id itself is malformed.
    """

    def __init__(
        self,
        message: str,
        offset: int,
        decoded: Sequence[Any] = (),
        node_id: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.decoded = tuple(decoded)
        self.node_id = node_id

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.message, self.offset, self.decoded, self.node_id))


class ConnectError(FastcoordError, ConnectionError):
    """No server could be joined. The message lists each server with its reason."""


class ConnectTimeout(ConnectError, TimeoutError):
    """No server completed TCP, TLS and the NATS handshake within ``timeout.connection``."""


class AuthenticationFailed(ConnectError, PermissionError):
    """A server refused the credentials."""


class PermissionDenied(ConnectError, PermissionError):
    """The server does not permit this user to publish or to subscribe on a subject.

    :ivar subject: the NATS subject.
    :ivar direction: the right that is missing: ``"publish"`` or ``"subscribe"``.
    """

    def __init__(self, message: str, *, subject: str, direction: str) -> None:
        super().__init__(message)
        self.message = message
        self.subject = subject
        self.direction = direction

    def __reduce__(self) -> tuple[Any, ...]:
        return (
            functools.partial(type(self), subject=self.subject, direction=self.direction),
            (self.message,),
        )


class TlsError(ConnectError):
    """TLS was demanded and could not be established. No credentials were sent."""


class ConnectionLost(FastcoordError, ConnectionError):
    """The connection is lost, and reconnecting was given up, usually due to ``max-reconnects``."""


class RequestTimeout(FastcoordError, TimeoutError):
    """No confirmation or answer arrived within ``timeout.request``."""


class StreamError(FastcoordError, RuntimeError):
    """JetStream refuses a request, or the stream of ``cluster.stream`` cannot be used.

    :ivar code: the error code of JetStream, such as 10059 for a stream that does not exist;
        ``None`` if the error is not an answer of JetStream.
    """

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return (functools.partial(type(self), code=self.code), (self.message,))


class PeersUnconfirmed(FastcoordError, TimeoutError):
    """``flush(peers=True)``: a peer did not confirm all events in time, or has missed some.

    :ivar missing: the ids of these peers.
    """

    def __init__(self, message: str, *, missing: frozenset[int]) -> None:
        super().__init__(message)
        self.message = message
        self.missing = missing

    def __reduce__(self) -> tuple[Any, ...]:
        return (functools.partial(type(self), missing=self.missing), (self.message,))


class NodeClosed(FastcoordError, RuntimeError):
    """The node is closed, or this process is a forked child and the node belongs to its parent."""


class WrongLoop(FastcoordError, RuntimeError):
    """The node belongs to another event loop. Only ``publish_nowait`` is safe from any thread."""


class SubscriptionError(FastcoordError, RuntimeError):
    """Two tasks wait for one subscription, or an iteration begins after the subscription closed."""


class IncompatibleNatsPy(FastcoordError, ImportError):
    """The installed nats-py lacks attributes that fastcoord uses."""


class ServerError(FastcoordError, RuntimeError):
    """A local nats-server did not start, or stopped by itself."""


class ServerNotFound(ServerError, FileNotFoundError):
    """No nats-server binary was found."""


for _kind in [value for value in globals().values() if isinstance(value, type)]:
    if _kind.__module__ == __name__:
        # Programs and pickle import the classes from the package.
        _kind.__module__ = "fastcoord"
del _kind
