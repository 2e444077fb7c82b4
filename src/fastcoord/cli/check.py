"""``fastcoord check``: what a configuration means, and whether its server answers."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from fastcoord._frames import Sink
from fastcoord.cli.running import CommandFailed, run_until_interrupted
from fastcoord.config import describe, load_config
from fastcoord.errors import RequestTimeout
from fastcoord.transport import Supervisor

if TYPE_CHECKING:
    from fastcoord.config import Config
    from fastcoord.transport import Link

__all__ = ["run_check"]

SUBSCRIPTION = 1


def run_check(file: str, *, connect: bool = False) -> int:
    """Print every setting of a configuration; secrets show as ``***``.

    :param file: the configuration.
    :param connect: whether to connect to its server as well. No peer hears of it.
    :return: the exit status.
    :raises ConfigError: with everything that is wrong with the file.
    :raises ConnectError: when no server can be joined.
    :raises CommandFailed: when the server does not let the node listen.
    """
    config = load_config(file)
    print(describe(config), flush=True)
    return run_until_interrupted(Visit(config).run()) if connect else 0


class Visit:
    """A connection that subscribes and publishes nothing.

    Joining the cluster would do more, but a running node may have the id that the file names, and
    a check must not disturb it.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._refusals: list[str] = []

    async def run(self) -> int:
        started = time.monotonic()
        supervisor = Supervisor(self._config, Sink(), self)
        try:
            await supervisor.start()
            link = supervisor.link
            if link is None:
                raise CommandFailed("the server took the connection and closed it at once")
            await self._listen(link)
            milliseconds = (time.monotonic() - started) * 1000
            print(f"connected to {link.server} in {milliseconds:.0f} ms, ", end="")
            print(f"and may listen on {self._config.cluster.subject}")
        finally:
            await supervisor.close()
        return 0

    async def _listen(self, link: Link) -> None:
        answered = asyncio.Event()
        link.subscribe(self._config.cluster.subject, SUBSCRIPTION)
        link.ping(answered.set)
        timeout = self._config.nats.timeout.request
        try:
            await asyncio.wait_for(answered.wait(), timeout)
        except asyncio.TimeoutError:
            raise RequestTimeout(
                f"{link.server} took the connection and did not answer a PING within "
                f"{timeout:g} s (timeout.request)"
            ) from None
        if self._refusals:
            raise CommandFailed(f"{link.server} refused: {'; '.join(self._refusals)}")

    # What the supervisor tells

    def link_read(self) -> None:
        pass

    def link_writable(self) -> None:
        pass

    def connection_up(self, link: Link) -> None:
        pass

    def connection_down(self, reason: str) -> None:
        self._refusals.append(reason)

    def connection_given_up(self, reason: str) -> None:
        self._refusals.append(reason)
