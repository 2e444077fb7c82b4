"""Random damage to messages, repeatable by its seed."""

import random
from collections.abc import Callable

from support.faults.frames import Frame


class Damage:
    """A filter for one direction of a proxy that drops, repeats, swaps and alters messages.

    Each probability is for one message; their sum is at most 1. Damaged frames are recorded in
    order.

    :param source: the random numbers; the same seed does the same damage.
    :param only: whether a message may be damaged; all of them by default.
    """

    def __init__(
        self,
        source: random.Random,
        *,
        drop: float = 0.0,
        duplicate: float = 0.0,
        swap: float = 0.0,
        alter: float = 0.0,
        only: Callable[[Frame], bool] = lambda frame: True,
    ) -> None:
        assert drop + duplicate + swap + alter <= 1.0
        self._source = source
        self._chances = [(drop, self._drop), (duplicate, self._duplicate), (swap, self._swap)]
        self._chances.append((alter, self._alter))
        self._only = only
        self._held: Frame | None = None
        self.dropped: list[Frame] = []
        self.duplicated: list[Frame] = []
        self.swapped: list[Frame] = []
        self.altered: list[Frame] = []

    def __call__(self, frame: Frame) -> list[Frame]:
        if not frame.is_message or not self._only(frame):
            return [frame]
        held, self._held = self._held, None
        result = self._damaged(frame)
        if held is not None:
            result.append(held)  # delivered after its successor
        return result

    def _damaged(self, frame: Frame) -> list[Frame]:
        drawn = self._source.random()
        for chance, action in self._chances:
            if drawn < chance:
                return action(frame)
            drawn -= chance
        return [frame]

    def _drop(self, frame: Frame) -> list[Frame]:
        self.dropped.append(frame)
        return []

    def _duplicate(self, frame: Frame) -> list[Frame]:
        self.duplicated.append(frame)
        return [frame, frame]

    def _swap(self, frame: Frame) -> list[Frame]:
        self.swapped.append(frame)
        self._held = frame
        return []

    def _alter(self, frame: Frame) -> list[Frame]:
        payload = bytearray(frame.payload or b"\0")
        payload[self._source.randrange(len(payload))] ^= 1 << self._source.randrange(8)
        altered = frame.alter(payload=bytes(payload))
        self.altered.append(altered)
        return [altered]
