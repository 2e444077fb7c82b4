"""The rights that ``fastcoord check --connect`` tries, and how it tries them.

All of them are tried on one connection, so that an operator learns at once of all that are missing.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, NamedTuple

from fastcoord._codec import encode_batch
from fastcoord.nats.jetstream import REPLIES
from fastcoord.nats.rights import Right

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fastcoord.config import Cluster
    from fastcoord.nats.connection import Connection

__all__ = ["Trial", "publish_unnoticed", "rights_to_publish", "rights_to_subscribe"]

LOWEST_ID, HIGHEST_ID = 16_384, 65_535
"""Only nodes that choose their id at random have such ids, and rarely the same one."""

ANSWERS = "answers travel on the presence subject, where every node reads them"
REMAINS = "the consumers of nodes that have ended remain for 30 s"


class Trial(NamedTuple):
    """One right, and the subject on which it is tried.

    :ivar step: the name of the step in the report.
    :ivar right: the right to grant. Its subject may be a pattern.
    :ivar subject: the subject, which the pattern covers.
    :ivar without: what happens without the right; empty if a node does not work without it.
    """

    step: str
    right: Right
    subject: str
    without: str = ""


def rights_to_subscribe(cluster: Cluster, own: str) -> list[Trial]:
    """Return the rights to subscribe that a node needs.

    :param own: a subject for answers to this connection.
    """
    events, presence = cluster.subject, cluster.presence_subject
    found = [Trial("subscribe", Right("subscribe", f"{presence}.>"), own, ANSWERS)]
    if events != presence:
        found.insert(0, Trial("subscribe", Right("subscribe", presence, events), presence))
    if cluster.stream is None or events == presence:
        found.insert(0, Trial("subscribe", Right("subscribe", events), events))
    if cluster.stream is not None:
        replies = f"{REPLIES}.{secrets.token_hex(8)}.a"
        found.append(Trial("subscribe", Right("subscribe", f"{REPLIES}.>"), replies))
    return found


def rights_to_publish(cluster: Cluster) -> list[Trial]:
    """Return the rights to publish that a node needs, without that for answers."""
    events, presence = cluster.subject, cluster.presence_subject
    found = [Trial("publish", Right("publish", events), events)]
    if events != presence:
        found.append(Trial("ask", Right("publish", presence, events), presence))
    return [*found, *_requests(cluster)]


def _requests(cluster: Cluster) -> Iterator[Trial]:
    """Return the rights to send requests to JetStream."""
    if cluster.stream is None:
        return
    api = "$JS.API" if cluster.stream_domain is None else f"$JS.{cluster.stream_domain}.API"
    info = f"{api}.STREAM.INFO.{cluster.stream}"
    yield Trial("publish", Right("publish", info), info)
    consumer = f"fastcoord-{secrets.token_hex(6)}"
    for request, without in (("CREATE", ""), ("MSG.NEXT", ""), ("DELETE", REMAINS)):
        subject = f"{api}.CONSUMER.{request}.{cluster.stream}"
        right = Right("publish", f"{subject}.>")
        yield Trial("publish", right, f"{subject}.{consumer}", without)


def publish_unnoticed(
    connection: Connection, cluster: Cluster, trials: Iterable[Trial], trace: str | None
) -> None:
    """Publish on each subject without a message to its subscribers.

    The server checks the right, and publishes a trace of the message instead of the message.
    Servers older than 2.11 deliver it. It is the goodbye of an unknown node.

    :param trace: the subject of the trace, on which this user may publish; without it, each message
        is delivered.
    """
    node_id = LOWEST_ID + secrets.randbelow(HIGHEST_ID - LOWEST_ID + 1)
    payload = encode_batch([], node_id=node_id, protocol=cluster.protocol)
    incarnation = secrets.randbits(42) | 1
    # The lines that request the trace follow the line of a question.
    lines = "" if trace is None else f"0\r\nNats-Trace-Dest:{trace}\r\nNats-Trace-Only:true"
    for trial in trials:
        connection.publish_empty(
            payload,
            incarnation,
            0,
            0,
            subject=trial.subject.encode(),
            note="goodbye",
            question=lines.encode(),
        )
