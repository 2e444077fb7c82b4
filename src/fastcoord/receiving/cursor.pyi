import asyncio
from collections.abc import Callable, Iterable

from typing_extensions import disjoint_base

from fastcoord.events import Notice
from fastcoord.receiving.iteration import Iteration
from fastcoord.receiving.ring import Ring
from fastcoord.wire.events import Event

@disjoint_base
class Cursor(Iteration):
    def __init__(
        self,
        ring: Ring,
        *,
        protocol: str,
        kinds: Iterable[type[Event]] | None,
        as_notices: Callable[[dict[int | None, int | None]], list[Notice]],
        get_loop: Callable[[], asyncio.AbstractEventLoop],
    ) -> None: ...
    @property
    def delivered(self) -> int: ...
    @property
    def mismatched(self) -> int: ...
    @property
    def filtered(self) -> int: ...
    @property
    def buffered(self) -> int: ...
    @property
    def sender(self) -> int | None: ...
    @property
    def sequence(self) -> int | None: ...
    def start_behind(self, sequence: int) -> None: ...
    def drop(self) -> None: ...
