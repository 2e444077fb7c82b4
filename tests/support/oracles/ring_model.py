"""A simple model of the ring: lists that are searched and summed each time."""

from __future__ import annotations

from typing import Any, NamedTuple

EXTRA_NOTICES = 16
"""The number of notices, beyond the message capacity, that may keep their positions."""


class Message(NamedTuple):
    """A message as ``Ring.take_next`` gives it."""

    payload: bytes
    start: int
    events: int
    node_id: int
    received_at: float


class RingModel:
    """A ring with the same limits and the same rules as the compiled one.

    :ivar items: messages, notices and finished episodes of drop-newest, oldest first.
    :ivar episode: the dropped events of the current episode, by node id.
    :ivar carried: notices that lost their position and are taken first.
    """

    def __init__(self, capacity_messages: int, capacity_bytes: int, drop_newest: bool) -> None:
        self.capacity_messages = capacity_messages
        self.capacity_bytes = capacity_bytes
        self.drop_newest = drop_newest
        self.items: list[Any] = []
        self.episode: dict[int, int] = {}
        self.carried: list[Any] = []
        self.is_closed = False
        self.arrived = self.missed = self.taken = self.high_water = 0

    @property
    def messages(self) -> list[Message]:
        return [item for item in self.items if isinstance(item, Message)]

    @property
    def notices(self) -> list[Any]:
        return [item for item in self.items if not isinstance(item, Message)]

    @property
    def buffered(self) -> int:
        return sum(message.events for message in self.messages)

    @property
    def buffered_bytes(self) -> int:
        return sum(len(message.payload) for message in self.messages)

    def __len__(self) -> int:
        return len(self.carried) + bool(self.episode) + len(self.items)

    def fits(self, message: Message) -> bool:
        return (
            len(self.messages) < self.capacity_messages
            and self.buffered_bytes + len(message.payload) <= self.capacity_bytes
        )

    def put_message(self, message: Message) -> None:
        if self.is_closed:
            return
        self.arrived += message.events
        if self.drop_newest and not self.fits(message):
            self._miss(message)
        elif len(message.payload) > self.capacity_bytes:
            self.missed += message.events
            self.put_notice({message.node_id: message.events})
        else:
            while not self.fits(message):
                self._drop(self.items.pop(0))
            self._end_episode()
            self.items.append(message)
        self.high_water = max(self.high_water, len(self.messages))

    def put_notice(self, notice: Any) -> None:
        if self.is_closed:
            return
        self._end_episode()
        if len(self.notices) >= self.capacity_messages + EXTRA_NOTICES:
            for _ in range((len(self.notices) + 1) // 2):
                self.carried.append(self.items.pop(self._place_of_oldest_notice()))
        self.items.append(notice)

    def take_next(self) -> Any:
        if self.carried:
            return self.carried.pop(0)
        if self.episode and (not self.drop_newest or not self.items):
            episode, self.episode = self.episode, {}
            return episode
        if not self.items:
            return None
        item = self.items.pop(0)
        if isinstance(item, Message):
            self.taken += item.events
        return item

    def _drop(self, item: Any) -> None:
        if isinstance(item, Message):
            self._miss(item)
        else:
            self.carried.append(item)

    def _miss(self, message: Message) -> None:
        self.missed += message.events
        self.episode[message.node_id] = self.episode.get(message.node_id, 0) + message.events

    def _end_episode(self) -> None:
        """Finish the episode of drop-newest, because an item is put after it."""
        if self.drop_newest and self.episode:
            self.items.append(self.episode)
            self.episode = {}

    def _place_of_oldest_notice(self) -> int:
        return next(place for place, item in enumerate(self.items) if not isinstance(item, Message))
