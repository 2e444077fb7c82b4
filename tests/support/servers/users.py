"""A NATS operator with one account and its users: NKEY users and bearer JWTs."""

from __future__ import annotations

import base64
import json
import os
import time
from typing import Any

import nkeys

FOREVER = {"subs": -1, "data": -1, "payload": -1}


class Operator:
    """A new operator; a server with ``server_config`` accepts only its users.

    ::

        operator = Operator()
        with LocalServer(extra_config=operator.server_config) as server:
            ... credentials=operator.user()
    """

    def __init__(self) -> None:
        self._operator = make_pair(nkeys.PREFIX_BYTE_OPERATOR)
        self._account = make_pair(nkeys.PREFIX_BYTE_ACCOUNT)
        limits = {**FOREVER, "imports": -1, "exports": -1, "wildcards": True, "conn": -1}
        account = {"type": "account", "version": 2, "limits": {**limits, "leaf": -1}}
        self.account_key = public(self._account)
        self.server_config = "\n".join(
            [
                f"operator: {self._sign(self._operator, self._operator, {'type': 'operator'})}",
                "resolver: MEMORY",
                "resolver_preload: {",
                f"  {self.account_key}: {self._sign(self._operator, self._account, account)}",
                "}",
            ]
        )

    def user(self, **claims: Any) -> str:
        """Make the ``.creds`` text of a new user."""
        pair = make_pair(nkeys.PREFIX_BYTE_USER)
        return creds(self._user_jwt(pair, claims), pair)

    def bearer(self, **claims: Any) -> str:
        """Make the bearer JWT of a new user, which needs no signature."""
        return self._user_jwt(make_pair(nkeys.PREFIX_BYTE_USER), {"bearer_token": True, **claims})

    @staticmethod
    def owner_of(credentials: str) -> str:
        """Return the public key of a user, from its ``.creds`` text or plain JWT."""
        (jwt,) = [line for line in credentials.splitlines() if line.count(".") == 2]
        claims = jwt.split(".")[1]
        owner: str = json.loads(base64.urlsafe_b64decode(claims + "=="))["sub"]
        return owner

    def _user_jwt(self, pair: nkeys.KeyPair, claims: dict[str, Any]) -> str:
        nats = {"type": "user", "pub": {}, "sub": {}, **FOREVER, **claims}
        expires = nats.pop("exp", None)
        return self._sign(self._account, pair, nats, expires=expires)

    @staticmethod
    def _sign(
        issuer: nkeys.KeyPair,
        subject: nkeys.KeyPair,
        nats: dict[str, Any],
        *,
        expires: int | None = None,
    ) -> str:
        claims: dict[str, Any] = {
            "jti": os.urandom(16).hex().upper(),
            "iat": int(time.time()),
            "iss": public(issuer),
            "sub": public(subject),
            "name": nats["type"],
            "nats": {"version": 2, **nats},
        }
        if expires is not None:
            claims["exp"] = expires
        signed = f"{_part({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{_part(claims)}"
        return f"{signed}.{_base64url(issuer.sign(signed.encode()))}"


def make_pair(prefix: int) -> nkeys.KeyPair:
    """Make a random key pair of the kind that ``prefix`` names."""
    seed = nkeys.encode_seed(os.urandom(32), prefix)
    return nkeys.from_seed(bytearray(seed))


def public(pair: nkeys.KeyPair) -> str:
    key: bytes = pair.public_key
    return key.decode()


def creds(jwt: str, pair: nkeys.KeyPair) -> str:
    """Write a ``.creds`` text."""
    seed = bytes(pair.seed).decode()
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )


def _part(value: dict[str, Any]) -> str:
    return _base64url(json.dumps(value, separators=(",", ":")).encode())


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
