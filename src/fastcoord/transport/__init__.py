"""The connection to NATS; the only room that imports nats-py.

``supervisor`` keeps one ``link`` alive at a time. A link is one connection: nats-py's client for
the handshake, authentication, TLS and the server's own messages, on a ``lane`` of ours that reads
and writes the socket and takes the messages past it.
"""

from __future__ import annotations

from fastcoord.transport.link import EVENTS_SID, Link, LinkOwner, Note
from fastcoord.transport.supervisor import Supervisor

__all__ = ["EVENTS_SID", "Link", "LinkOwner", "Note", "Supervisor"]
