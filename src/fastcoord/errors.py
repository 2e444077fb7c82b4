"""Every exception that fastcoord raises.

::

    FastcoordError
    ├── ConfigError (ValueError)          the configuration cannot be used
    ├── EventTooLarge (ValueError)        one event does not fit into one batch
    ├── UnsupportedEvent (ValueError)     the node's protocol has no such event
    ├── DecodeError (ValueError)          bytes that are not a batch
    ├── ConnectError (ConnectionError)    no server could be joined
    │   ├── ConnectTimeout (TimeoutError)
    │   ├── AuthenticationFailed (PermissionError)
    │   ├── PermissionDenied (PermissionError)
    │   └── TlsError
    ├── ConnectionLost (ConnectionError)  the connection is gone and will not be tried again
    ├── RequestTimeout (TimeoutError)     no answer within ``timeout.request``
    ├── NodeClosed (RuntimeError)         the node was closed before, or this process is a fork
    ├── WrongLoop (RuntimeError)          a call from another event loop or thread
    ├── SubscriptionError (RuntimeError)  two tasks wait for one subscription, or it is closed
    ├── IncompatibleNatsPy (ImportError)  the installed nats-py cannot be used
    └── ServerError (RuntimeError)        a local nats-server did not do what it was started for
        └── ServerNotFound (FileNotFoundError)

A leaf also inherits the built-in that fits, so that ``except TimeoutError`` catches what its
reader expects.
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
    "PermissionDenied",
    "RequestTimeout",
    "ServerError",
    "ServerNotFound",
    "SubscriptionError",
    "TlsError",
    "UnsupportedEvent",
    "WrongLoop",
]


class FastcoordError(Exception):
    """The root of every exception that fastcoord raises on purpose."""


class ConfigProblem(NamedTuple):
    """One thing that is wrong in a configuration."""

    file: str
    line: int | None
    """Counted from 1; ``None`` where no line is to blame, as for a missing key."""
    key: str
    """The full dotted key, for example ``store."nats".timeout.request``."""
    message: str
    """What was given, what is allowed, and what to do. Never holds a secret."""

    def __str__(self) -> str:
        where = self.place()
        return f"{where}: {self.key}: {self.message}" if self.key else f"{where}: {self.message}"

    def place(self) -> str:
        """Return the file, with the line if there is one."""
        return self.file if self.line is None else f"{self.file}:{self.line}"


class ConfigError(FastcoordError, ValueError):
    """The configuration cannot be used; ``problems`` lists everything wrong with it at once."""

    def __init__(self, problems: Sequence[ConfigProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.problems,))


class EventTooLarge(FastcoordError, ValueError):
    """One event does not fit into one batch and cannot be split."""


class UnsupportedEvent(FastcoordError, ValueError):
    """The node's protocol has no way to write this event."""


class DecodeError(FastcoordError, ValueError):
    """The bytes are not a batch of the given protocol.

    :ivar offset: the byte at which decoding stopped, counted from 0 at the payload's start.
    :ivar decoded: the events before it, in order; empty when the node id itself is malformed.
    :ivar node_id: the sender, or ``None`` when the node id itself is malformed.
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
    """No server could be joined; the message names each address with its reason."""


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
    """TLS was demanded and could not be established; no credentials were sent."""


class ConnectionLost(FastcoordError, ConnectionError):
    """The connection is gone and ``max-reconnects`` allows no further attempt."""


class RequestTimeout(FastcoordError, TimeoutError):
    """No confirmation or reply came within ``timeout.request``."""


class NodeClosed(FastcoordError, RuntimeError):
    """The node was closed before this call, or it belongs to the parent of this forked process."""


class WrongLoop(FastcoordError, RuntimeError):
    """The node belongs to another event loop; only ``publish_nowait`` is safe from any thread."""


class SubscriptionError(FastcoordError, RuntimeError):
    """Two tasks wait for one subscription, or an iteration begins after it was closed."""


class IncompatibleNatsPy(FastcoordError, ImportError):
    """The installed nats-py lacks attributes that fastcoord uses."""


class ServerError(FastcoordError, RuntimeError):
    """A local nats-server did not start, or stopped by itself."""


class ServerNotFound(ServerError, FileNotFoundError):
    """There is no nats-server binary to start."""


for _kind in [value for value in globals().values() if isinstance(value, type)]:
    if _kind.__module__ == __name__:
        # Programs import them from the package, and pickle finds them there.
        _kind.__module__ = "fastcoord"
del _kind
