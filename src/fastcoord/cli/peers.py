"""``fastcoord peers``: list the other nodes of a running cluster."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec

from fastcoord.cli.arguments import NodeId, add_node_id, duration, number
from fastcoord.cli.joining import join
from fastcoord.cli.running import CommandFailed, WrongUsage, run_until_interrupted
from fastcoord.cli.settings import add_file, load
from fastcoord.cli.tables import LiveTable, Table, has_rich_terminal, plain_lines
from fastcoord.errors import ConnectionLost, RequestTimeout
from fastcoord.events import PeerDown
from fastcoord.stats import Peer

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from fastcoord import Config, Node

__all__ = ["configure", "run"]

DESCRIPTION = """\
Join the cluster of a configuration as one more node, wait for the other nodes, and print the state
of each one, its events received and missed, the round trip, and its protocol.

fastcoord nodes answer at once. Stalwart nodes appear when they publish something; their state and
their protocol are unknown, because they send no heartbeats and do not name a protocol. Nodes whose
state is unreadable are fastcoord nodes with another protocol. While the connection is lost, --watch
prints since when, and the state of each node is unknown.

With --json, each line has a node. With --watch --json, each line has one refresh: its time (seconds
since 1970), disconnected_since (null while connected) and the list of nodes.

example: fastcoord peers node.toml --wait 10
"""

REFRESH_INTERVAL = 1.0

PING_TIMEOUT = 1.0
"""Seconds. A node that has just ended must not delay the report about the others."""

COLUMNS = ("node", "kind", "state", "received", "missed", "last received", "round trip", "protocol")


Show: TypeAlias = "Callable[[list[Row], float | None], None]"
"""Print the rows; the second argument is when the connection was lost, or ``None``."""

NO_PEER = dict.fromkeys(Peer.__struct_fields__)


class Row(NamedTuple):
    """Another node, and its protocol if that is known."""

    node_id: int
    peer: Peer | None
    """``None`` for a node with another protocol, whose messages are not read."""
    protocol: str | None


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the arguments of the command."""
    parser.description = DESCRIPTION
    add_file(parser)
    add_node_id(parser)
    parser.add_argument(
        "--wait",
        type=_wait,
        metavar="SECONDS",
        help="how long to wait for nodes (default: two heartbeats)",
    )
    parser.add_argument(
        "--watch", action="store_true", help="print the nodes every second until Ctrl-C"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="one JSON object a line: a node, or with --watch a refresh",
    )


def _wait(text: str) -> float:
    # A unit is accepted as well, as in the settings.
    has_unit = text[:1].isdigit() and text[-1:].isalpha()
    return duration(text) if has_unit else number(float, 0, 3600)(text)


def run(arguments: argparse.Namespace) -> int:
    """Join a cluster and print its other nodes.

    :param arguments: the parsed arguments.
    :return: the exit status.
    :raises WrongUsage: ``--wait`` is combined with ``--watch``.
    """
    if arguments.watch and arguments.wait is not None:
        raise WrongUsage("--watch prints the nodes at once: leave out --wait")
    config = load(arguments.file)
    node_id: NodeId = arguments.node_id
    wait: float = 2 * config.cluster.heartbeat if arguments.wait is None else arguments.wait
    if arguments.watch:
        show: Show = _print_refresh if arguments.json else _print_table
        return run_until_interrupted(_watch(config, node_id, show))
    show = _print_nodes if arguments.json else _print_table
    return run_until_interrupted(_list(config, node_id, wait, show))


async def _list(config: Config, node_id: NodeId, wait: float, show: Show) -> int:
    async with join(config, node_id) as node:
        if sys.stderr.isatty():
            print(f"fastcoord: waiting {wait:g} s for nodes", file=sys.stderr)
        await asyncio.sleep(wait)
        await _ping_all(node)
        rows = _rows(node)
        server = node.stats().server
    if server is None:
        raise CommandFailed("the connection is lost: it is not known which nodes are there")
    show(rows, None)
    count = f"{len(rows)} node{'' if len(rows) == 1 else 's'}"
    print(
        f"fastcoord: {count} on {config.cluster.subject} ({config.cluster.protocol}) at {server} "
        f"within {wait:g} s",
        file=sys.stderr,
    )
    return 0


