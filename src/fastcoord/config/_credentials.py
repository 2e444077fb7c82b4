"""Parse credentials: the text of a ``.creds`` file, or a bare bearer JWT."""

from __future__ import annotations

import base64
import re
from typing import Any, NamedTuple

import msgspec

__all__ = ["Credentials", "check_credentials", "split_credentials"]

LONGEST = 64 * 1024
_JWT_MARK = "BEGIN NATS USER JWT"
_SEED_MARK = "BEGIN USER NKEY SEED"
_MARK = re.compile(r"^-|BEGIN |END ")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_SEED = re.compile(r"S[A-Z2-7]{40,}", re.ASCII)
_USER_KEY = re.compile(r"U[A-Z2-7]{55}", re.ASCII)


class Credentials(NamedTuple):
    """The parts of a credentials text; never print them."""

    jwt: str
    seed: str | None
    """The NKEY seed; ``None`` for a bearer JWT, which needs no signature."""


def check_credentials(text: str) -> str:
    """Return the kind of a credentials text.

    :param text: the text of a ``.creds`` file, or a bare JWT.
    :return: ``"creds"`` or ``"bearer"``.
    :raises ValueError: the text is neither; the message does not quote the text.
    """
    return "bearer" if split_credentials(text).seed is None else "creds"


def split_credentials(text: str) -> Credentials:
    """Split a credentials text into its parts and check each one.

    Blank lines, indentation and Windows line ends are ignored.

    :param text: the text of a ``.creds`` file, or a bare JWT.
    :return: the JWT and, for a ``.creds`` file, the NKEY seed.
    :raises ValueError: the text is neither; the message does not quote the text.
    """
    if len(text) > LONGEST:
        raise ValueError(f"the credentials have more than {LONGEST} characters")
    lines = [line for line in map(str.strip, text.splitlines()) if line]
    if any(_JWT_MARK in line or _SEED_MARK in line for line in lines):
        return _creds(lines)
    if len(lines) == 1 and lines[0].count(".") == 2 and _looks_like_jwt(lines[0]):
        return _bearer(lines[0])
    raise ValueError(_hint(lines))


def _hint(lines: list[str]) -> str:
    allowed = "allowed is the text of a .creds file (JWT and NKEY seed), or a bare bearer JWT"
    if not lines:
        return f"the credentials are empty; {allowed}"
    if len(lines) == 1 and _SEED.fullmatch(lines[0]):
        return f"this is an NKEY seed without its JWT; {allowed}"
    if len(lines) == 1 and ("/" in lines[0] or lines[0].endswith(".creds")):
        return f"this looks like a path; write %{{file:PATH}}% to read a file; {allowed}"
    return f"this is neither a .creds file nor a JWT; {allowed}"


def _creds(lines: list[str]) -> Credentials:
    jwt = _block(lines, _JWT_MARK)
    seed = _block(lines, _SEED_MARK)
    try:
        claims = _claims(jwt)
    except ValueError as error:
        raise ValueError(f"the {_JWT_MARK!r} block of the .creds text: {error}") from None
    owner = _public_key(seed)
    subject = claims.get("sub")
    # A server would refuse the pair: the seed must sign for the subject of the JWT.
    if isinstance(subject, str) and _USER_KEY.fullmatch(subject) and subject != owner:
        raise ValueError("the NKEY seed of the .creds text belongs to another user than its JWT")
    return Credentials(jwt, seed)


def _block(lines: list[str], mark: str) -> str:
    for index, line in enumerate(lines):
        if mark in line:
            if index + 1 == len(lines) or _MARK.search(lines[index + 1]):
                raise ValueError(f"the {mark!r} block of the .creds text is empty")
            return lines[index + 1]
    raise ValueError(f"the .creds text has no {mark!r} block; it needs a JWT and an NKEY seed")


def _bearer(jwt: str) -> Credentials:
    claims = _claims(jwt)
    nats = claims.get("nats")
    if not isinstance(nats, dict) or nats.get("bearer_token") is not True:
        raise ValueError(
            "the bare JWT is not a bearer JWT: its claim nats.bearer_token must be true; otherwise "
            "give the whole .creds text, with the NKEY seed"
        )
    return Credentials(jwt, None)


def _looks_like_jwt(text: str) -> bool:
    return all(_BASE64URL.fullmatch(part) for part in text.split("."))


def _claims(jwt: str) -> dict[str, Any]:
    parts = jwt.split(".")
    if len(parts) != 3 or not _looks_like_jwt(jwt):
        raise ValueError("a JWT is three base64url parts joined by dots")
    header, payload, _ = (_base64(part) for part in parts)
    _object(header, "header")
    return _object(payload, "payload")


def _base64(part: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise ValueError("a part of the JWT is not base64url; it may be truncated") from None


def _object(data: bytes, name: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, ValueError):
        raise ValueError(f"the JWT's {name} is not a JSON object") from None


def _public_key(seed: str) -> str:
    # nkeys loads a cryptography library, which most configurations do not need.
    import nkeys

    try:
        raw = seed.encode("ascii")
        decoded = base64.b32decode(raw + b"=" * (-len(raw) % 8))
        prefix, _ = nkeys.decode_seed(bytearray(raw))
        # nkeys does not verify the checksum, but a server refuses what a mistyped seed signs.
        intact = nkeys.crc16(decoded[:-2]) == int.from_bytes(decoded[-2:], "little")
        if len(decoded) != 36 or not intact:
            raise ValueError("wrong length or checksum")
        key: bytes = nkeys.from_seed(bytearray(raw)).public_key
    except (nkeys.NkeysError, ValueError):
        raise ValueError(
            "the NKEY seed of the .creds text is not valid; it may be truncated"
        ) from None
    if prefix != nkeys.PREFIX_BYTE_USER:
        raise ValueError("the NKEY seed of the .creds text is not that of a user (SU…)")
    return key.decode()
