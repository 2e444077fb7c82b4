"""The table of settings: key, JSON name, reader and meaning of each.

The structs in ``_model`` have a field of the same name for each key. Its default is the default of
the setting.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from fastcoord.config import _values
from fastcoord.config._address import address

__all__ = ["CLUSTER", "DURATIONS", "SECRETS", "STORE", "Setting", "groups"]

SMALLEST_BATCH = 64
LARGEST_BATCH = 64 * 1024 * 1024
LARGEST_BYTES = 2**40


class Setting(NamedTuple):
    """One setting of a section."""

    key: str
    """The TOML key within its section, such as ``timeout.request``."""
    json: str
    """The name in the JSON form, within its section."""
    read: Callable[[object], object]
    """Converts the value, or raises ``ValueError`` with the allowed values."""
    meaning: str
    """A short description, for ``fastcoord init``."""


_batch_bytes = _values.size(
    SMALLEST_BATCH,
    LARGEST_BATCH,
    f": a node id and one event need {SMALLEST_BATCH} bytes, and no server accepts more than 64MB",
)

STORE = {
    setting.key: setting
    for setting in (
        Setting(
            "address",
            "addresses",
            address,
            'servers: "host", "host:port", "tls://host:port"; port 4222 by default',
        ),
        Setting(
            "user",
            "authUsername",
            _values.text,
            "user name, together with password",
        ),
        Setting(
            "password",
            "authSecret",
            _values.text,
            'password, preferably as "%{env:NAME}%" or "%{file:PATH}%"',
        ),
        Setting(
            "credentials",
            "credentials",
            _values.text,
            'text of a .creds file, as "%{file:PATH}%"; instead of user and password',
        ),
        Setting(
            "no-echo",
            "noEcho",
            _values.boolean,
            "false: this node receives its own events",
        ),
        Setting(
            "tls.enable",
            "useTls",
            _values.boolean,
            "require TLS, with verified certificates",
        ),
        Setting(
            "tls.ca-file",
            "tlsCaFile",
            _values.text,
            "certificates of a private authority, PEM",
        ),
        Setting(
            "tls.cert-file",
            "tlsCertFile",
            _values.text,
            "client certificate, PEM",
        ),
        Setting(
            "tls.key-file",
            "tlsKeyFile",
            _values.text,
            "private key of the client certificate, PEM",
        ),
        Setting(
            "tls.handshake-first",
            "tlsHandshakeFirst",
            _values.boolean,
            "for servers that start TLS before INFO",
        ),
        Setting(
            "timeout.connection",
            "timeoutConnection",
            _values.duration,
            "timeout of one attempt to connect to one server",
        ),
        Setting(
            "timeout.request",
            "timeoutRequest",
            _values.duration,
            "timeout of a request and its reply, such as a flush",
        ),
        Setting(
            "ping-interval",
            "pingInterval",
            _values.duration,
            "interval of PINGs to the server",
        ),
        Setting(
            "max-reconnects",
            "maxReconnects",
            _values.reconnects,
            "attempts after a lost connection; 0: none, false: no limit",
        ),
        Setting(
            "capacity.client",
            "capacityClient",
            _values.integer(1),
            "batches that may wait to be sent or confirmed",
        ),
        Setting(
            "capacity.subscription",
            "capacitySubscription",
            _values.integer(1),
            "received batches that one subscription buffers",
        ),
        Setting(
            "capacity.read-buffer",
            "capacityReadBuffer",
            _values.integer(1),
            "the most bytes that one read of the socket returns",
        ),
        Setting(
            "capacity.subscription-bytes",
            "capacitySubscriptionBytes",
            _values.size(1, LARGEST_BYTES),
            "received bytes that one subscription buffers",
        ),
        Setting(
            "capacity.batch-bytes",
            "capacityBatchBytes",
            _batch_bytes,
            "the size at which a batch is sealed",
        ),
    )
}
"""The settings of ``[store."<id>"]``, without its ``type``."""

CLUSTER = {
    setting.key: setting
    for setting in (
        Setting(
            "coordinator",
            "coordinator",
            _values.text,
            "the id of the store above",
        ),
        Setting(
            "node-id",
            "nodeId",
            _values.node_id,
            '0 to 65535, unique in the cluster; "auto": a free one',
        ),
        Setting(
            "protocol",
            "protocol",
            _values.protocol,
            "the same for all nodes of the cluster",
        ),
        Setting(
            "subject",
            "subject",
            _values.subject,
            "the NATS subject of the events",
        ),
        Setting(
            "presence-subject",
            "presenceSubject",
            _values.subject,
            "the NATS subject of heartbeats and questions, for all nodes the same",
        ),
        Setting(
            "stream",
            "stream",
            _values.stream,
            "the JetStream stream that stores the events",
        ),
        Setting(
            "stream-domain",
            "streamDomain",
            _values.domain,
            "the JetStream domain of the stream",
        ),
        Setting(
            "heartbeat",
            "heartbeat",
            _values.duration,
            "the interval of heartbeats, the same for all nodes of the cluster",
        ),
        Setting(
            "max-age",
            "maxAge",
            _values.duration,
            "how long events wait for a connection before they are discarded",
        ),
        Setting(
            "pace",
            "pace",
            _values.pace,
            "the time between messages, for Stalwart 0.14 and 0.15; 0: none",
        ),
    )
}
"""The settings of ``[cluster]``."""

SECRETS = frozenset({"password", "credentials"})
"""Keys whose values become a :class:`Secret`."""

DURATIONS = frozenset(
    key
    for key, setting in (STORE | CLUSTER).items()
    if setting.read in (_values.duration, _values.pace)
)
"""Keys whose values are durations."""

NEVER_SHOWN = SECRETS | {"user"}
"""Keys whose values no error shows."""


def groups(settings: dict[str, Setting]) -> frozenset[str]:
    """Return the tables within a section, such as ``timeout``."""
    return frozenset(key.partition(".")[0] for key in settings if "." in key)
