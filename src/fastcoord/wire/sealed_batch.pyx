# cython: language_level=3, embedsignature=True, boundscheck=False, wraparound=False
"""A sealed batch: its bytes, its offset and count, and when it was accepted and confirmed."""

cimport cython
from libc.stdint cimport uint32_t, uint64_t


@cython.final
@cython.no_gc
@cython.freelist(512)
cdef class SealedBatch:
    """A batch that takes no more events.

    :ivar payload: its bytes on the wire, the node id first.
    :ivar offset: how many events this node had accepted before this batch.
    :ivar count: how many events it holds.
    :ivar accepted_at: when its first event was accepted, on the owner's clock.
    :ivar confirmed_at: when the batch was confirmed, on the owner's clock; 0 until then.
    :ivar discarded: how many events before this batch were discarded; set when it is sent.
    """

    def __init__(self, bytes payload not None, offset, count, discarded=0):
        self.payload = payload
        self.offset = offset
        self.count = count
        self.discarded = discarded


cdef SealedBatch make_sealed_batch(bytes payload, uint64_t offset, uint32_t count, double accepted_at):
    cdef SealedBatch batch = SealedBatch.__new__(SealedBatch)
    batch.payload = payload
    batch.offset = offset
    batch.count = count
    batch.accepted_at = accepted_at
    return batch
