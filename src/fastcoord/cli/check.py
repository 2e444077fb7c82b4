"""``fastcoord check``: print a configuration, and try its servers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from typing import TYPE_CHECKING

import fastcoord
from fastcoord.cli.arguments import NodeId, add_node_id
from fastcoord.cli.running import run_until_interrupted
from fastcoord.cli.settings import add_file, load_settings
from fastcoord.config import as_builtins, describe, doubtful_settings
from fastcoord.errors import ConnectError, PermissionDenied, RequestTimeout, StreamError
from fastcoord.events import DuplicateNodeId
from fastcoord.nats.probe import Finding, probe

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from fastcoord import Node
    from fastcoord.config import Config
    from fastcoord.errors import FastcoordError

__all__ = ["configure", "run"]

JOINING = "cluster"
"""The heading of the findings that are not about one address."""

ANSWER_TIME = 0.5
"""Seconds that a node with the same id has to answer."""

DESCRIPTION = """\
Print every setting in effect with its source: file and line, environment variable, or default. If
there are problems, print all of them instead. Secrets are never shown.

With --connect, try every server address: DNS, TCP, TLS, authentication, each right that a node
needs, and whether own messages come back. If a server grants all rights, join the cluster with a
free node id and leave it again, which proves the stream, if it is set. Other nodes see that; on
servers older than 2.11, they also receive the goodbye of a node that does not exist.

With --node-id ID, join with this id instead, to see whether it is free. If a running node has it,
the command fails, and the other nodes get Missed and PeerDown for that node.

example: fastcoord check --connect node.toml
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the arguments of the command."""
    parser.description = DESCRIPTION
    add_file(parser)
    parser.add_argument(
        "--connect",
        action="store_true",
        help="try every server as well; exit with 1 if anything fails",
    )
    add_node_id(parser)
    parser.add_argument(
        "--json",
        action="store_true",
        help="one JSON object for each setting, and with --connect for each finding",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print every setting of a configuration; secrets are printed as ``***``.

    :param arguments: the parsed arguments.
    :return: the exit status.
    :raises ConfigError: with all problems of the file.
    """
    config, sources = load_settings(arguments.file)
    if arguments.json:
        lines = [json.dumps(each) for each in as_builtins(config, sources)]
    else:
        lines = [describe(config, sources)]
    print(*lines, sep="\n", flush=True)
    for doubt in doubtful_settings(config):
        print(f"fastcoord: {doubt}", file=sys.stderr, flush=True)
    if not arguments.connect:
        return 0
    return run_until_interrupted(_visit(config, arguments.node_id, arguments.json))


async def _visit(config: Config, node_id: NodeId, as_json: bool) -> int:
    failures: list[str] = []
    heading = ""
    is_usable = False

    def report(finding: Finding) -> None:
        if finding.state == "failed":
            failures.append(f"{heading}: {finding.step}: {finding.text}")
        if as_json:
            plain = {"address": heading, **finding._asdict()}
            print(json.dumps(plain), flush=True)
        else:
            print(f"  {finding.step:<15} {finding.state:<8} {finding.text}", flush=True)

    def begin(text: str) -> None:
        nonlocal heading
        heading = text
        if not as_json:
            print(f"\n{text}", flush=True)

    for address in config.nats.address:
        begin(str(address))
        is_usable |= await probe(config, address, report)
    # Without a server that can be used, joining would only repeat the reasons.
    if is_usable:
        begin(JOINING)
        await _join(config, node_id, report)
    for failure in failures:
        print(f"fastcoord: {failure}", file=sys.stderr)
    return 1 if failures else 0


async def _join(config: Config, node_id: NodeId, report: Callable[[Finding], None]) -> None:
    """Join the cluster and leave it."""
    try:
        async with fastcoord.connect(config, node_id=node_id) as node:
            await node.flush()
            joined_as = node.node_id
            is_used = node_id != "auto" and await _is_duplicate(node)
    except (ConnectError, RequestTimeout, StreamError) as error:
        report(Finding("stream" if _is_of_stream(error) else "join", "failed", str(error)))
        return
    if config.cluster.stream is not None:
        report(Finding("stream", "ok", f"{config.cluster.stream} stores the events"))
    if is_used:
        text = f"another running node uses node id {joined_as}: choose another --node-id"
        report(Finding("join", "failed", text, joined_as))
        return
    subject = config.cluster.subject
    report(Finding("join", "ok", f"as node {joined_as}, on {subject}", joined_as))


async def _is_duplicate(node: Node) -> bool:
    """Return whether another fastcoord node answers that it has the same id."""
    async with node.subscribe(kinds=[DuplicateNodeId]) as notices:

        async def wait() -> None:
            while node.node_id not in node.stats().duplicate_node_ids:
                await anext(aiter(notices))

        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(wait(), ANSWER_TIME)
    return node.node_id in node.stats().duplicate_node_ids


def _is_of_stream(error: FastcoordError) -> bool:
    if isinstance(error, PermissionDenied):
        return error.subject.startswith("$JS.")
    return isinstance(error, StreamError)
