# cython: language_level=3
from libc.stdint cimport uint32_t, uint64_t

from fastcoord.wire.sealed_batch cimport SealedBatch

cdef class BatchQueue:
    cdef readonly Py_ssize_t capacity  # the most unconfirmed sealed batches
    cdef readonly object queue         # deque of SealedBatch that no connection has taken
    cdef readonly object resend        # deque of SealedBatch that a lost connection had taken
    cdef readonly object window        # deque of SealedBatch, taken and not yet confirmed
    cdef readonly object recent        # deque of SealedBatch, confirmed recently: see `repeat`
    cdef readonly Py_ssize_t queue_bytes
    cdef readonly uint64_t taken       # total of events that a connection has taken at least once
    cdef readonly uint64_t accepted    # total of accepted events
    cdef uint64_t base                 # how many of them belong to former runs of the node
    cdef readonly uint32_t open_count  # events in the open batch
    cdef readonly uint64_t confirmed   # total of confirmed events
    cdef readonly uint64_t discarded   # total of discarded events
    cdef Py_ssize_t repeated           # how many batches of resend and window were confirmed before
    cdef Py_ssize_t pieces             # how many batches are further pieces of a split batch
    cdef bint has_capacity(self)
    cdef int restart(self, bytes prefix) except -1
    cdef int put(self, SealedBatch batch) except -1
    cdef int drop_oldest(self) except -1
    cdef void count_taken(self, SealedBatch batch) noexcept
