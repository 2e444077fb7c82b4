from collections.abc import Callable
from typing import Any

from typing_extensions import disjoint_base

from fastcoord._ring import Ring
from fastcoord._splitter import Sink

@disjoint_base
class PeerState:
    def __init__(self, node_id: int) -> None: ...
    @property
    def node_id(self) -> int: ...
    incarnation: int
    expected: int
    discarded: int
    numbered: bool
    steady: bool
    heard_at: float
    received: int
    missed: int
    history: Any

@disjoint_base
class Inbox(Sink):
    def __init__(
        self,
        *,
        node_id: int,
        incarnation: int,
        protocol: str,
        hear_own: bool,
        sequencer: Any,
        on_request: Callable[[int, bytes, bytes], object],
    ) -> None: ...
    @property
    def node_id(self) -> int: ...
    @property
    def incarnation(self) -> int: ...
    @property
    def hear_own(self) -> bool: ...
    events_sid: int
    @property
    def peers(self) -> dict[int, PeerState]: ...
    @property
    def rings(self) -> list[Ring]: ...
    received_at: float
    now: float
    @property
    def received(self) -> int: ...
    @property
    def received_batches(self) -> int: ...
    @property
    def received_bytes(self) -> int: ...
    @property
    def echoes(self) -> int: ...
    duplicates: int
    malformed: int
    def add_ring(self, ring: Ring) -> None: ...
    def remove_ring(self, ring: Ring) -> None: ...
    def notify(self, notice: object) -> None: ...
    def peer(self, node_id: int) -> PeerState: ...
    def accept(
        self,
        sid: int,
        reply: bytes,
        numbers: tuple[int, int, int, int] | str | None,
        payload: bytes,
        note: str | None = None,
    ) -> None: ...
