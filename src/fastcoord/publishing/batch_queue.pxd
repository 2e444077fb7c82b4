# cython: language_level=3
from libc.stdint cimport uint64_t

from fastcoord.wire.sealed_batch cimport SealedBatch

cdef class BatchQueue:
    cdef readonly Py_ssize_t capacity  # sealed batches, confirmed ones not counted
    cdef readonly object queue         # deque of SealedBatch that no connection has taken
    cdef readonly object resend        # deque of SealedBatch that a lost connection had taken
    cdef readonly object window        # deque of SealedBatch, taken and not yet confirmed
    cdef readonly object recent        # deque of SealedBatch, confirmed a short while ago
    cdef readonly Py_ssize_t queue_bytes
    cdef readonly uint64_t taken       # events that a connection has taken at least once, ever
    cdef readonly uint64_t confirmed   # events, ever
    cdef readonly uint64_t discarded
    cdef Py_ssize_t repeated           # confirmed batches in resend and window
    cdef bint has_capacity(self)
    cdef int put(self, SealedBatch batch) except -1
    cdef int drop_oldest(self) except -1
