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
    connection: int = 0,
    silence: int = 0,
    note: str | None = None,
    reply: bytes = b"",
    question: bytes = b"",
    ping: bool = False,
) -> bytes: ...
