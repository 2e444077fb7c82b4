"""The id of a node with ``node-id = "auto"``: drawn, claimed, and given up to an older run."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Container
from typing import TYPE_CHECKING, Protocol

from fastcoord.errors import ConnectError
from fastcoord.presence.claim import CAN_CHANGE

if TYPE_CHECKING:
    from fastcoord.presence.presence import Presence
    from fastcoord.presence.questions import Answer
    from fastcoord.publishing.sender import Sender

__all__ = ["HIGHEST", "LOWEST", "OwnId", "draw", "new_incarnation"]

LOWEST = 16_384
HIGHEST = 65_535
"""The ids that are drawn. All of them take three bytes, so that a batch has the same size under
each of them."""

MAX_DRAWS = 1000
SECONDS_BITS = 30
RANDOM_BITS = 18
FIRST_SECOND = 1_735_689_600
"""2025-01-01 in UTC, in seconds since 1970."""

logger = logging.getLogger("fastcoord")


def draw(known: Container[int]) -> int:
    """Draw an id at random.

    :param known: ids that other nodes use.
    """
    node_id = random.SystemRandom().randint(LOWEST, HIGHEST)
    for _ in range(MAX_DRAWS):
        if node_id not in known:
            break
        node_id = random.SystemRandom().randint(LOWEST, HIGHEST)
    return node_id


def new_incarnation() -> int:
    """Return an incarnation that is greater than those of older runs.

    It begins with the time in seconds. The rest is random.
    """
    seconds = (int(time.time()) - FIRST_SECOND) & ((1 << SECONDS_BITS) - 1)
    return seconds << RANDOM_BITS | secrets.randbits(RANDOM_BITS) | 1


class Run(Protocol):
    """The run of the node whose id is chosen."""

    node_id: int
    incarnation: int

    @property
    def peer_ids(self) -> Container[int]:
        """The ids of the nodes from which something was received."""

    def begin_run(self, node_id: int) -> None:
        """Continue as another run with this id."""

    def lost_by_same_id(self, other: Answer) -> None:
        """Report that events of a node may have been dropped because it had the same id."""


class OwnId:
    """Choose the id of one node.

    :param run: the node.
    """

    def __init__(self, run: Run, presence: Presence, sender: Sender) -> None:
        self._run = run
        self._presence = presence
        self._sender = sender
        self._change: asyncio.Task[None] | None = None
        self._younger: int | None = None
        """The last run with this id that was asked to take another one."""
        self._is_over = False

    async def settle(self) -> None:
        """Claim the id that was drawn, or others until one is free.

        :raises ConnectError: no id is free.
        """
        for _ in range(MAX_DRAWS):
            if await self._presence.claim(self._run.node_id):
                self._presence.is_silent = False
                self._presence.connected()
                return
            self._run.begin_run(draw(self._run.peer_ids))
        raise ConnectError(
            f'no free node id was found in {MAX_DRAWS} attempts (cluster.node-id = "auto")'
        )

    def same_id(self, answer: Answer) -> bool:
        """Process the answer of another run that uses the id of this node.

        The younger run takes another id. A node whose id is fixed keeps it.

        :return: whether one of the two takes another id.
        """
        run = self._run
        if answer.node_id != run.node_id or answer.incarnation == run.incarnation:
            return True
        if answer.numbers[:1] == (CAN_CHANGE,) and answer.incarnation > run.incarnation:
            if answer.incarnation != self._younger:
                self._younger = answer.incarnation
                run.lost_by_same_id(answer)
            return True
        self.give_up(answer)
        return True

    def give_up(self, winner: Answer) -> None:
        """Take another id, because an older run uses this one."""
        if self._change is None and not self._is_over and not self._presence.is_silent:
            self._sender.begin_drain()
            self._change = asyncio.get_running_loop().create_task(
                self._take_another(winner), name=f"fastcoord node {self._run.node_id} id"
            )

    async def _take_another(self, winner: Answer) -> None:
        run, before = self._run, self._run.node_id
        try:
            node_id = draw(run.peer_ids)
            while not await self._presence.claim(node_id) or node_id in run.peer_ids:
                node_id = draw(run.peer_ids)
            await self._sender.drain()
            run.begin_run(node_id)
            # What the other run has sent until now was dropped as if it were this node's own.
            run.lost_by_same_id(winner)
            self._presence.connected()
            logger.warning(
                "node %d: another running node has this id too, so this node continues as node %d"
                ' (cluster.node-id = "auto")',
                before,
                node_id,
            )
        finally:
            self._change = None
            self._sender.end_drain()

    def stop(self) -> None:
        """Keep the present id from now on."""
        self._is_over = True
        if self._change is not None:
            self._change.cancel()

    async def end(self) -> None:
        """Keep the present id from now on, and wait for the end of a change that is under way."""
        self.stop()
        if self._change is not None:
            await asyncio.wait({self._change})
