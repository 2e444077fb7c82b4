"""The options of ``bench`` and ``tune`` that describe a load, and how their values are read."""

from __future__ import annotations

import argparse
import importlib.util
import math
from typing import TYPE_CHECKING, Any

from fastcoord.cli.arguments import event_kind, number
from fastcoord.cli.running import WrongUsage
from fastcoord.config import _values
from fastcoord.config._model import PROTOCOLS

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastcoord.tuning.objectives import Objective

__all__ = [
    "add_load",
    "add_server",
    "mix",
    "objectives",
    "seconds",
    "setting",
    "size",
    "style",
    "sweep",
]

MOST_NODES = 64
LONGEST = 86_400.0
"""Seconds that a duration may have."""


def seconds(text: str) -> float:
    """Read a duration such as ``3s``, ``500ms`` or ``2m``; a number without unit is in seconds."""
    try:
        value = float(text)
    except ValueError:
        try:
            value = _values.duration(text)
        except ValueError:
            value = math.nan
    if not 0 <= value <= LONGEST:  # nan is outside as well
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time such as 3 or 3s (seconds), 500ms or 2m, up to a day"
        )
    return value


def size(text: str) -> int:
    """Read a size of at least 1 MB such as ``256MB``; smaller queues could hold nothing."""
    try:
        return int(_values.size(1 << 20, 1 << 50)(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None


def mix(text: str) -> dict[str, int]:
    """Read the weights of event kinds such as ``StateChange=8,EmailPush=1``."""
    from fastcoord.tuning.event_data import NUMBERED_KINDS

    found = {}
    for word in text.split(","):
        name, equals, weight = word.strip().partition("=")
        kind = event_kind(name)
        if kind not in NUMBERED_KINDS:
            raise argparse.ArgumentTypeError(
                f"{kind} has no field for the number of an event; choose from"
                f" {', '.join(NUMBERED_KINDS)}"
            )
        found[kind] = int(number(int, 1, 1_000_000)(weight)) if equals else 1
    return found


def objectives(text: str) -> tuple[Objective, ...]:
    """Read objectives such as ``p99<5ms,missed=0``."""
    from fastcoord.tuning.objectives import parse_objectives

    return _checked(parse_objectives, text)  # type: ignore[no-any-return]


def setting(text: str) -> tuple[str, Any]:
    """Read a setting such as ``capacity.client=4096``."""
    from fastcoord.tuning.load import parse_setting

    return _checked(parse_setting, text)  # type: ignore[no-any-return]


def sweep(text: str) -> tuple[str, list[Any]]:
    """Read several values of a setting such as ``capacity.client=64,256,1024``."""
    key, _, values = text.partition("=")
    read = [setting(f"{key}={value}") for value in values.split(",")]
    return read[0][0], [value for _, value in read]


def _checked(parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_load(parser: argparse.ArgumentParser) -> None:
    """Add the options that describe the events and how they are published and read."""
    load = parser.add_argument_group("load")
    load.add_argument(
        "--mix",
        type=mix,
        default={"StateChange": 1},
        metavar="KIND=N,…",
        help="kinds of events and their weights, for example StateChange=8,EmailPush=1"
        " (default: StateChange)",
    )
    load.add_argument(
        "--payload",
        type=number(int, 8, 60_000_000),
        metavar="BYTES",
        help="size of the payload of AppEvent, with --mix AppEvent (default: 40)",
    )
    how = load.add_mutually_exclusive_group()
    how.add_argument(
        "--lone",
        action="store_true",
        help="one event in each message: the program returns to the event loop after each event"
        " (default: events that are due together share messages)",
    )
    how.add_argument(
        "--list",
        type=number(int, 1, 1_000_000),
        metavar="N",
        help="publish lists of N events with publish_many",
    )
    load.add_argument(
        "--nowait",
        action="store_true",
        help="call publish_nowait, which discards events instead of waiting; with --lone each call"
        " has a task of its own",
    )
    load.add_argument(
        "--burst",
        type=number(int, 1, 10_000_000),
        default=1,
        metavar="N",
        help="N events of one publisher are due at once (default: 1)",
    )
    load.add_argument(
        "--read",
        choices=("events", "batches"),
        default="events",
        help="iterate over events (default) or over batches",
    )
    load.add_argument(
        "--loop",
        choices=("asyncio", "uvloop"),
        default="asyncio",
        help="the event loop (default: asyncio)",
    )
    load.add_argument(
        "--seed",
        type=number(int, 0, 2**32 - 1),
        default=1,
        help="the seed of the values in the events (default: 1)",
    )


def add_server(parser: argparse.ArgumentParser) -> None:
    """Add the options about the server and the subject."""
    server = parser.add_argument_group("server")
    server.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="fastcoord-1",
        help="the protocol on the bundled server (default: fastcoord-1)",
    )
    server.add_argument(
        "--stream",
        action="store_true",
        help="stream mode: a JetStream stream, made for each run and deleted after it, stores the"
        " events",
    )
    server.add_argument(
        "--subject",
        default="",
        metavar="PREFIX",
        help="the first part of the subject, where the account lacks the right to fastcoord.bench.>"
        " (the last part is random; the configured subject is never used)",
    )


def style(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of a ``Load`` that :func:`add_load` has read.

    :raises WrongUsage: the event loop is not installed, or an option has no effect.
    """
    if arguments.payload is not None and "AppEvent" not in arguments.mix:
        raise WrongUsage("--payload is the size of AppEvent: add --mix AppEvent")
    if arguments.loop == "uvloop" and importlib.util.find_spec("uvloop") is None:
        raise WrongUsage("--loop uvloop needs uvloop: pip install 'fastcoord[uvloop]'")
    how = "lone" if arguments.lone else "list" if arguments.list else "loop"
    return {
        "mix": arguments.mix,
        "payload_bytes": 40 if arguments.payload is None else arguments.payload,
        "style": how,
        "list_size": arguments.list or 1,
        "nowait": arguments.nowait,
        "burst": arguments.burst,
        "read": arguments.read,
        "loop": arguments.loop,
        "seed": arguments.seed,
    }
