from collections.abc import Callable, Iterable
from typing import Any

from typing_extensions import Buffer, disjoint_base

HEADER_ALLOWANCE: int

class FrameError(Exception): ...

@disjoint_base
class Sink: ...

@disjoint_base
class Collector(Sink):
    def __init__(self) -> None: ...
    @property
    def messages(self) -> list[tuple[int, bytes, Any, bytes]]: ...

@disjoint_base
class Splitter:
    def __init__(
        self,
        sink: Sink,
        control: Callable[[bytes], object],
        *,
        read_size: int,
        max_payload: int = ...,
    ) -> None: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __release_buffer__(self, buffer: memoryview, /) -> None: ...
    @property
    def read_size(self) -> int: ...
    max_payload: int
    is_bypassed: bool
    @property
    def held(self) -> int: ...
    def feed(self, size: int) -> None: ...
    def feed_bytes(self, data: Buffer) -> None: ...
    def release(self) -> None: ...

def parse_numbering(block: bytes) -> tuple[int, int, int, int] | None: ...
def compose(
    subject: bytes,
    incarnation: int,
    discarded: int,
    batches: Iterable[tuple[bytes, int, int]],
    *,
    note: str | None = None,
) -> bytes: ...
