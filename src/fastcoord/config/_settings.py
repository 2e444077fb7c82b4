"""The table of settings: key, JSON name and reader of each.

The defaults are those of the structs in ``_model``, whose fields have the names of the keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from fastcoord.config import _values
from fastcoord.config._address import address
from fastcoord.config._model import HIGHEST_NODE_ID

__all__ = ["CLUSTER", "SECRETS", "STORE", "Setting", "groups"]

SMALLEST_BATCH = 64
LARGEST_BATCH = 64 * 1024 * 1024


class Setting(NamedTuple):
    """One setting of a section."""

    key: str
    """The TOML key within its section, such as ``timeout.request``."""
    json: str
    """The name in the JSON form, within its section."""
    read: Callable[[object], object]
    """Converts the value, or raises ``ValueError`` with the allowed values."""


_batch_bytes = _values.size(
    SMALLEST_BATCH,
    LARGEST_BATCH,
    f": a batch holds a node id and at least one event, for which {SMALLEST_BATCH} bytes are "
    "needed, and no server takes more than 64MB",
)

STORE = {
    setting.key: setting
    for setting in (
        Setting("address", "addresses", address),
        Setting("user", "authUsername", _values.text),
        Setting("password", "authSecret", _values.text),
        Setting("credentials", "credentials", _values.text),
        Setting("no-echo", "noEcho", _values.boolean),
        Setting("tls.enable", "useTls", _values.boolean),
        Setting("tls.ca-file", "tlsCaFile", _values.text),
        Setting("tls.cert-file", "tlsCertFile", _values.text),
        Setting("tls.key-file", "tlsKeyFile", _values.text),
        Setting("tls.handshake-first", "tlsHandshakeFirst", _values.boolean),
        Setting("timeout.connection", "timeoutConnection", _values.duration),
        Setting("timeout.request", "timeoutRequest", _values.duration),
        Setting("ping-interval", "pingInterval", _values.duration),
        Setting("max-reconnects", "maxReconnects", _values.reconnects),
        Setting("capacity.client", "capacityClient", _values.integer(1)),
        Setting("capacity.subscription", "capacitySubscription", _values.integer(1)),
        Setting("capacity.read-buffer", "capacityReadBuffer", _values.integer(1)),
        Setting("capacity.subscription-bytes", "capacitySubscriptionBytes", _values.size(1, 2**40)),
        Setting("capacity.batch-bytes", "capacityBatchBytes", _batch_bytes),
    )
}
"""The settings of ``[store."<id>"]``, without its ``type``."""

CLUSTER = {
    setting.key: setting
    for setting in (
        Setting("coordinator", "coordinator", _values.text),
        Setting("node-id", "nodeId", _values.integer(0, HIGHEST_NODE_ID)),
        Setting("protocol", "protocol", _values.protocol),
        Setting("subject", "subject", _values.subject),
        Setting("heartbeat", "heartbeat", _values.duration),
        Setting("max-age", "maxAge", _values.duration),
    )
}
"""The settings of ``[cluster]``."""

SECRETS = frozenset({"password", "credentials"})
"""Keys whose values become a :class:`Secret`."""

NEVER_SHOWN = SECRETS | {"user"}
"""Keys whose values no error shows."""


def groups(settings: dict[str, Setting]) -> frozenset[str]:
    """Return the tables within a section, such as ``timeout``."""
    return frozenset(key.partition(".")[0] for key in settings if "." in key)
