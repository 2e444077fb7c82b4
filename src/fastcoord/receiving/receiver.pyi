from collections.abc import Callable
from typing import Any

from typing_extensions import disjoint_base

from fastcoord.nats.parser import MessageSink
from fastcoord.receiving.ring import Ring

@disjoint_base
class PeerState:
    def __init__(self, node_id: int) -> None: ...
    @property
    def node_id(self) -> int: ...
    incarnation: int
    expected: int
    discarded: int
    connection: int
    silence: int
    has_header: bool
    has_presence: bool
    steady: bool
    last_received_at: float
    received: int
    missed: int
    history: Any

@disjoint_base
class Receiver(MessageSink):
    def __init__(
        self,
        *,
        node_id: int,
        incarnation: int,
        protocol: str,
        deliver_own: bool,
        rules: Any,
        on_request: Callable[[int, bytes, bytes], object],
        on_question: Callable[[str, int, int, int, int, int, bytes, bytes], object] | None = None,
    ) -> None: ...
    @property
    def node_id(self) -> int: ...
    @property
    def incarnation(self) -> int: ...
    @property
    def deliver_own(self) -> bool: ...
    events_sid: int
    presence_sid: int
    reply_sid: int
    @property
    def rules(self) -> Any: ...
    @property
    def peers(self) -> dict[int, PeerState]: ...
    @property
    def rings(self) -> list[Ring]: ...
    @property
    def received(self) -> int: ...
    @property
    def received_batches(self) -> int: ...
    @property
    def received_bytes(self) -> int: ...
    @property
    def echoes(self) -> int: ...
    @property
    def duplicates(self) -> int: ...
    @property
    def malformed(self) -> int: ...
    @property
    def late(self) -> int: ...
    def add_ring(self, ring: Ring) -> None: ...
    def remove_ring(self, ring: Ring) -> None: ...
    def notify(self, notice: object) -> None: ...
    def peer(self, node_id: int) -> PeerState: ...
    def rename(self, node_id: int, incarnation: int) -> None: ...
    def forget(self, node_id: int) -> None: ...
