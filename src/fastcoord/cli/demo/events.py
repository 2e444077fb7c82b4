"""Generate the events of the demo, in proportions as in a mail cluster."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from fastcoord.events import (
    CacheInvalidate,
    DataType,
    EmailPush,
    InvalidateAccessTokens,
    ObjectType,
    RegistryInsert,
    ReloadBlockedIps,
    StateChange,
)
from fastcoord.wire.table import TAGS

if TYPE_CHECKING:
    from fastcoord.events import Event

__all__ = ["EventMix"]

STATE_CHANGES = (
    DataType.EMAIL | DataType.EMAIL_DELIVERY | DataType.THREAD | DataType.MAILBOX,
    DataType.EMAIL | DataType.THREAD,
    DataType.CALENDAR_EVENT,
    DataType.CONTACT_CARD,
)
ACCOUNTS = 5000


class EventMix:
    """Generate the endless stream of events that one node of the demo publishes.

    The seed determines the stream, so that a receiver can check each event that it receives.

    :param seed: the demo's seed.
    :param node_id: the node that publishes.
    :param protocol: the protocol, which determines the kinds of events.
    """

    def __init__(self, seed: int, node_id: int, protocol: str) -> None:
        self._random = random.Random(f"{seed}/{node_id}")
        self._change_id = node_id << 32
        self._has_registry = "InvalidateAccessTokens" not in TAGS[protocol]

    def take(self, count: int) -> list[Event]:
        """Return the next ``count`` events."""
        return [self.next() for _ in range(count)]

    def next(self) -> Event:
        """Return the next event."""
        draw = self._random.random()
        account = self._random.randrange(1, ACCOUNTS)
        self._change_id += 1
        if draw < 0.75:
            return StateChange(account, self._change_id, self._random.choice(STATE_CHANGES))
        if draw < 0.90:
            return EmailPush(account, self._random.randrange(1, 1 << 20), self._change_id)
        if draw < 0.98:
            return self._drop_access_tokens(account)
        return self._reload_blocked_addresses()

    def _drop_access_tokens(self, account: int) -> Event:
        accounts = [account + more for more in range(self._random.randrange(1, 4))]
        if self._has_registry:
            return CacheInvalidate([("AccessToken", each) for each in accounts])
        return InvalidateAccessTokens(accounts)

    def _reload_blocked_addresses(self) -> Event:
        if self._has_registry:
            return RegistryInsert(ObjectType.BLOCKED_IP, self._change_id)
        return ReloadBlockedIps()
