"""``fastcoord listen``: every event and notice of a live cluster, one a line."""

from __future__ import annotations

import datetime
import json
import random
import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec

import fastcoord
from fastcoord.cli.running import run_until_interrupted
from fastcoord.events import Notice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fastcoord import Batch, Event

    Writer = Callable[[float, int | None, Any], str]

__all__ = ["run_listen"]


def run_listen(
    file: str,
    *,
    node_id: int | None = None,
    kinds: Sequence[str] | None = None,
    as_json: bool = False,
) -> int:
    """Join a cluster and print what arrives, until Ctrl-C.

    :param file: the configuration.
    :param node_id: the id to join with; ``None`` draws one, never the configuration's.
    :param kinds: names of the events to print; ``None`` for all.
    :param as_json: whether each line is a JSON object; it always is when standard output is not
        a terminal.
    :return: the exit status.
    """
    config = fastcoord.load_config(file)
    if node_id is None:
        # That of the file belongs to the node whose file it is.
        node_id = random.randint(32_768, 65_535)
    write = _json_line if as_json or not sys.stdout.isatty() else _readable_line
    wanted = None if kinds is None else [getattr(fastcoord, name) for name in kinds]

    async def listen() -> int:
        async with fastcoord.connect(config, node_id=node_id) as node:
            _say(f"node {node.node_id} listens on {config.cluster.subject}; Ctrl-C ends it")
            async with node.subscribe(kinds=wanted, peers=True) as events:
                async for arrived in events.batches():
                    for line in _lines(arrived, write):
                        print(line, flush=True)
        return 0

    return run_until_interrupted(listen())


def _say(sentence: str) -> None:
    print(f"fastcoord: {sentence}", file=sys.stderr, flush=True)


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
