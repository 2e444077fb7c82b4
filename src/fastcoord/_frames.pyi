from collections.abc import Iterable
from typing import final

HEADER_ALLOWANCE: int

@final
class Sealed:
    def __init__(self, payload: bytes, offset: int, count: int, sealed_at: float = 0.0) -> None: ...
    @property
    def payload(self) -> bytes: ...
    @property
    def offset(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def sealed_at(self) -> float: ...

def compose(
    subject: bytes,
    incarnation: int,
    discarded: int,
    batches: Iterable[Sealed],
    *,
    note: str | None = None,
    ping: bool = False,
) -> bytes: ...
