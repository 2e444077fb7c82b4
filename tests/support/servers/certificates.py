"""Certificates for servers and clients: valid ones, and one for each kind of error."""

import datetime
from dataclasses import dataclass
from pathlib import Path

import trustme

from fastcoord.server import ServerTls


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, as PEM files."""

    cert: Path
    key: Path

    def tls(
        self,
        *,
        ca: Path | None = None,
        handshake_first: bool = False,
        allow_non_tls: bool = False,
    ) -> ServerTls:
        """Make a local server's TLS settings from this pair."""
        return ServerTls(
            cert=self.cert,
            key=self.key,
            ca=ca,
            handshake_first=handshake_first,
            allow_non_tls=allow_non_tls,
        )


@dataclass(frozen=True)
class Certificates:
    """A private authority with the certificates it issued, and a foreign authority."""

    ca: Path
    server: Pair
    """For ``127.0.0.1``, ``::1`` and ``localhost``."""
    client: Pair
    wrong_host: Pair
    """From the private authority, for another host."""
    expired: Pair
    """From the private authority, for the right host, expired yesterday."""
    expiring: Pair
    """From the private authority, for the right host, valid for five more days."""
    wrong_ca: Path
    """A foreign authority, which issued none of the above."""
    foreign: Pair
    """A client's pair from the foreign authority."""

    @classmethod
    def make(cls, directory: Path) -> "Certificates":
        """Issue all certificates into a directory."""
        ca, other = trustme.CA(), trustme.CA()
        now = datetime.datetime.now(datetime.timezone.utc)
        day = datetime.timedelta(days=1)
        hosts = ("127.0.0.1", "::1", "localhost")
        expired = ca.issue_cert(*hosts, not_before=now - 2 * day, not_after=now - day)
        expiring = ca.issue_cert(*hosts, not_before=now - day, not_after=now + 5.4 * day)
        return cls(
            ca=_authority(ca, directory / "ca.pem"),
            server=_pair(ca.issue_cert(*hosts), directory, "server"),
            client=_pair(ca.issue_cert("node@cluster.example"), directory, "client"),
            wrong_host=_pair(ca.issue_cert("elsewhere.example"), directory, "wrong-host"),
            expired=_pair(expired, directory, "expired"),
            expiring=_pair(expiring, directory, "expiring"),
            wrong_ca=_authority(other, directory / "wrong-ca.pem"),
            foreign=_pair(other.issue_cert("node@cluster.example"), directory, "foreign"),
        )


def _authority(ca: trustme.CA, file: Path) -> Path:
    ca.cert_pem.write_to_path(str(file))
    return file


def _pair(issued: trustme.LeafCert, directory: Path, name: str) -> Pair:
    pair = Pair(directory / f"{name}.pem", directory / f"{name}.key")
    pair.cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(pair.key))
    return pair