async def _watch(config: Config, node_id: NodeId, show: Show) -> int:
    async with join(config, node_id) as node:
        tasks = {
            asyncio.create_task(_refresh(node, show)),
            asyncio.create_task(_wait_until_lost(node)),
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return 0


async def _wait_until_lost(node: Node) -> None:
    """Wait until the connection is lost for good.

    :raises ConnectionLost: reconnecting was given up.
    """
    async with node.subscribe(kinds=[PeerDown]) as events:
        async for _ in events:
            pass


async def _refresh(node: Node, show: Show) -> None:
    lost_at: float | None = None
    with contextlib.ExitStack() as stack:
        if show is _print_table and has_rich_terminal():
            from rich.live import Live

            live = stack.enter_context(Live(auto_refresh=False))

            def show(rows: list[Row], lost_at: float | None = None) -> None:
                live.update(LiveTable(_table(rows, lost_at)), refresh=True)

        while True:
            if node.is_connected:
                await _ping_all(node)
            # The connection may be lost while the node waits for answers.
            lost_at = None if node.is_connected else lost_at or time.time()
            rows = _rows(node)
            show(rows if lost_at is None else _unknown(rows), lost_at)
            await asyncio.sleep(REFRESH_INTERVAL)


async def _ping_all(node: Node) -> None:
    """Measure the round trip of every node that answers pings."""

    async def ping(node_id: int) -> None:
        with contextlib.suppress(ConnectionLost, RequestTimeout, asyncio.TimeoutError):
            await asyncio.wait_for(node.ping(node_id), PING_TIMEOUT)

    await asyncio.gather(*(ping(peer.node_id) for peer in node.peers() if peer.is_up))


def _rows(node: Node) -> list[Row]:
    own = node.config.cluster.protocol
    rows = {
        node_id: Row(node_id, None, protocol)
        for node_id, protocol in node.stats().protocol_mismatches.items()
    }
    for peer in node.peers():
        protocol = None if peer.incarnation is None else own
        rows[peer.node_id] = Row(peer.node_id, peer, protocol)
    return [row for _, row in sorted(rows.items())]


def _unknown(rows: list[Row]) -> list[Row]:
    """Remove the state and the round trip, which a node without a connection does not know."""
    return [
        row
        if row.peer is None
        else row._replace(peer=msgspec.structs.replace(row.peer, is_up=None, round_trip=None))
        for row in rows
    ]


def _as_builtins(row: Row) -> dict[str, Any]:
    known = NO_PEER if row.peer is None else row.peer.to_dict()
    return {**known, "node_id": row.node_id, "protocol": row.protocol}


def _print_nodes(rows: list[Row], lost_at: float | None = None) -> None:
    for row in rows:
        print(json.dumps(_as_builtins(row)), flush=True)


def _print_refresh(rows: list[Row], lost_at: float | None = None) -> None:
    plain: dict[str, Any] = {"time": round(time.time(), 3), "disconnected_since": lost_at}
    print(json.dumps({**plain, "nodes": [_as_builtins(row) for row in rows]}), flush=True)


def _print_table(rows: list[Row], lost_at: float | None = None) -> None:
    table = _table(rows, lost_at)
    print(*filter(None, [table.title]), *plain_lines(table), sep="\n", flush=True)


def _table(rows: list[Row], lost_at: float | None = None) -> Table:
    """Make the table of the nodes.

    :param lost_at: when the connection was lost, in seconds since the epoch; ``None`` if it is up.
    """
    since = "" if lost_at is None else time.strftime("%H:%M:%S", time.localtime(lost_at))
    wrong = frozenset(
        index for index, row in enumerate(rows) if row.peer is None or row.peer.is_up is False
    )
    # The protocol and the state tell Stalwart nodes from fastcoord nodes as well.
    title = f"not connected since {since}: states are unknown" if since else ""
    return Table(title, COLUMNS, tuple(map(_cells, rows)), wrong, spare="kind")


def _cells(row: Row) -> tuple[str, ...]:
    node_id, peer, protocol = str(row.node_id), row.peer, row.protocol or "unknown"
    if peer is None:
        return (node_id, "fastcoord", "unreadable", "", "", "", "", protocol)
    return (
        node_id,
        "Stalwart" if peer.incarnation is None else "fastcoord",
        {True: "up", False: "down", None: "unknown"}[peer.is_up],
        f"{peer.received:,}",
        f"{peer.missed:,}",
        _ago(max(0.0, time.time() - peer.last_heard)),
        "" if peer.round_trip is None else _milliseconds(peer.round_trip * 1000),
        protocol,
    )


def _ago(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s ago"
    for unit, size, most in (("s", 1, 100), ("min", 60, 100), ("h", 3600, 100)):
        if seconds < most * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds / 86400:.0f} d ago"


def _milliseconds(value: float) -> str:
    """Write a duration with three digits."""
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f} ms"
