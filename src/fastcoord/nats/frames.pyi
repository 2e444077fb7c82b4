from collections.abc import Iterable

from fastcoord.wire.sealed_batch import SealedBatch

HEADER_ALLOWANCE: int

def compose(
    subject: bytes,
    protocol: int,
    incarnation: int,
    discarded: int,
    batches: Iterable[SealedBatch],
    *,
    note: str | None = None,
    ping: bool = False,
) -> bytes: ...
