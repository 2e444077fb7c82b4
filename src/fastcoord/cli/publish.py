"""``fastcoord publish``: publish events by hand, and wait for their confirmation."""

from __future__ import annotations

import asyncio
import json
import os
import select
import sys
import threading
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

import fastcoord
from fastcoord.cli.arguments import NodeId, add_node_id
from fastcoord.cli.event_words import KINDS_BY_NAME, parse_event
from fastcoord.cli.joining import join
from fastcoord.cli.running import CommandFailed, WrongUsage, ask_for_input, run_until_interrupted
from fastcoord.cli.settings import add_file, load
from fastcoord.config import is_url
from fastcoord.errors import PeersUnconfirmed

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from fastcoord import Config, Event, Node
    from fastcoord.cli.arguments import SentenceParser
    from fastcoord.wire.event_classes import Publishable

__all__ = ["configure", "run"]

DESCRIPTION = """\
Publish one event, or one for each JSON line of standard input, and return when the server has
confirmed all of them, with --peers when every fastcoord node has them. The lines have the form that
`fastcoord listen --json` prints. A file with the name of an event is given as ./StateChange.

Values are numbers, texts, true or false. The items of a list are separated by commas. Data types
and registry objects may be given by name. Bytes are base64 (also 0102), hex:… or text:….

example: fastcoord publish node.toml StateChange account_id=7 change_id=42 types=Email,Mailbox
         fastcoord publish node.toml CacheInvalidate items=Domain:5,AccessToken:7
         fastcoord publish node.toml --peers < events.jsonl
         FASTCOORD_SERVERS=nats1,nats2 fastcoord publish ReloadBlockedIps
"""

BYTES_PER_READ = 65536
LONGEST_LINE = 256 * 1024 * 1024
"""More bytes than the JSON of any event has: a payload has at most 64 MiB."""
IGNORED_KEYS = ("received_at", "node_id")
"""Keys of ``fastcoord listen --json`` that are not part of the event."""

NOTICES = frozenset(kind.__name__ for kind in fastcoord.Notice.__subclasses__())


class UnreadableInput(Exception):
    """Standard input cannot be read."""


