from collections.abc import Callable, Iterable
from typing import Any

from typing_extensions import disjoint_base

from fastcoord.wire.events import EVENT_TYPES as EVENT_TYPES
from fastcoord.wire.table import TAGS as TAGS

@disjoint_base
class TypedClass:
    def __init__(
        self,
        type: type[Any],
        kind: int,
        *,
        encode: Callable[[Any], bytes],
        make_decoder: Callable[[], Callable[[bytes], Any]],
        on_first_mismatch: Callable[[TypedClass, Exception], None],
    ) -> None: ...
    @property
    def type(self) -> type[Any]: ...
    @property
    def kind(self) -> int: ...

@disjoint_base
class TypedKinds: ...

def register(found: TypedClass) -> None: ...
def forget_kind(kind: int) -> None: ...
def registered() -> list[TypedClass]: ...
def class_of(kind: object) -> TypedClass | None: ...
def class_of_kind(kind: int) -> TypedClass | None: ...
def split_typed(
    kinds: Iterable[Any] | None,
) -> tuple[TypedKinds | None, list[Any] | None]: ...
