from collections.abc import Iterable

from fastcoord.wire.sealed_batch import SealedBatch

MESSAGE_ID_ALLOWANCE: int

def compose_for_stream(
    subject: bytes,
    reply: bytes,
    number: int,
    protocol: int,
    incarnation: int,
    discarded: int,
    batches: Iterable[SealedBatch],
    *,
    connection: int = 0,
    attempt: int = 0,
    note: str | None = None,
) -> bytes: ...
