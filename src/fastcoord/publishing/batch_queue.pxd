# cython: language_level=3
from libc.stdint cimport uint64_t

from fastcoord.wire.sealed_batch cimport SealedBatch

cdef class BatchQueue:
    cdef readonly Py_ssize_t capacity  # sealed batches, confirmed ones not counted
    cdef readonly object queue         # deque of SealedBatch, not yet handed to a connection
    cdef readonly object window        # deque of SealedBatch, handed over and not yet confirmed
    cdef readonly object recent        # deque of SealedBatch, confirmed a short while ago
    cdef readonly Py_ssize_t queue_bytes
    cdef readonly uint64_t confirmed   # events, ever
    cdef readonly uint64_t discarded
    cdef bint has_capacity(self)
    cdef int put(self, SealedBatch batch) except -1
    cdef int count_queue(self) except -1
    cdef int discard(self, SealedBatch batch) except -1
