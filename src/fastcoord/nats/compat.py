"""The private attributes of nats-py that fastcoord uses, and a check that they exist.

nats-py reads and writes through the ``Transport`` in ``Client._transport``; setting that attribute
before ``connect`` replaces the transport. The class ``Transport`` itself is public.
"""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
from typing import Any

import nats.aio.client
from nats.aio.client import Client
from nats.aio.transport import Transport

from fastcoord.errors import IncompatibleNatsPy
from fastcoord.nats.transport import MessageTransport

__all__ = [
    "TESTED_VERSIONS",
    "TRANSPORT_ATTRIBUTE",
    "check_installed",
    "drop_transport",
    "missing_attributes",
    "use_transport",
]

TRANSPORT_ATTRIBUTE = "_transport"
TESTED_VERSIONS = ">=2.16,<3"
"""The range that ``pyproject.toml`` requires; a test compares the two."""


def use_transport(client: Client, transport: Transport) -> None:
    """Make a client read and write through ``transport``; call this before ``connect``."""
    setattr(client, TRANSPORT_ATTRIBUTE, transport)


def drop_transport(client: Client) -> None:
    """Remove the transport from a client that is closed."""
    setattr(client, TRANSPORT_ATTRIBUTE, None)


def missing_attributes(
    client_class: Any = Client, transport_class: Any = MessageTransport
) -> list[str]:
    """Describe each attribute that fastcoord uses and the installed nats-py lacks."""
    missing = []
    if not hasattr(client_class(), TRANSPORT_ATTRIBUTE):
        missing.append(f"Client.{TRANSPORT_ATTRIBUTE}")
    # Code objects are searched, because zipped and frozen programs have no source files.
    elif not any(
        TRANSPORT_ATTRIBUTE in function.__code__.co_names
        for function in vars(client_class).values()
        if inspect.isfunction(function) and function.__name__ != "__init__"
    ):
        missing.append(f"the use of Client.{TRANSPORT_ATTRIBUTE}")
    unknown = sorted(getattr(transport_class, "__abstractmethods__", ()))
    if unknown:
        missing.append(f"a Transport without the new methods {', '.join(unknown)}")
    return missing


@functools.cache
def check_installed() -> None:
    """Check the installed nats-py once.

    :raises IncompatibleNatsPy: nats-py lacks attributes that fastcoord uses.
    """
    missing = missing_attributes()
    if missing:
        ours, theirs = importlib.metadata.version("fastcoord"), nats.aio.client.__version__
        raise IncompatibleNatsPy(
            f"fastcoord {ours} does not work with nats-py {theirs} (missing:"
            f" {'; '.join(missing)}): install nats-py{TESTED_VERSIONS}"
        )
