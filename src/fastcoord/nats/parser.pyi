from collections.abc import Callable

from typing_extensions import Buffer, disjoint_base

class FrameError(Exception): ...

@disjoint_base
class MessageSink:
    now: float
    received_at: float
    def take(
        self,
        sid: int,
        reply: bytes,
        numbers: tuple[int, int, int, int, int, int] | str | None,
        payload: bytes,
    ) -> None: ...

@disjoint_base
class Parser:
    def __init__(
        self,
        sink: MessageSink,
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
    def feed(self, size: int) -> None: ...
    def feed_bytes(self, data: Buffer) -> None: ...
    def release(self) -> None: ...
