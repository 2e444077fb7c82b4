# cython: language_level=3, embedsignature=True, boundscheck=False, wraparound=False
"""A batch that is complete: its bytes and the place of its events in the node's sequence."""

cimport cython
from libc.stdint cimport uint32_t, uint64_t


@cython.final
@cython.no_gc
@cython.freelist(512)
cdef class SealedBatch:
    """A batch that takes no more events.

    :ivar payload: its bytes as they travel, the node id first.
    :ivar offset: how many events this node had accepted before its first one.
    :ivar count: how many events it holds.
    :ivar sealed_at: when it was sealed, on the owner's clock.
    """

    def __init__(self, bytes payload not None, offset, count, sealed_at=0.0):
        self.payload = payload
        self.offset = offset
        self.count = count
        self.sealed_at = sealed_at


cdef SealedBatch make_sealed_batch(bytes payload, uint64_t offset, uint32_t count, double sealed_at):
    cdef SealedBatch batch = SealedBatch.__new__(SealedBatch)
    batch.payload = payload
    batch.offset = offset
    batch.count = count
    batch.sealed_at = sealed_at
    return batch
