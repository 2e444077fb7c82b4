"""``fastcoord listen``: print the events and notices of a running cluster, one a line."""

from __future__ import annotations

import contextlib
import datetime
import json
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

import fastcoord
from fastcoord.cli.arguments import NodeId, add_node_id, event_kind, number
from fastcoord.cli.event_text import event_text, notice_text, payload_comment
from fastcoord.cli.joining import join
from fastcoord.cli.observer import Observer
from fastcoord.cli.raw import RawSink
from fastcoord.cli.running import CommandFailed, WrongUsage, run_until_interrupted
from fastcoord.cli.settings import add_file, load
from fastcoord.errors import PermissionDenied
from fastcoord.events import Missed, Notice

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Mapping

    from fastcoord import Batch, Config, Event, Peer
    from fastcoord.cli.raw import Message

__all__ = ["configure", "run"]

DESCRIPTION = """\
Join the cluster of a configuration as one more node and print the events of the other nodes until
Ctrl-C. Then print to standard error which nodes are there, and the totals. Stalwart nodes are known
once they have published something.

A line has the time, the node, the kind and its fields. Notices have the same form: PeerUp,
PeerDown, Missed, Disconnected, Reconnected, DuplicateNodeId and ProtocolMismatch. With --json, a
line is an object with received_at (seconds since 1970), node_id, type and the fields.

With --raw, print each message with its sequence header and its bytes. If a message cannot be
decoded, print the reason. With --raw the command publishes nothing, so that no node notices it.

example: fastcoord listen node.toml --kind StateChange,EmailPush --node 3
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the arguments of the command."""
    parser.description = DESCRIPTION
    add_file(parser)
    add_node_id(parser)
    parser.add_argument(
        "--kind",
        type=_kinds,
        metavar="NAME,…",
        help="print only these events, for example StateChange,EmailPush, and all notices",
    )
    parser.add_argument(
        "--node",
        type=_nodes,
        metavar="ID,…",
        help="print only events and notices of these nodes",
    )
    parser.add_argument("--raw", action="store_true", help="print headers and bytes of messages")
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object a line; this is the default if the output is not a terminal",
    )


def _kinds(text: str) -> tuple[str, ...]:
    return tuple(event_kind(name.strip()) for name in text.split(","))


def _nodes(text: str) -> frozenset[int]:
    parse = number(int, 0, 65535)
    return frozenset(int(parse(word.strip())) for word in text.split(","))


def run(arguments: argparse.Namespace) -> int:
    """Print events and notices, or raw messages, until Ctrl-C.

    :param arguments: the parsed arguments.
    :return: the exit status.
    :raises WrongUsage: ``--raw`` is combined with a filter of kinds or a node id.
    """
    if arguments.raw and (arguments.kind or arguments.node_id != "auto"):
        raise WrongUsage(
            "--raw neither joins the cluster nor filters kinds: it takes only --node and --json"
        )
    config = load(arguments.file)
    as_json = arguments.json or not sys.stdout.isatty()
    writer = Writer(as_json, arguments.node)
    if arguments.raw:
        return run_until_interrupted(_listen_raw(config, writer))
    listening = _listen(config, arguments.node_id, arguments.kind, writer)
    try:
        return run_until_interrupted(listening)
    except PermissionDenied as error:
        subject = config.cluster.subject
        raise CommandFailed(
            f"{error}; --raw needs only the right to subscribe to {subject}"
        ) from None


async def _listen(
    config: Config,
    node_id: NodeId,
    kinds: tuple[str, ...] | None,
    writer: Writer,
) -> int:
    wanted = None if kinds is None else [getattr(fastcoord, name) for name in kinds]
    async with join(config, node_id) as node:
        where = f"{config.cluster.subject} ({config.cluster.protocol})"
        writer.begin(f"node {node.node_id} listens on {where}")
        try:
            async with node.subscribe(kinds=wanted, peers=True, connection=True) as events:
                async for arrived in events.batches():
                    writer.item(arrived)
        finally:
            writer.end(peer_texts(node.peers()))
    return 0


async def _listen_raw(config: Config, writer: Writer) -> int:
    def write(received_at: float, message: Message) -> None:
        try:
            writer.message(received_at, message)
        except OSError as error:
            # Raised in the sink, it would only end the connection, which would be replaced.
            observer.end(error)

    sink = RawSink(config.cluster.protocol, write)
    async with Observer(config, sink) as observer:
        writer.begin(f"raw messages on {config.cluster.subject} from {observer.server}")
        try:
            await observer.wait()
        finally:
            writer.end(sink.nodes)
    return 0


