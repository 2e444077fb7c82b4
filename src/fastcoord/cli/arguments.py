"""Every command and option of ``fastcoord``, and how wrong ones are told."""

from __future__ import annotations

import argparse
import difflib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NoReturn

from fastcoord.config import PROTOCOLS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["build_parser"]

DESCRIPTION = (
    "A coordination bus for clusters of processes over NATS, wire-compatible with Stalwart."
)

EPILOGUE = "Exit status: 0 all is well, 1 a failure, 2 wrong usage, 130 after Ctrl-C."

DEMO = """\
Start a nats-server and several node processes on one generated configuration, let them exchange
events for some seconds, and prove that every event reached every other node once and in order.
"""

CHECK = """\
Read a configuration and print every setting in effect, or everything that is wrong with it.
Secrets are never shown.
"""

LISTEN = """\
Join the cluster of a configuration as one more node and print what the other nodes publish, until
Ctrl-C. The node needs an id that no other node has: one is drawn unless you give it.
"""


class SentenceParser(argparse.ArgumentParser):
    """Tells wrong usage in one sentence, and knows what was probably meant."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)
        self.commands: dict[str, argparse.ArgumentParser] = {}

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see '{self.prog} --help'\n")

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            command = self.commands.get(found.command, self)
            word = unknown[0].partition("=")[0]
            known = [option for action in command._actions for option in action.option_strings]
            near = difflib.get_close_matches(word, known, n=1)
            hint = f", did you mean {near[0]}?" if near else ""
            command.error(f"there is no argument {unknown[0]!r} here{hint}")
        return found


def build_parser() -> SentenceParser:
    """Describe every command and its options."""
    parser = SentenceParser(prog="fastcoord", description=DESCRIPTION, epilog=EPILOGUE)
    parser.add_argument("--version", action="version", version=f"fastcoord {version('fastcoord')}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, summary: str, description: str) -> argparse.ArgumentParser:
        command: argparse.ArgumentParser = commands.add_parser(
            name, help=summary, description=description
        )
        parser.commands[name] = command
        return command

    _describe_demo(add("demo", "three nodes on a local nats-server, every event counted", DEMO))
    _describe_check(add("check", "print every setting of a configuration, or its faults", CHECK))
    _describe_listen(add("listen", "print every event of a running cluster", LISTEN))
    return parser


def _describe_demo(demo: argparse.ArgumentParser) -> None:
    add = demo.add_argument
    add(
        "--seconds",
        type=_number(float, 0.1, 3600),
        default=5.0,
        help="how long the nodes publish (default: 5)",
    )
    add(
        "--nodes",
        type=_number(int, 2, 32),
        default=3,
        help="how many node processes (default: 3)",
    )
    add(
        "--rate",
        type=_number(int, 1, 1_000_000),
        default=2000,
        help="events a second that each node publishes (default: 2000)",
    )
    add(
        "--seed",
        type=int,
        default=1,
        help="the same seed publishes the same events (default: 1)",
    )
    add(
        "--protocol",
        choices=PROTOCOLS,
        default=PROTOCOLS[0],
        help=f"one of {', '.join(PROTOCOLS)} (default: {PROTOCOLS[0]})",
        metavar="NAME",
    )
    add("--server", metavar="BINARY", help="the nats-server to start (default: the bundled one)")
    add("--keep", action="store_true", help="keep server and nodes running until Ctrl-C")
    add("--plain", action="store_true", help="plain lines instead of a live table")


def _describe_check(check: argparse.ArgumentParser) -> None:
    check.add_argument("file", metavar="FILE", help="the configuration, TOML or JSON")
    check.add_argument(
        "--connect",
        action="store_true",
        help="also connect to the server and say what happened; exits with 1 if that fails",
    )


def _describe_listen(listen: argparse.ArgumentParser) -> None:
    listen.add_argument("file", metavar="FILE", help="the configuration, TOML or JSON")
    listen.add_argument(
        "--node-id",
        type=_number(int, 0, 65535),
        metavar="ID",
        help="the id to join with (default: one drawn from 32768 to 65535, never the file's)",
    )
    listen.add_argument(
        "--kinds",
        type=_kinds,
        metavar="NAME,…",
        help="only these events, for example StateChange,EmailPush; notices always show",
    )
    listen.add_argument(
        "--json",
        action="store_true",
        help="one JSON object a line; also the default when the output is not a terminal",
    )


def _number(
    kind: Callable[[str], Any], smallest: float, largest: float
) -> Callable[[str], float | int]:
    def parse(text: str) -> float | int:
        try:
            value: float | int = kind(text)
        except ValueError:
            value = largest + 1
        if not smallest <= value <= largest:
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(
                f"{text!r} is not {what} from {smallest:g} to {largest:,}"
            )
        return value

    return parse


def _kinds(text: str) -> tuple[str, ...]:
    from fastcoord import events

    known = [
        name
        for name in events.__all__
        if isinstance(kind := getattr(events, name), type)
        and issubclass(kind, events.Event)
        and kind is not events.Event
    ]
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f", did you mean {near[0]}?" if near else f": choose from {', '.join(known)}"
            raise argparse.ArgumentTypeError(f"there is no event {name!r}{hint}")
    return names