def configure(parser: SentenceParser) -> None:
    """Add the description and the arguments of the command."""
    parser.description = DESCRIPTION
    add_file(parser)
    add_node_id(parser)
    parser.words = "event"
    parser.add_argument(
        "event",
        nargs="*",
        metavar="EVENT FIELD=VALUE",
        help="the kind and its fields (default, or -: read JSON lines from standard input)",
    )
    parser.add_argument(
        "--peers",
        action="store_true",
        help="wait until every fastcoord node has received the events (not Stalwart nodes)",
    )
    parser.add_argument("--json", action="store_true", help="print the result as a JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Publish events and wait until the server has confirmed them.

    :param arguments: the parsed arguments.
    :return: the exit status.
    :raises WrongUsage: the arguments are not an event.
    :raises CommandFailed: a line of standard input is not an event.
    """
    event = None
    file, words = _split_words(arguments.file, arguments.event)
    if words not in ([], ["-"]):
        try:
            event = parse_event(words)
        except (TypeError, ValueError) as error:
            raise WrongUsage(str(error)) from None
    config = load(file)
    publishing = _publish(config, arguments.node_id, event, arguments.peers, arguments.json)
    return run_until_interrupted(publishing)


def _split_words(file: str | None, words: list[str]) -> tuple[str | None, list[str]]:
    """Separate the configuration, which may be missing, from the words of the event.

    The name of an event means the event, even if there is such a file, unless an event follows it.
    """
    if file in KINDS_BY_NAME:
        has_event = words[:1] == ["-"] or not KINDS_BY_NAME.keys().isdisjoint(words[:1])
        return (file, words) if has_event and os.path.isfile(file) else (None, [file, *words])
    if file is None or is_url(file) or os.path.exists(file):
        return file, words
    if file == "-" or "=" in "".join(words[:1]):
        return None, [file, *words]
    return file, words


async def _publish(
    config: Config,
    node_id: NodeId,
    event: Event | None,
    ask_peers: bool,
    as_json: bool,
) -> int:
    async with join(config, node_id) as node:
        problem = None
        peers: frozenset[int] | None = None
        unconfirmed: PeersUnconfirmed | None = None
        if ask_peers:
            await _wait_for_peers(node)
        if event is not None:
            await node.publish(event)
        else:
            problem = await _publish_lines(node)
        try:
            peers = await node.flush(peers=ask_peers)
        except PeersUnconfirmed as error:
            unconfirmed = error
        stats = node.stats()
    if as_json:
        result: dict[str, Any] = {"published": stats.confirmed, "server": stats.server}
        if peers is not None:
            result["peers"] = sorted(peers)
        if unconfirmed is not None:
            result["missing"] = sorted(unconfirmed.missing)
        print(json.dumps(result))
    else:
        count = f"{stats.confirmed} event{'' if stats.confirmed == 1 else 's'}"
        where = f"{config.cluster.subject} ({config.cluster.protocol})"
        print(f"fastcoord: {stats.server} has confirmed {count} on {where}", file=sys.stderr)
        if peers is not None:
            names = ", ".join(map(str, sorted(peers))) or "none"
            print(f"fastcoord: received by the fastcoord nodes: {names}", file=sys.stderr)
    if unconfirmed is not None:
        raise unconfirmed
    if problem is not None:
        raise CommandFailed(problem)
    return 0


async def _wait_for_peers(node: Node) -> None:
    """Wait until this node knows its peers, each of which sends something within a heartbeat.

    ``flush(peers=True)`` asks only known peers, and a node that has just joined may know none.
    """
    await asyncio.sleep(node.config.cluster.heartbeat)


async def _publish_lines(node: Node) -> str | None:
    """Publish the events of standard input.

    :return: what is wrong with the first line that cannot be published, or ``None``.
    """
    number = 0
    ask_for_input("events as JSON lines")
    try:
        async for line in _lines():
            number += 1
            if not line.strip():
                continue
            event = _from_json(line)
            if event is not None:
                await node.publish(event)
    except (TypeError, ValueError) as error:
        return _refused(number, str(error))
    except RecursionError:
        return _refused(number, "the JSON is nested too deeply")
    except UnreadableInput as error:
        return str(error)
    return None


def _refused(number: int, reason: str) -> str:
    return f"standard input, line {number}: {reason}; this and later lines are not published"


def _from_json(line: bytes) -> Publishable | None:
    try:
        plain: Any = json.loads(line)
    except ValueError as error:
        raise ValueError(f"this is not JSON: {error}") from None
    if not isinstance(plain, dict):
        raise TypeError("a JSON object is needed")
    if "type" not in plain:
        raise ValueError('"type" is missing: the name of the event, such as "StateChange"')
    kind = plain["type"]
    if isinstance(kind, str) and kind in NOTICES:
        return None
    return fastcoord.from_builtins(
        {key: value for key, value in plain.items() if key not in IGNORED_KEYS}
    )


async def _lines() -> AsyncIterator[bytes]:
    """Read the lines of standard input as they arrive.

    :raises UnreadableInput: reading failed, or a line is too long.
    """
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[bytes | OSError] = asyncio.Queue(maxsize=4)

    def read() -> None:
        chunk: bytes | OSError = b"first"
        while isinstance(chunk, bytes) and chunk:
            chunk = _read_chunk()
            put = chunks.put(chunk)
            try:
                asyncio.run_coroutine_threadsafe(put, loop).result()
            except (CancelledError, RuntimeError):
                # The command has ended: the event loop cancels its tasks and closes.
                put.close()
                return

    # A pipe transport accepts no regular file. The executor of the event loop would delay the exit
    # after Ctrl-C until the read returns. A daemon thread has neither problem.
    threading.Thread(target=read, name="fastcoord-stdin", daemon=True).start()
    rest = bytearray()
    while chunk := await chunks.get():
        if isinstance(chunk, OSError):
            raise UnreadableInput(f"standard input cannot be read: {chunk.strerror}")
        first, *others = chunk.split(b"\n")
        rest += first
        for line in others:
            yield bytes(rest)
            rest[:] = line
        if len(rest) > LONGEST_LINE:
            raise UnreadableInput(f"a line of standard input is longer than {LONGEST_LINE:,} bytes")
    if rest:
        yield bytes(rest)


def _read_chunk() -> bytes | OSError:
    """Read from standard input; an empty chunk is its end.

    :return: the bytes, or the error. The descriptor may be in non-blocking mode, which another
        process that shares it can set.
    """
    while True:
        try:
            return os.read(0, BYTES_PER_READ)
        except BlockingIOError:
            select.select([0], [], [])
        except OSError as error:
            return error
