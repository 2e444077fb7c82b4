"""``fastcoord check``: print a configuration, and try to connect to its server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fastcoord.cli.arguments import add_file
from fastcoord.cli.running import run_until_interrupted
from fastcoord.config import describe, load_config
from fastcoord.nats.connection import EVENTS_SID
from fastcoord.nats.parser import MessageSink
from fastcoord.nats.supervisor import Supervisor

if TYPE_CHECKING:
    import argparse

    from fastcoord.config import Config
    from fastcoord.nats.connection import Connection
    from fastcoord.nats.rights import Right

__all__ = ["configure", "run"]

DESCRIPTION = """\
Read a configuration and print every setting in effect, or every problem of the file. Secrets are
never shown.

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

    With ``--connect``, connect to a server as well. Peers do not notice it.

    :param arguments: the parsed arguments.
    :return: the exit status.
    :raises ConfigError: with all problems of the file.
    :raises ConnectError: no server can be joined.
    :raises PermissionDenied: the server does not permit the node to subscribe.
    """
    config = load_config(arguments.file)
    print(describe(config), flush=True)
    return run_until_interrupted(Visit(config).run()) if arguments.connect else 0


class Visit:
    """A connection that subscribes and publishes nothing.

    It does not join the cluster, because a running node may have the node id of the file.

    :param config: the configuration.
    """

    def __init__(self, config: Config) -> None:
        self._subject = config.cluster.subject
        self._supervisor = Supervisor(config, MessageSink(), self)
        self._server = ""

    async def run(self) -> int:
        """Connect, subscribe, print the result, and disconnect."""
        started = time.monotonic()
        try:
            await self._supervisor.start()
        finally:
            await self._supervisor.close()
        milliseconds = (time.monotonic() - started) * 1000
        print(
            f"connected to {self._server} in {milliseconds:.0f} ms, and may subscribe to"
            f" {self._subject}"
        )
        return 0

    def connection_up(self, connection: Connection) -> None:
        self._server = str(connection.server)
        # The supervisor waits for the server's answer, and raises if the right is missing.
        connection.subscribe(self._subject, EVENTS_SID)

    def connection_writable(self) -> None: ...

    def connection_down(self, reason: str) -> None: ...

    def connection_given_up(self, reason: str) -> None: ...

    def connection_limited(self, connection: Connection) -> None: ...

    def connection_refused(self, right: Right) -> None: ...

    def connection_granted(self, right: Right) -> None: ...
