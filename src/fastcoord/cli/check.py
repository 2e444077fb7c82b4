"""``fastcoord check``: print a configuration, and try to connect to its server."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from fastcoord.cli.arguments import add_file
from fastcoord.cli.observer import Observer
from fastcoord.cli.running import run_until_interrupted
from fastcoord.config import describe, doubtful_settings, load_with_sources
from fastcoord.nats.parser import MessageSink

if TYPE_CHECKING:
    import argparse

    from fastcoord.config import Config

__all__ = ["configure", "run"]

DESCRIPTION = """\
Print every setting in effect with its source: file and line, or default. If the file has problems,
print all of them instead. Secrets are never shown.

example: fastcoord check --connect node.toml
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the arguments of the command."""
    parser.description = DESCRIPTION
    add_file(parser)
    parser.add_argument(
        "--connect",
        action="store_true",
        help="connect to a server as well; exit with 1 if that fails",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print every setting of a configuration; secrets are printed as ``***``.

    With ``--connect``, connect to a server as well. Peers do not notice the connection.

    :param arguments: the parsed arguments.
    :return: the exit status.
    :raises ConfigError: with all problems of the file.
    :raises ConnectError: no server can be joined.
    :raises PermissionDenied: the server does not permit the node to subscribe.
    """
    config, sources = load_with_sources(arguments.file)
    print(describe(config, sources), flush=True)
    for doubt in doubtful_settings(config):
        print(f"fastcoord: {doubt}", file=sys.stderr, flush=True)
    return run_until_interrupted(_visit(config)) if arguments.connect else 0


async def _visit(config: Config) -> int:
    started = time.monotonic()
    async with Observer(config, MessageSink()) as observer:
        server = observer.server
    milliseconds = (time.monotonic() - started) * 1000
    print(
        f"connected to {server} in {milliseconds:.0f} ms, and may subscribe to"
        f" {config.cluster.subject}"
    )
    return 0
