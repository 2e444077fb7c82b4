"""Translates the configuration into nats-py's options for one attempt at one server."""

from __future__ import annotations

import base64
import ssl
from typing import TYPE_CHECKING, Any

from fastcoord.config import split_credentials
from fastcoord.errors import AuthenticationFailed, TlsError
from fastcoord.nats.failures import describe

if TYPE_CHECKING:
    from fastcoord.config import Config
    from fastcoord.nats.redaction import Redaction

__all__ = ["client_options", "has_login"]


def client_options(
    config: Config, url: str, tls_name: str | None, redaction: Redaction
) -> dict[str, Any]:
    """Return the arguments of ``Client.connect``, without the callbacks.

    Secrets and certificates are read at each call, because they may have been renewed.

    :param url: the server, as a NATS URL.
    :param tls_name: the name that the server's certificate must have; ``None`` for the host of the
        URL.
    :param redaction: receives the secrets that these options reveal to the server.
    :raises TlsError: a file of ``tls`` cannot be used.
    :raises AuthenticationFailed: the credentials are malformed.
    :raises ConfigError: an environment variable or a file that holds a secret is missing.
    """
    settings = config.nats
    options: dict[str, Any] = {
        "servers": [url],
        "allow_reconnect": False,
        "connect_timeout": settings.timeout.connection,
        "ping_interval": settings.ping_interval,
        "max_outstanding_pings": 2,
        "no_echo": settings.no_echo,
        "name": f"fastcoord node {config.cluster.node_id}",
        "tls_handshake_first": settings.tls.handshake_first,
    }
    if settings.tls.ca_file is not None or settings.tls.cert_file is not None:
        options["tls"] = tls_context(config)
    # Without these files, nats-py makes the default context when the server requires TLS. A context
    # made here would load the system's authorities for attempts without TLS as well. That takes
    # 40 ms and 1 MB.
    if tls_name is not None:
        options["tls_hostname"] = tls_name
    if settings.user is not None and settings.password is not None:
        options["user"] = settings.user
        options["password"] = password = settings.password.reveal()
        redaction.add(password)
    elif settings.credentials is not None:
        options.update(credential_options(settings.credentials.reveal(), redaction))
    return options


def has_login(config: Config) -> bool:
    """Return whether a password, credentials or a client certificate are configured."""
    settings = config.nats
    has_password = settings.user is not None and settings.password is not None
    return has_password or settings.credentials is not None or settings.tls.cert_file is not None


def tls_context(config: Config) -> ssl.SSLContext:
    """Make the TLS context for one attempt from the configured files.

    :raises TlsError: a file cannot be read or is malformed.
    """
    files = config.nats.tls
    try:
        context = ssl.create_default_context(cafile=files.ca_file)
        if files.cert_file is not None:
            context.load_cert_chain(files.cert_file, files.key_file)
    except (OSError, ssl.SSLError) as error:
        raise TlsError(f"the TLS files cannot be used: {describe(error)}") from error
    return context


def credential_options(text: str, redaction: Redaction) -> dict[str, Any]:
    """Check a credentials text and return nats-py's options for it."""
    try:
        credentials = split_credentials(text)
    except ValueError as error:
        raise AuthenticationFailed(str(error)) from None
    # A server may name the claims of a JWT without its other parts.
    redaction.add(credentials.jwt, *credentials.jwt.split("."))
    if credentials.seed is not None:
        redaction.add(credentials.seed)

    def sign(nonce: str) -> bytes:
        if credentials.seed is None:
            return b""
        import nkeys  # imported here, because most nodes do not need it

        pair = nkeys.from_seed(bytearray(credentials.seed, "ascii"))
        signature = base64.b64encode(pair.sign(nonce.encode()))
        pair.wipe()
        return signature

    return {"user_jwt_cb": lambda: bytearray(credentials.jwt, "ascii"), "signature_cb": sign}
