"""The claim of a node id: a question to every other node that may use or claim the same id.

A node that runs with the id answers, and so refuses the claim. Of two nodes that claim the same id
at once, the older run keeps it. At least one of them receives the question of the other, because
both subscribe before they ask.

If a question or an answer takes longer than a claim waits, a younger run may have decided its claim
before it receives the objection of an older one. It keeps the id unless the older one runs with it
as well: a claim alone does not end a run, because the run refuses this claim. So at least one of
all these nodes keeps the id.
"""

from __future__ import annotations

import asyncio

from fastcoord._deadline import within

__all__ = ["CAN_CHANGE", "CLAIM", "CLAIM_TIME", "CLAIM_TIME_OF_CLUSTER", "PAUSE", "Claim"]

CLAIM = 1
"""The number behind the node id of a question that claims this id."""

CAN_CHANGE = 1
"""The number in the answer of a node that can take another id."""

CLAIM_TIME = 0.1
CLAIM_TIME_OF_CLUSTER = 0.25
"""The seconds for which a claim waits for objections, on one server and in a cluster of them."""

STEPS = 5

PAUSE = 0.05
"""The seconds between two looks for a connection."""


class Claim:
    """A claim that is not decided.

    :param node_id: the id that is claimed.
    """

    def __init__(self, node_id: int) -> None:
        self.node_id = node_id
        self.is_refused = False
        self.is_alone = False
        self._failure: Exception | None = None
        self._decided = asyncio.Event()

    def refuse(self) -> None:
        """Note that another node uses this id, or has the older claim to it."""
        self.is_refused = True
        self._decided.set()

    def confirm(self) -> None:
        """Note that the server has delivered the question to no other node."""
        self.is_alone = True
        self._decided.set()

    def fail(self, reason: Exception) -> None:
        """Raise ``reason`` in ``decide``."""
        self._failure = reason
        self._decided.set()

    async def wait(self, seconds: float) -> None:
        """Wait until the claim is refused or confirmed, for a limited time.

        :param seconds: the limit.
        """
        # The time is counted in steps, so that a slow event loop reads what has arrived meanwhile.
        for _ in range(STEPS):
            try:
                await within(self._decided.wait(), seconds / STEPS)
                break
            except TimeoutError:
                continue
        if self._failure is not None:
            raise self._failure
