"""Configuration and credentials texts for the configuration tests."""

import base64
import json
from pathlib import Path

import nkeys

from fastcoord.config import Config, parse_config
from fastcoord.errors import ConfigError, ConfigProblem

ADDRESS = 'address = "nats1:4222"'
DATA = Path(__file__).parents[2] / "data" / "config"

LOGIN_TOML = """
[store."nats"]
type = "nats"
address = "127.0.0.1:4222"
user = "node"
password = "hunter2"

[cluster]
coordinator = "nats"
"""
"""A configuration with a password; ``address`` is on line 4."""


def toml(store: str = "", cluster: str = "", address: str = ADDRESS) -> str:
    """Return a configuration whose store begins at line 1; ``store`` is inserted at line 4."""
    return f"""[store."nats"]
type = "nats"
{address}
{store}

[cluster]
coordinator = "nats"
{cluster}
"""


def read(store: str = "", cluster: str = "") -> Config:
    return parse_config(toml(store, cluster), name="node.toml")


def problems_of(text: str) -> list[ConfigProblem]:
    """Return the problems of a configuration that must be refused."""
    try:
        parse_config(text, name="node.toml")
    except ConfigError as error:
        return list(error.problems)
    raise AssertionError(f"this was accepted:\n{text}")


def the_problem(text: str) -> ConfigProblem:
    """Return the only problem of a configuration."""
    (problem,) = problems_of(text)
    return problem


def seed(number: int = 1, prefix: int = nkeys.PREFIX_BYTE_USER) -> str:
    """Return a valid NKEY seed, the same for the same number."""
    text: bytes = nkeys.encode_seed(bytes([number]) * 32, prefix)
    return text.decode()


def public_key(number: int = 1) -> str:
    key: bytes = nkeys.from_seed(bytearray(seed(number).encode())).public_key
    return key.decode()


def jwt(claims: object = None, **nats: object) -> str:
    """Return a well-formed JWT with an invalid signature."""
    if claims is None:
        claims = {"sub": public_key(), "nats": {"type": "user", "version": 2, **nats}}
    parts = [{"typ": "JWT", "alg": "ed25519-nkey"}, claims]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()) for part in parts]
    encoded.append(base64.urlsafe_b64encode(b"x" * 64))
    return b".".join(part.rstrip(b"=") for part in encoded).decode()


def creds(token: str | None = None, key: str | None = None) -> str:
    """Return the text of a ``.creds`` file, as NATS tools write it."""
    return f"""-----BEGIN NATS USER JWT-----
{token or jwt()}
------END NATS USER JWT------

************************* IMPORTANT *************************
NKEY Seed printed below can be used to sign and prove identity.

-----BEGIN USER NKEY SEED-----
{key or seed()}
------END USER NKEY SEED------
"""
