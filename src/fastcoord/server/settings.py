"""The settings of a local server, and their form in the configuration of nats-server."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Membership", "ServerSettings", "ServerTls"]

PICK = -1
"""The port number that makes nats-server pick a free port."""


@dataclass(frozen=True, kw_only=True)
class ServerTls:
    """The TLS settings of a local server.

    :param cert: a PEM file with the certificate chain of the server.
    :param key: a PEM file with the private key of the server.
    :param ca: a PEM file with the authority of client certificates. If it is given, each
        client needs a certificate.
    :param handshake_first: whether the TLS handshake precedes INFO.
    :param allow_non_tls: whether clients may connect without TLS.
    """

    cert: str | os.PathLike[str]
    key: str | os.PathLike[str]
    ca: str | os.PathLike[str] | None = None
    handshake_first: bool = False
    allow_non_tls: bool = False


@dataclass(kw_only=True)
class Membership:
    """The membership of one server in a :class:`~fastcoord.server.LocalCluster`."""

    cluster_name: str
    other_ports: Callable[[], Sequence[int]]
    port: int | None = None
    """The port for routes; ``None`` until the server has picked one."""


@dataclass(kw_only=True)
class ServerSettings:
    """The content of the configuration file of one server."""

    host: str
    port: int | None
    name: str | None = None
    users: Mapping[str, str] = field(default_factory=dict)
    tls: ServerTls | None = None
    jetstream: bool = False
    max_file_storage: int | None = None
    max_memory_storage: int | None = None
    max_payload: int | None = None
    extra_config: str = ""
    membership: Membership | None = None

    def render(self, directory: Path) -> str:
        """Return the text of the configuration file.

        :param directory: the private directory, for the ports file and stored streams.
        :return: text in the configuration language of nats-server.
        """
        lines = [
            f"host: {quote(self.host)}",
            f"port: {_port(self.port)}",
            f"http: {quote(_listen(self.host, None))}",
            f"ports_file_dir: {quote(directory)}",
        ]
        if self.name is not None:
            lines.append(f"server_name: {quote(self.name)}")
        if self.max_payload is not None:
            lines.append(f"max_payload: {self.max_payload}")
        if self.jetstream:
            lines += self._jetstream_lines(directory)
        if self.users:
            lines.append("authorization {\n  users: [")
            lines += [
                f"    {{ user: {quote(name)}, password: {quote(password)} }}"
                for name, password in self.users.items()
            ]
            lines.append("  ]\n}")
        if self.tls is not None:
            lines += self._tls_lines(self.tls)
        if self.membership is not None:
            lines += self._cluster_lines(self.membership)
        return "\n".join([*lines, self.extra_config, ""])

    def _jetstream_lines(self, directory: Path) -> list[str]:
        lines = ["jetstream {", f"  store_dir: {quote(directory / 'jetstream')}"]
        if self.max_file_storage is not None:
            lines.append(f"  max_file_store: {self.max_file_storage}")
        if self.max_memory_storage is not None:
            lines.append(f"  max_memory_store: {self.max_memory_storage}")
        return [*lines, "}"]

    def _tls_lines(self, tls: ServerTls) -> list[str]:
        lines = ["tls {", f"  cert_file: {quote(tls.cert)}", f"  key_file: {quote(tls.key)}"]
        if tls.ca is not None:
            lines += [f"  ca_file: {quote(tls.ca)}", "  verify: true"]
        if tls.handshake_first:
            lines.append("  handshake_first: true")
        lines.append("}")
        if tls.allow_non_tls:
            lines.append("allow_non_tls: true")
        return lines

    def _cluster_lines(self, membership: Membership) -> list[str]:
        routes = [
            quote(f"nats-route://{_listen(self.host, port)}") for port in membership.other_ports()
        ]
        return [
            "cluster {",
            f"  name: {quote(membership.cluster_name)}",
            f"  listen: {quote(_listen(self.host, membership.port))}",
            f"  routes: [{', '.join(routes)}]",
            "}",
        ]


def bracketed(host: str) -> str:
    """Return the host as it is written before a port: an IPv6 address needs brackets."""
    return f"[{host}]" if ":" in host else host


_ESCAPES = {code: f"\\x{code:02x}" for code in range(32)} | {ord('"'): '\\"', ord("\\"): "\\\\"}


def quote(value: str | os.PathLike[str]) -> str:
    """Return a value as a string in the configuration language of nats-server."""
    return f'"{str(value).translate(_ESCAPES)}"'


def _port(port: int | None) -> int:
    return PICK if port is None else port


def _listen(host: str, port: int | None) -> str:
    return f"{bracketed(host)}:{_port(port)}"
