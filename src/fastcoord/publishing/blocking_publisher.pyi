from collections.abc import Iterable
from typing import Protocol

from typing_extensions import disjoint_base

from fastcoord.publishing.batcher import Batcher
from fastcoord.publishing.node_state import NodeState
from fastcoord.wire.events import Event

class _Waits(Protocol):
    def publish_rest(
        self, prepared: tuple[Event, ...], done: int, timeout: float | None
    ) -> None: ...
    def yield_to_loop(self) -> None: ...

@disjoint_base
class BlockingPublisher:
    def __init__(self, state: NodeState, batcher: Batcher, waits: _Waits) -> None: ...
    def publish(self, *events: Event, timeout: float | None = None) -> None: ...
    def publish_many(self, events: Iterable[Event], *, timeout: float | None = None) -> None: ...
    def publish_nowait(self, *events: Event) -> None: ...
