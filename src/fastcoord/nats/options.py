"""The configuration in the words of nats-py: what one attempt at one server is made with."""

from __future__ import annotations

import base64
import ssl
from typing import TYPE_CHECKING, Any

from fastcoord.config import split_credentials
from fastcoord.errors import AuthenticationFailed, TlsError
from fastcoord.nats.failures import describe

if TYPE_CHECKING:
    from fastcoord.config import Config

__all__ = ["client_options"]


def client_options(config: Config, url: str, tls_name: str | None) -> dict[str, Any]:
    """Give the arguments of ``Client.connect``, without the callbacks.

    Secrets and certificates are read anew at each call: they may have been exchanged in the
    meantime.

    :param url: the server, as a NATS URL.
    :param tls_name: the name that its certificate must carry, if that is not the URL's host.
    :raises TlsError: a file of ``tls`` cannot be used.
    :raises AuthenticationFailed: the credentials are not what they should be.
    :raises ConfigError: a variable or file that a secret comes from has gone missing.
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
    # Else nats-py makes the same default context, when the server wants TLS and not before: reading
    # the system's authorities takes 40 ms and a megabyte, too much for each attempt in the clear.
    if tls_name is not None:
        options["tls_hostname"] = tls_name
    if settings.user is not None and settings.password is not None:
        options["user"] = settings.user
        options["password"] = settings.password.reveal()
    elif settings.credentials is not None:
        options.update(credential_options(settings.credentials.reveal()))
    return options


def tls_context(config: Config) -> ssl.SSLContext:
    """Make the context for one attempt; files are read anew, they may have been renewed.

    :raises ConnectError: a file cannot be read or is not what it should be.
    """
    files = config.nats.tls
    try:
        context = ssl.create_default_context(cafile=files.ca_file)
        if files.cert_file is not None:
            context.load_cert_chain(files.cert_file, files.key_file)
    except (OSError, ssl.SSLError) as error:
        raise TlsError(f"the TLS files cannot be used: {describe(error)}") from error
    return context


def credential_options(text: str) -> dict[str, Any]:
    """Give nats-py's options for a checked credentials text."""
    try:
        credentials = split_credentials(text)
    except ValueError as error:
        raise AuthenticationFailed(str(error)) from None

    def sign(nonce: str) -> bytes:
        if credentials.seed is None:
            return b""
        import nkeys  # only here: most nodes never load what it stands on

        pair = nkeys.from_seed(bytearray(credentials.seed, "ascii"))
        signature = base64.b64encode(pair.sign(nonce.encode()))
        pair.wipe()
        return signature

    return {"user_jwt_cb": lambda: bytearray(credentials.jwt, "ascii"), "signature_cb": sign}
