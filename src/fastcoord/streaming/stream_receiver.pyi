from typing import Any

from typing_extensions import disjoint_base

from fastcoord.receiving.receiver import Receiver
from fastcoord.streaming.acknowledgements import Acknowledgements
from fastcoord.streaming.feed import Feed

@disjoint_base
class StreamReceiver(Receiver):
    def __init__(self, **options: Any) -> None: ...
    acknowledgements_sid: int
    acknowledgements: Acknowledgements | None
    live: Feed | None
    @property
    def feeds(self) -> dict[int, Feed]: ...
