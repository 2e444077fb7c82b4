"""``fastcoord demo``: node processes on a real server, with every event counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcoord.cli.arguments import number
from fastcoord.config import PROTOCOLS

if TYPE_CHECKING:
    import argparse

__all__ = ["configure", "run"]

DESCRIPTION = """\
Start a nats-server and several node processes, which exchange events for some seconds. Then check
that every event reached every other node once and in order.

example: fastcoord demo --seconds 10 --rate 20000
         fastcoord demo --kill --stream
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the arguments of the command."""
    parser.description = DESCRIPTION
    add = parser.add_argument
    add(
        "--seconds",
        type=number(float, 0.1, 3600),
        default=5.0,
        help="how long the nodes publish (default: 5)",
    )
    add(
        "--nodes",
        type=number(int, 2, 32),
        default=3,
        help="how many node processes (default: 3)",
    )
    add(
        "--rate",
        type=number(int, 1, 1_000_000),
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
    add(
        "--kill",
        action="store_true",
        help="kill the server in the middle, start it again after a second, and show which events"
        " are reported as missing",
    )
    add(
        "--stream",
        action="store_true",
        help="use a JetStream stream: with --kill, no event is missing",
    )
    add("--keep", action="store_true", help="keep server and nodes running until Ctrl-C")
    add("--plain", action="store_true", help="plain lines instead of a live table")
    add("--json", action="store_true", help="print the result as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Run the demo.

    :param arguments: the parsed arguments.
    :return: the exit status: 1 when an event is missing or a sum does not add up.
    :raises CommandFailed: when a node ends early or does not reach a phase in time.
    :raises ServerError: when there is no nats-server, or it does not start.
    """
    from fastcoord.cli.demo.cluster import Demo, DemoOptions
    from fastcoord.cli.running import run_until_interrupted

    options = DemoOptions(
        nodes=arguments.nodes,
        seconds=arguments.seconds,
        rate=arguments.rate,
        seed=arguments.seed,
        protocol=arguments.protocol,
        server=arguments.server,
        keep=arguments.keep,
        kill=arguments.kill,
        stream=arguments.stream,
        plain=arguments.plain,
        as_json=arguments.json,
    )
    return run_until_interrupted(Demo(options).run())
