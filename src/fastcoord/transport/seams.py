"""The one place that knows what is used of nats-py beyond its public names.

nats-py reads and writes through the ``Transport`` that it finds in ``Client._transport``; setting
it before ``connect`` is how the lane comes in. ``Transport`` itself is public. What is relied on is
checked once, against the version that is installed; if it does not hold, nodes use the slow lane.
"""

from __future__ import annotations

import functools
import inspect
import logging
from typing import Any

import nats.aio.client
from nats.aio.client import Client
from nats.aio.transport import Transport

from fastcoord.transport.lane import Lane

__all__ = ["TRANSPORT_ATTRIBUTE", "drop_transport", "fast_lane_is_usable", "use_transport"]

TRANSPORT_ATTRIBUTE = "_transport"

logger = logging.getLogger("fastcoord")


def use_transport(client: Client, transport: Transport) -> None:
    """Have a client that was not connected yet read and write through ``transport``."""
    setattr(client, TRANSPORT_ATTRIBUTE, transport)


def drop_transport(client: Client) -> None:
    """Part a client that is closed from the transport that it was given."""
    setattr(client, TRANSPORT_ATTRIBUTE, None)


def missing_seams(client_class: Any = Client) -> list[str]:
    """Give what this nats-py lacks of what the fast lane stands on; nothing, if all is there."""
    missing = []
    if not hasattr(client_class(), TRANSPORT_ATTRIBUTE):
        missing.append(f"Client.{TRANSPORT_ATTRIBUTE}")
    elif TRANSPORT_ATTRIBUTE not in inspect.getsource(nats.aio.client):
        missing.append(f"the use of Client.{TRANSPORT_ATTRIBUTE}")
    unknown = sorted(getattr(Lane, "__abstractmethods__", ()))
    if unknown:
        missing.append(f"a Transport without the new methods {', '.join(unknown)}")
    return missing


@functools.cache
def fast_lane_is_usable() -> bool:
    """Say whether the installed nats-py has what the fast lane stands on; warn once if not."""
    missing = missing_seams()
    if missing:
        logger.warning(
            "nats-py %s is not built the way fastcoord expects (missing: %s): messages take the"
            " slow lane through it, at a tenth of the speed or less",
            nats.aio.client.__version__,
            "; ".join(missing),
        )
    return not missing
