"""``fastcoord peers``: list the other nodes of a running cluster."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from typing import TYPE_CHECKING

import msgspec

import fastcoord
from fastcoord.cli.arguments import add_file, add_node_id, number, random_node_id
from fastcoord.cli.running import run_until_interrupted
from fastcoord.cli.tables import Table, has_rich_terminal, plain_lines, rich_table
from fastcoord.config import load_with_sources
from fastcoord.errors import ConnectionLost, RequestTimeout
from fastcoord.events import PeerDown

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from fastcoord import Config, Node, Peer

__all__ = ["configure", "run"]

DESCRIPTION = """\
Join the cluster of a configuration as one more node, wait for the other nodes, and print the state
of each one, its events received and missed, and the round trip.

fastcoord nodes answer at once. Stalwart nodes appear when they publish something; their state is
unknown, because they send no heartbeats.

example: fastcoord peers node.toml --wait 10
"""

REFRESH_INTERVAL = 1.0

PING_TIMEOUT = 1.0
"""Seconds. A node that has just ended must not delay the report about the others."""

COLUMNS = ("node", "kind", "state", "received", "missed", "last received", "round trip")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the arguments of the command."""
    parser.description = DESCRIPTION
    add_file(parser)
    add_node_id(parser)
    parser.add_argument(
        "--wait",
        type=number(float, 0, 3600),
        metavar="SECONDS",
        help="how long to wait for nodes (default: two heartbeats)",
    )
    parser.add_argument(
        "--watch", action="store_true", help="print the nodes every second until Ctrl-C"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object for each node")


def run(arguments: argparse.Namespace) -> int:
    """Join a cluster and print its other nodes.

    :param arguments: the parsed arguments.
    :return: the exit status.
    """
    config = load_with_sources(arguments.file)[0]
    node_id: int = random_node_id() if arguments.node_id is None else arguments.node_id
    wait: float = 2 * config.cluster.heartbeat if arguments.wait is None else arguments.wait
    show = _print_json if arguments.json else _print_table
    if arguments.watch:
        return run_until_interrupted(_watch(config, node_id, show))
    return run_until_interrupted(_list(config, node_id, wait, show))


async def _list(
    config: Config, node_id: int, wait: float, show: Callable[[tuple[Peer, ...]], None]
) -> int:
    async with fastcoord.connect(config, node_id=node_id) as node:
        await asyncio.sleep(wait)
        await _ping_all(node)
        peers = node.peers()
        server = node.stats().server
    show(peers)
    count = f"{len(peers)} node{'' if len(peers) == 1 else 's'}"
    print(
        f"fastcoord: {count} on {config.cluster.subject} ({config.cluster.protocol}) at {server} "
        f"within {wait:g} s",
        file=sys.stderr,
    )
    return 0


async def _watch(config: Config, node_id: int, show: Callable[[tuple[Peer, ...]], None]) -> int:
    async with fastcoord.connect(config, node_id=node_id) as node:
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


async def _refresh(node: Node, show: Callable[[tuple[Peer, ...]], None]) -> None:
    with contextlib.ExitStack() as stack:
        if show is _print_table and has_rich_terminal():
            from rich.live import Live

            live = stack.enter_context(Live(auto_refresh=False))

            def show(peers: tuple[Peer, ...]) -> None:
                live.update(rich_table(_table(peers), live.console.width), refresh=True)

        while True:
            await _ping_all(node)
            show(node.peers())
            await asyncio.sleep(REFRESH_INTERVAL)


async def _ping_all(node: Node) -> None:
    """Measure the round trip of every node that answers pings."""

    async def ping(node_id: int) -> None:
        with contextlib.suppress(ConnectionLost, RequestTimeout, asyncio.TimeoutError):
            await asyncio.wait_for(node.ping(node_id), PING_TIMEOUT)

    await asyncio.gather(*(ping(peer.node_id) for peer in node.peers() if peer.is_up))


def _print_json(peers: tuple[Peer, ...]) -> None:
    for peer in peers:
        print(json.dumps(msgspec.structs.asdict(peer)), flush=True)


def _print_table(peers: tuple[Peer, ...]) -> None:
    print(*plain_lines(_table(peers)), sep="\n", flush=True)


def _table(peers: tuple[Peer, ...]) -> Table:
    rows = [
        (
            str(peer.node_id),
            "Stalwart" if peer.incarnation is None else "fastcoord",
            {True: "up", False: "down", None: "unknown"}[peer.is_up],
            f"{peer.received:,}",
            f"{peer.missed:,}",
            f"{max(0.0, time.time() - peer.last_heard):.1f} s ago",
            "" if peer.round_trip is None else f"{peer.round_trip * 1000:.2f} ms",
        )
        for peer in peers
    ]
    wrong = frozenset(index for index, peer in enumerate(peers) if peer.is_up is False)
    return Table("", COLUMNS, tuple(rows), wrong)
