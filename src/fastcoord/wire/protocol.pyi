from collections.abc import Sequence

from typing_extensions import disjoint_base

from fastcoord.wire.events import EVENT_TYPES as EVENT_TYPES
from fastcoord.wire.events import Event
from fastcoord.wire.table import TAGS as TAGS

@disjoint_base
class Protocol:
    def __init__(self, name: str, kinds: Sequence[str]) -> None: ...
    @property
    def name(self) -> str: ...
    def refuse(self, event: Event) -> None: ...
