"""The server of a run: that of a configuration, or a bundled one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import fastcoord
from fastcoord.config import load_with_sources
from fastcoord.config._settings import CLUSTER
from fastcoord.tuning.load import NotMeasured

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DEFAULT_MAX_PAYLOAD", "DEFAULT_PREFIX", "MESSAGE_ALLOWANCE", "Target", "open_target"]

DEFAULT_PREFIX = "fastcoord.bench"
DEFAULT_MAX_PAYLOAD = 1 << 20
"""The largest message in bytes that a nats-server accepts by default."""

MESSAGE_ALLOWANCE = 1024
"""More bytes than a message has besides its largest event."""


class Target:
    """Where a run takes place.

    :param file: the configuration file, or the URL of servers; empty for the bundled server.
    :param text: the configuration of the bundled server.
    :param subject_prefix: the subject of a run is this prefix, a dot and a random word.
    :raises ConfigError: the configuration has a problem.
    :raises ValueError: the prefix is no subject, or that of the configuration begins with it.
    """

    def __init__(self, *, file: str = "", text: str = "", subject_prefix: str = "") -> None:
        self.file = file
        self.text = text
        self.subject_prefix = subject_prefix or DEFAULT_PREFIX
        self.config = fastcoord.parse_config(text) if text else load_with_sources(file)[0]
        try:
            CLUSTER["subject"].read(self.subject_prefix)
        except ValueError as error:
            raise ValueError(f"the prefix {self.subject_prefix!r} is no subject: {error}") from None
        configured = self.config.cluster.subject
        if configured == self.subject_prefix or configured.startswith(f"{self.subject_prefix}."):
            raise ValueError(
                f"runs must not use the subject of the cluster, {configured}: choose another prefix"
            )

    @property
    def name(self) -> str:
        """The server, for tables."""
        if self.text:
            return "a bundled nats-server on this machine"
        return ", ".join(map(str, self.config.nats.address))

    def proxied_address(self) -> tuple[str, int]:
        """Return host and port of the server for a proxy that makes an outage.

        :raises NotMeasured: a proxy is not possible.
        """
        addresses = self.config.nats.address
        if self.config.nats.tls.enable or addresses[0].tls:
            raise NotMeasured("an outage cannot be made on a TLS connection: use a bundled server")
        return addresses[0].host, addresses[0].port


@contextmanager
def open_target(
    file: str | None,
    *,
    protocol: str = "fastcoord-1",
    subject_prefix: str = "",
    jetstream: bool = False,
    largest_event: int = 0,
) -> Iterator[Target]:
    """Use the server of a configuration, or start a bundled one.

    :param file: the configuration file, or the URL of servers; ``None`` for a bundled server.
    :param protocol: the protocol on the bundled server.
    :param subject_prefix: see :class:`Target`.
    :param jetstream: whether the bundled server has JetStream.
    :param largest_event: the bytes of an event that the bundled server must accept.
    :raises ConfigError: the configuration has a problem.
    :raises ServerError: the bundled server cannot be started.
    """
    if file is not None:
        yield Target(file=file, subject_prefix=subject_prefix)
        return
    from fastcoord.server import LocalServer

    max_payload = 1 << (largest_event + MESSAGE_ALLOWANCE).bit_length()
    with LocalServer(
        jetstream=jetstream, max_payload=max_payload if max_payload > DEFAULT_MAX_PAYLOAD else None
    ) as server:
        text = (
            f'[store."nats"]\ntype = "nats"\naddress = ["{server.url}"]\n'
            f'[cluster]\ncoordinator = "nats"\nprotocol = "{protocol}"\n'
        )
        yield Target(text=text, subject_prefix=subject_prefix)
