"""``fastcoord check``: print a configuration, and try to connect to its server."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from fastcoord.cli.arguments import add_file
from fastcoord.cli.running import CommandFailed, run_until_interrupted
from fastcoord.config import describe, load_config
from fastcoord.errors import RequestTimeout
from fastcoord.nats.parser import MessageSink
from fastcoord.nats.supervisor import Supervisor

if TYPE_CHECKING:
    import argparse

    from fastcoord.config import Config
    from fastcoord.nats.connection import Connection

__all__ = ["configure", "run"]

DESCRIPTION = """\
Read a configuration and print every setting in effect, or every problem of the file. Secrets are
never shown.

example: fastcoord check --connect node.toml
"""

SUBSCRIPTION = 1


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
    :raises CommandFailed: the server does not let the node subscribe.
    """
    config = load_config(arguments.file)
    print(describe(config), flush=True)
    return run_until_interrupted(Visit(config).run()) if arguments.connect else 0


class Visit(Supervisor):
    """A connection that subscribes and publishes nothing.

    It does not join the cluster, because a running node may have the node id of the file.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config, MessageSink(), NoOwner())
        self._refusals: list[str] = []

    async def run(self) -> int:
        """Connect, subscribe, print the result, and disconnect."""
        started = time.monotonic()
        try:
            await self.start()
            server, subject = await self._listen()
        finally:
            await self.close()
        milliseconds = (time.monotonic() - started) * 1000
        print(f"connected to {server} in {milliseconds:.0f} ms, and may subscribe to {subject}")
        return 0

    async def _listen(self) -> tuple[str, str]:
        if self.connection is None:
            raise CommandFailed("the server took the connection and closed it at once")
        server, subject = str(self.connection.server), self._config.cluster.subject
        self.connection.subscribe(subject, SUBSCRIPTION)
        # A refusal comes before the first answer, and is handled before the second one is asked.
        for _ in range(2):
            await self._ping(self.connection, server)
        if self._refusals:
            raise CommandFailed(f"{server} refused: {'; '.join(self._refusals)}")
        return server, subject

    async def _ping(self, connection: Connection, server: str) -> None:
        answered = asyncio.Event()
        connection.ping(answered.set)
        timeout = self._config.nats.timeout.request
        try:
            await asyncio.wait_for(answered.wait(), timeout)
        except asyncio.TimeoutError:
            raise RequestTimeout(
                f"{server} took the connection and did not answer a PING within {timeout:g} s "
                "(timeout.request)"
            ) from None

    def connection_refused(self, connection: Connection, reason: str) -> None:
        self._refusals.append(reason)


class NoOwner:
    """An owner for the supervisor that does nothing."""

    def connection_writable(self) -> None:
        pass

    def connection_up(self, connection: Connection) -> None:
        pass

    def connection_down(self, reason: str) -> None:
        pass

    def connection_given_up(self, reason: str) -> None:
        pass
