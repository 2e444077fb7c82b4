"""``fastcoord listen``: print the events and notices of a running cluster, one a line."""

from __future__ import annotations

import datetime
import json
import random
import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec

import fastcoord
from fastcoord.cli.arguments import add_file, add_node_id, event_kind
from fastcoord.cli.running import run_until_interrupted
from fastcoord.events import Notice

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from fastcoord import Batch, Event

    Writer = Callable[[float, int | None, Any], str]

__all__ = ["configure", "run"]

DESCRIPTION = """\
Join the cluster of a configuration as one more node and print the events of the other nodes, until
Ctrl-C. The node needs an id that no other node has: a random one unless you give it.

example: fastcoord listen node.toml --kinds StateChange,EmailPush
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the arguments of the command."""
    parser.description = DESCRIPTION
    add_file(parser)
    add_node_id(parser)
    parser.add_argument(
        "--kinds",
        type=_kinds,
        metavar="NAME,…",
        help="print only these events, for example StateChange,EmailPush, and all notices",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="one JSON object a line; also the default when the output is not a terminal",
    )


def _kinds(text: str) -> tuple[str, ...]:
    return tuple(event_kind(name.strip()) for name in text.split(","))


def run(arguments: argparse.Namespace) -> int:
    """Join a cluster and print what arrives, until Ctrl-C.

    :param arguments: the parsed arguments.
    :return: the exit status.
    """
    config = fastcoord.load_config(arguments.file)
    node_id: int | None = arguments.node_id
    if node_id is None:
        # Not the id of the file: the node that it configures may be running.
        node_id = random.randint(32_768, 65_535)
    as_json = arguments.json or not sys.stdout.isatty()
    write = _json_line if as_json else _readable_line
    kinds: tuple[str, ...] | None = arguments.kinds
    wanted = None if kinds is None else [getattr(fastcoord, name) for name in kinds]

    async def listen() -> int:
        async with fastcoord.connect(config, node_id=node_id) as node:
            _log(f"node {node.node_id} listens on {config.cluster.subject}; stop it with Ctrl-C")
            async with node.subscribe(kinds=wanted, peers=True) as events:
                async for arrived in events.batches():
                    for line in _lines(arrived, write):
                        print(line, flush=True)
        return 0

    return run_until_interrupted(listen())


def _log(text: str) -> None:
    print(f"fastcoord: {text}", file=sys.stderr, flush=True)


def _lines(
    arrived: Batch | Notice, write: Callable[[float, int | None, Any], str]
) -> Iterator[str]:
    if isinstance(arrived, Notice):
        yield write(time.time(), getattr(arrived, "node_id", None), arrived)
        return
    received_at = arrived.received_at or time.time()
    for event in arrived:
        yield write(received_at, arrived.node_id, event)


def _json_line(received_at: float, node_id: int | None, what: Event | Notice) -> str:
    line: dict[str, Any] = {"received_at": round(received_at, 6), "node_id": node_id}
    if isinstance(what, Notice):
        line |= {"type": type(what).__name__, **msgspec.structs.asdict(what)}
    else:
        line |= fastcoord.to_builtins(what)
    return json.dumps(line, ensure_ascii=False)


def _readable_line(received_at: float, node_id: int | None, what: Event | Notice) -> str:
    moment = datetime.datetime.fromtimestamp(received_at).astimezone()
    sender = "all nodes" if node_id is None else f"node {node_id}"
    return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03}  {sender}  {what!r}"
