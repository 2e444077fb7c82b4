"""An operator, its account and users whose tokens expire, for a server with JWT accounts."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from typing import Any

import nkeys


class Key:
    """A fresh key pair."""

    def __init__(self, prefix: int) -> None:
        self.seed = bytes(nkeys.encode_seed(secrets.token_bytes(32), prefix))
        self.pair = nkeys.from_seed(bytearray(self.seed))
        self.public = self.pair.public_key.decode()


class Issuer:
    """Whoever runs the servers: an operator with one account."""

    def __init__(self) -> None:
        self._operator = Key(nkeys.PREFIX_BYTE_OPERATOR)
        self._account = Key(nkeys.PREFIX_BYTE_ACCOUNT)

    def server_config(self) -> str:
        """Give the text that makes a server trust this operator and know its account."""
        operator = token(self._operator, self._operator, "operator", {})
        limits = {"subs": -1, "data": -1, "payload": -1, "conn": -1, "leaf": -1}
        limits |= {"imports": -1, "exports": -1, "wildcards": True}
        account = token(self._operator, self._account, "account", {"limits": limits})
        return (
            f"operator: {operator}\n"
            "resolver: MEMORY\n"
            f"resolver_preload {{ {self._account.public}: {account} }}\n"
        )

    def credentials(self, *, seconds: int) -> str:
        """Give the text of a ``.creds`` file for a new user.

        :param seconds: how long the server will have it.
        """
        user = Key(nkeys.PREFIX_BYTE_USER)
        limits = {"subs": -1, "data": -1, "payload": -1}
        jwt = token(self._account, user, "user", limits, expires=int(time.time()) + seconds)
        return (
            f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n"
            "------END USER NKEY SEED------\n"
        )


def token(
    issuer: Key, subject: Key, kind: str, claims: dict[str, Any], *, expires: int | None = None
) -> str:
    """Write and sign one token."""
    body: dict[str, Any] = {
        "iat": int(time.time()),
        "iss": issuer.public,
        "sub": subject.public,
        "name": kind,
        "nats": {**claims, "type": kind, "version": 2},
    }
    if expires is not None:
        body["exp"] = expires
    body["jti"] = base64.b32encode(hashlib.sha256(json.dumps(body).encode()).digest()).decode()
    head = encode(json.dumps({"typ": "JWT", "alg": "ed25519-nkey"}).encode())
    signed = f"{head}.{encode(json.dumps(body).encode())}"
    return f"{signed}.{encode(issuer.pair.sign(signed.encode()))}"


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
