from collections.abc import Callable, Iterator
from threading import Lock
from typing import final

from fastcoord._codec import Batch
from fastcoord.events import Notice
from fastcoord.receiving.cursor import Cursor
from fastcoord.wire.events import Event

@final
class Bell:
    def __init__(self, lock: Lock) -> None: ...
    def __call__(self) -> None: ...
    def wait(self, timeout: float) -> bool: ...

@final
class ThreadTurns:
    def __init__(self, lock: Lock, bell: Bell) -> None: ...
    def renew(self, lock: Lock, bell: Bell) -> None: ...

@final
class ThreadIterator(Iterator[Event | Batch | Notice]):
    def __init__(
        self,
        cursor: Cursor,
        turns: ThreadTurns,
        begin_wait: Callable[[], Callable[[], float]] | None,
        *,
        batches: bool = False,
    ) -> None: ...
    def __iter__(self) -> ThreadIterator: ...
    def __next__(self) -> Event | Batch | Notice: ...
