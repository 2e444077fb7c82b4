"""Keeping one link alive: which server next, how long to wait, when to give up."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from fastcoord.errors import (
    AuthenticationFailed,
    ConfigError,
    ConnectError,
    ConnectTimeout,
    TlsError,
)
from fastcoord.transport.fast import FastLink
from fastcoord.transport.link import Link, Server
from fastcoord.transport.seams import fast_lane_is_usable
from fastcoord.transport.slow import SlowLink

if TYPE_CHECKING:
    from fastcoord._splitter import Sink
    from fastcoord.config import Config

__all__ = ["Supervisor", "SupervisorOwner"]

SHORTEST_WAIT = 0.05
LONGEST_WAIT = 4.0
SETTLED_AFTER = 4.0
"""Seconds that a link must have lived before the waits begin again at the shortest."""

logger = logging.getLogger("fastcoord")


class SupervisorOwner(Protocol):
    """Whom the supervisor tells of the connection."""

    def link_read(self) -> None: ...

    def link_writable(self) -> None: ...

    def connection_up(self, link: Link) -> None:
        """Use this link from now on."""

    def connection_down(self, reason: str) -> None:
        """Stop using the link; another one may come."""

    def connection_given_up(self, reason: str) -> None:
        """Know that no other link will come."""


class Supervisor:
    """Join one server of those configured or announced, and another when that one is lost.

    :param config: the configuration.
    :param inbox: takes the messages of whichever link is up.
    :param owner: hears of links.
    """

    def __init__(self, config: Config, inbox: Sink, owner: SupervisorOwner) -> None:
        self._config = config
        self._inbox = inbox
        self._owner = owner
        self._name = f"node {config.cluster.node_id}"
        self._configured = [Server(address) for address in config.nats.address]
        self._announced: dict[str, Server] = {}
        self._link: Link | None = None
        self._lost: asyncio.Event = asyncio.Event()
        self._leave: str | None = None
        self._task: asyncio.Task[None] | None = None
        self._link_since = 0.0
        self._failures = 0
        self._reaping: set[asyncio.Task[None]] = set()
        self.reconnects = 0

    @property
    def link(self) -> Link | None:
        return self._link

    # ------------------------------------------------------------------------ starting

    async def start(self) -> None:
        """Join the first server that answers, trying each once in random order.

        :raises ConnectError: none did; the message names each with its reason.
        """
        failures: list[tuple[Server, Exception]] = []
        for server in self._candidates():
            try:
                link = await self._attempt(server)
            except (ConnectError, TimeoutError) as error:
                failures.append((server, error))
                continue
            self._use(link)
            self._task = asyncio.create_task(self._watch(), name=f"fastcoord {self._name} link")
            return
        raise summary(failures, self._config.nats.timeout.connection)

    async def _attempt(self, server: Server) -> Link:
        kind = FastLink if fast_lane_is_usable() else SlowLink
        link = kind(self._config, server, self._inbox, self)
        await link.open()
        return link

    def _candidates(self, leaving: Server | None = None) -> list[Server]:
        """Give every server to try, in random order; one that is leaving comes last."""
        servers = [*self._configured, *self._announced.values()]
        random.shuffle(servers)
        if leaving is not None:
            servers.sort(key=lambda server: str(server) == str(leaving))
        return servers

    def _use(self, link: Link) -> None:
        self._link = link
        self._lost.clear()
        self._link_since = asyncio.get_running_loop().time()
        self.link_servers(link)
        logger.info("%s: connected to %s", self._name, link.server)
        self._owner.connection_up(link)

    # ------------------------------------------------------------------ what links tell

    def link_read(self) -> None:
        self._owner.link_read()

    def link_writable(self) -> None:
        self._owner.link_writable()

    def link_lost(self, link: Link, reason: str) -> None:
        self._collect(link.reap())
        if link is not self._link:
            return
        self._link = None
        logger.warning("%s: connection to %s lost: %s", self._name, link.server, reason)
        self._reason = reason
        self._lost.set()
        self._owner.connection_down(reason)

    def link_leaving(self, link: Link) -> None:
        if link is self._link:
            logger.info("%s: %s is leaving, moving to another server", self._name, link.server)
            self._leaving = link.server
            link.abort("the server is leaving (lame-duck mode)")

    def link_servers(self, link: Link) -> None:
        configured = {str(server) for server in self._configured}
        self._announced = {
            str(server): server for server in link.announced() if str(server) not in configured
        }

    def link_refused(self, link: Link, reason: str) -> None:
        logger.error("%s: %s refused: %s", self._name, link.server, reason)

    # ----------------------------------------------------------------------- reconnecting

    _reason = ""
    _leaving: Server | None = None

    async def _watch(self) -> None:
        try:
            await self._keep_connected()
        except Exception as error:
            # A defect of this program: without a connection and without anyone looking for one the
            # node would seem to be well.
            logger.exception("%s: the search for a connection failed", self._name)
            self._owner.connection_given_up(f"internal error: {error!r}")
            raise

    async def _keep_connected(self) -> None:
        while True:
            await self._lost.wait()
            link = await self._reconnect()
            if link is None:
                return
            self.reconnects += 1
            self._use(link)

    async def _reconnect(self) -> Link | None:
        """Try server after server, as long as ``max-reconnects`` allows."""
        loop = asyncio.get_running_loop()
        allowed = self._config.nats.max_reconnects
        if loop.time() - self._link_since >= SETTLED_AFTER:
            self._failures = 0
        attempts = 0
        last_failure = self._reason
        while True:
            for server in self._candidates(self._leaving):
                if allowed is not None and attempts >= allowed:
                    self._give_up(attempts, last_failure)
                    return None
                await asyncio.sleep(self._wait_time())
                attempts += 1
                self._failures += 1
                try:
                    link = await self._attempt(server)
                except (ConnectError, ConfigError, TimeoutError) as error:
                    last_failure = f"{server}: {reason_of(error)}"
                    if attempts == 1:
                        logger.info("%s: reconnecting: %s", self._name, last_failure)
                    continue
                self._leaving = None
                return link

    def _wait_time(self) -> float:
        """Half to all of a wait that doubles with each failure: nodes must not come in step."""
        longest = min(LONGEST_WAIT, SHORTEST_WAIT * 2.0 ** min(self._failures, 20))
        return longest * random.uniform(0.5, 1.0)

    def _give_up(self, attempts: int, last_failure: str) -> None:
        if attempts == 0:
            reason = f"{self._reason}; max-reconnects is 0, so no reconnection was tried"
        else:
            reason = (
                f"{self._reason}; none of {attempts} attempts to reconnect succeeded"
                f" (max-reconnects), the last: {last_failure}"
            )
        logger.error("%s: connection given up: %s", self._name, reason)
        self._owner.connection_given_up(reason)

    # ------------------------------------------------------------------------------ ending

    def _collect(self, ending: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(ending)
        self._reaping.add(task)
        task.add_done_callback(self._reaping.discard)

    async def close(self) -> None:
        """Stop trying and drop the link."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        link, self._link = self._link, None
        if link is not None:
            await link.close()
        if self._reaping:
            await asyncio.gather(*self._reaping, return_exceptions=True)


def reason_of(error: BaseException) -> str:
    if isinstance(error, TimeoutError) and not isinstance(error, ConnectError):
        return "no answer within timeout.connection"
    return str(error)


def summary(failures: list[tuple[Server, Exception]], seconds: float) -> ConnectError:
    """Make one error out of what each server answered."""
    kinds: set[type[ConnectError]] = set()
    reasons = []
    for server, error in failures:
        if isinstance(error, ConnectError):
            kinds.add(type(error))
            reasons.append(f"{server}: {error}")
        else:
            kinds.add(ConnectTimeout)
            reasons.append(f"{server}: no answer within {seconds:g} s (timeout.connection)")
    kind = kinds.pop() if len(kinds) == 1 else ConnectError
    advice = {
        AuthenticationFailed: "check user, password and credentials",
        TlsError: "check tls.enable, tls.ca-file and the server's certificate",
    }.get(kind, "check that the server runs there and that address is right")
    return kind(f"no NATS server could be joined ({advice}): {'; '.join(reasons)}")
