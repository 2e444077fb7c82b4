"""The configuration as frozen structs."""

from typing import Literal

import msgspec

from fastcoord.config._secret import Secret
from fastcoord.wire.table import PROTOCOLS

__all__ = [
    "PROTOCOLS",
    "Address",
    "Capacity",
    "Cluster",
    "Config",
    "Nats",
    "Timeout",
    "Tls",
    "default_presence_subject",
    "default_subject",
]

HIGHEST_NODE_ID = 65535


def default_subject(protocol: str) -> str:
    """Return the default NATS subject of a protocol.

    :param protocol: one of :data:`PROTOCOLS`.
    :return: ``fastcoord.agora`` for ``fastcoord-1``, ``stwt.agora`` for the others.
    """
    return "fastcoord.agora" if protocol == "fastcoord-1" else "stwt.agora"


def default_presence_subject(subject: str) -> str:
    """Return the default NATS subject of what is not an event.

    :param subject: the subject of the events.
    :return: the subject followed by ``.fastcoord``.
    """
    return f"{subject}.fastcoord"


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """The address of one server."""

    host: str
    port: int = 4222
    tls: bool = False
    """Whether the address begins with ``tls://``, so that this server must use TLS."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """The TLS settings; the files are absolute paths."""

    enable: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    handshake_first: bool = False


class Timeout(msgspec.Struct, frozen=True, kw_only=True):
    """Timeouts in seconds."""

    connection: float = 5.0
    request: float = 10.0


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of queues and buffers."""

    client: int = 2048
    """Sealed batches that may wait to be sent or confirmed."""
    subscription: int = 65536
    """Received batches that one subscription holds."""
    read_buffer: int = 65535
    """The most bytes that one read of the socket returns."""
    subscription_bytes: int = 64 * 1024 * 1024
    """Bytes of received batches that one subscription holds."""
    batch_bytes: int = 16 * 1024
    """The size in bytes at which a batch is sealed."""


class Nats(msgspec.Struct, frozen=True, kw_only=True):
    """The NATS store that ``cluster.coordinator`` names."""

    id: str = "nats"
    address: tuple[Address, ...]
    user: str | None = None
    password: Secret | None = None
    credentials: Secret | None = None
    no_echo: bool = True
    tls: Tls = Tls()
    timeout: Timeout = Timeout()
    ping_interval: float = 60.0
    """Seconds between PINGs to the server."""
    max_reconnects: int | None = None
    """Attempts after a lost connection; ``0`` means none at all, ``None`` no limit."""
    capacity: Capacity = Capacity()


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """The cluster and this node's id.

    :raises ValueError: the node id is out of range, or the protocol does not exist.
    """

    coordinator: str = "nats"
    node_id: int | Literal["auto"] = 1
    """The id of this node; ``auto`` for a free one above 1023."""
    protocol: str = "stalwart-0.15"
    subject: str = ""
    """The NATS subject; if empty, the :func:`default_subject` of the protocol."""
    presence_subject: str = ""
    """The NATS subject of greetings, heartbeats, questions and goodbyes; if empty, the
    :func:`default_presence_subject` of the subject. It may be the subject of the events."""
    stream: str | None = None
    """The name of the JetStream stream that stores the events; ``None`` on plain NATS."""
    stream_domain: str | None = None
    """The JetStream domain of the stream; ``None`` for that of the server."""
    heartbeat: float = 2.0
    """Seconds between the heartbeats of an idle node."""
    max_age: float = 60.0
    """Seconds that an event may wait for a connection before it is discarded."""

    pace: float | None = None
    """Seconds between two messages with events; ``0`` means that no message waits. ``None`` stands
    for ``auto``: only while Stalwart nodes of version 0.14 or 0.15 are present."""

    def __post_init__(self) -> None:
        if self.node_id != "auto" and not 0 <= int(self.node_id) <= HIGHEST_NODE_ID:
            raise ValueError(f"node_id is {self.node_id}; allowed is 0 to {HIGHEST_NODE_ID}")
        if self.protocol not in PROTOCOLS:
            known = ", ".join(PROTOCOLS)
            raise ValueError(f"there is no protocol {self.protocol!r}; there are {known}")
        if not self.subject:
            msgspec.structs.force_setattr(self, "subject", default_subject(self.protocol))
        if not self.presence_subject:
            presence_subject = default_presence_subject(self.subject)
            msgspec.structs.force_setattr(self, "presence_subject", presence_subject)

    def with_protocol(self, protocol: str) -> "Cluster":
        """Return a copy with another protocol.

        If the subject is the default of the old protocol, the copy has the default of the new one.
        Any other subject is kept. The same applies to the subject of what is not an event.

        :param protocol: one of :data:`PROTOCOLS`.
        :return: the copy.
        :raises ValueError: there is no such protocol.
        """
        ours = self.subject != default_subject(self.protocol)
        subject = self.subject if ours else default_subject(protocol)
        ours = self.presence_subject != default_presence_subject(self.subject)
        presence_subject = self.presence_subject if ours else default_presence_subject(subject)
        return msgspec.structs.replace(
            self, protocol=protocol, subject=subject, presence_subject=presence_subject
        )


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration of a node. It is hashable and picklable, and its repr shows no secret."""

    nats: Nats
    cluster: Cluster = Cluster()
    source: str = "<code>"
    """The path of the file, or the name given to :func:`parse_config`."""


for _kind in (Address, Tls, Timeout, Capacity, Nats, Cluster):
    # Programs and pickle import the structs from the package, not from this private module.
    _kind.__module__ = "fastcoord.config"
del _kind
Config.__module__ = "fastcoord"