def peer_texts(peers: Iterable[Peer]) -> dict[int, str]:
    """Describe each peer by its node id, such as ``fastcoord, up`` or ``Stalwart``."""
    return {
        peer.node_id: "Stalwart"
        if peer.is_up is None
        else f"fastcoord, {'up' if peer.is_up else 'down'}"
        for peer in peers
    }


class Writer:
    """Print events, notices and raw messages, and count them.

    :param as_json: whether each line is a JSON object.
    :param nodes: the nodes to print; ``None`` for all.
    """

    def __init__(self, as_json: bool, nodes: frozenset[int] | None) -> None:
        self._as_json = as_json
        self._nodes = nodes
        self._events: Counter[str] = Counter()
        self._senders: set[int] = set()
        self._missed = 0
        self._has_unknown_loss = False

    def item(self, arrived: Batch | Notice) -> None:
        """Print the events of a batch, or a notice."""
        node_id = getattr(arrived, "node_id", None)
        if not self._is_wanted(node_id):
            return
        for line in self._lines(arrived, node_id):
            print(line, flush=True)

    def message(self, received_at: float, message: Message) -> None:
        """Print a raw message."""
        if not self._is_wanted(message.node_id):
            return
        for event in message.events:
            self._count(event, message.node_id)
        if self._as_json:
            print(json.dumps({"received_at": round(received_at, 6), **message.as_builtins()}))
        else:
            print(f"{_clock(received_at)}  " + "\n".join(message.lines()))
        sys.stdout.flush()

    def begin(self, what: str) -> None:
        """Describe the following output on standard error."""
        print(f"fastcoord: {what}; stop it with Ctrl-C", file=sys.stderr, flush=True)

    def end(self, nodes: Mapping[int, str]) -> None:
        """Print to standard error which nodes are there, and the totals.

        :param nodes: the description of each node by its id.
        """
        there = [f"{each} ({nodes[each]})" for each in sorted(nodes) if self._is_wanted(each)]
        counts = ", ".join(f"{count:,} {name}" for name, count in self._events.most_common())
        missed = f"{self._missed:,} missed" if self._missed or not self._has_unknown_loss else ""
        unknown = "an unknown number missed" if self._has_unknown_loss else ""
        events, senders = self._events.total(), len(self._senders)
        total = f"{events:,} event{'s'[: events != 1]} of {senders} node{'s'[: senders != 1]}"
        words = [total + (f" ({counts})" if counts else ""), missed, unknown]
        with contextlib.suppress(BrokenPipeError):
            print(f"fastcoord: nodes: {', '.join(there) or 'none'}", file=sys.stderr)
            print(f"fastcoord: {', '.join(filter(None, words))}", file=sys.stderr)

    def _is_wanted(self, node_id: int | None) -> bool:
        return self._nodes is None or node_id is None or node_id in self._nodes

    def _count(self, event: Event, node_id: int | None) -> None:
        self._events[type(event).__name__] += 1
        if node_id is not None:
            self._senders.add(node_id)

    def _lines(self, arrived: Batch | Notice, node_id: int | None) -> Iterator[str]:
        if isinstance(arrived, Notice):
            if isinstance(arrived, Missed):
                self._missed += arrived.events or 0
                self._has_unknown_loss |= arrived.events is None
            yield self._line(time.time(), node_id, arrived)
            return
        received_at = arrived.received_at or time.time()
        for event in arrived:
            self._count(event, node_id)
            yield self._line(received_at, node_id, event)

    def _line(self, received_at: float, node_id: int | None, what: Event | Notice) -> str:
        if not self._as_json:
            sender = f"node {node_id}" if node_id is not None else _without_node(what)
            if isinstance(what, Notice):
                return f"{_clock(received_at)}  {sender}  {notice_text(what)}"
            return f"{_clock(received_at)}  {sender}  {event_text(what)}{payload_comment(what)}"
        line: dict[str, Any] = {"received_at": round(received_at, 6), "node_id": node_id}
        if isinstance(what, Notice):
            line |= {"type": type(what).__name__, **msgspec.structs.asdict(what)}
        else:
            line |= fastcoord.to_builtins(what)
        return json.dumps(line)


def _without_node(what: Event | Notice) -> str:
    """Return what stands in place of the sender: a loss without a node concerns all of them."""
    return "all nodes" if isinstance(what, Missed) else "this node"


def _clock(received_at: float) -> str:
    moment = datetime.datetime.fromtimestamp(received_at).astimezone()
    return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03}"
