from typing import Any

from typing_extensions import disjoint_base

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
