# cython: language_level=3
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastcoord.wire.protocol cimport Protocol
from fastcoord.wire.events cimport Event
from fastcoord.wire.sealed_batch cimport SealedBatch
from fastcoord.wire.primitives cimport Writer

cdef enum Appending:
    APPENDING_FAILED = -1
    APPENDED
    NO_CAPACITY      # for another batch, now
    TOO_LARGE    # for any batch

cdef class Batcher:
    cdef Protocol protocol
    cdef Writer writer
    cdef Py_ssize_t prefix             # bytes of the node id, with which every batch begins
    cdef readonly uint16_t node_id
    cdef readonly Py_ssize_t limit     # bytes of one batch, the node id included
    cdef readonly Py_ssize_t capacity  # sealed batches, confirmed ones not counted
    cdef readonly uint32_t open_count
    cdef readonly object queue         # deque of SealedBatch, not yet handed to a connection
    cdef readonly object window        # deque of SealedBatch, handed over and not yet confirmed
    cdef readonly object recent        # deque of SealedBatch, confirmed a short while ago
    cdef object on_open
    cdef object on_seal
    cdef readonly uint64_t accepted    # events, ever
    cdef readonly uint64_t confirmed
    cdef readonly uint64_t discarded
    cdef readonly uint64_t sealed_batches
    cdef readonly Py_ssize_t queue_bytes
    cdef readonly Py_ssize_t bytes_since_flush  # sealed since the loop last came round
    cdef readonly bint is_flush_scheduled
    cdef readonly double now           # stamps sealed batches; as of the last loop round

    cdef bint has_state_change
    cdef uint8_t state_change_tag
    cdef bint has_capacity(self)
    cdef Py_ssize_t add_run(self, tuple events, Py_ssize_t start) except -1
    cdef tuple prepare_members(self, tuple events)
    cdef Py_ssize_t add_members(self, tuple members, Py_ssize_t start) except -1
    cdef int schedule_flush(self) except -1
    cdef int count_queue(self) except -1
    cdef int check(self, object event) except -1
    cdef bint add_one(self, object event) except -1
    cdef Appending append(self, Event event) except APPENDING_FAILED
    cdef bint add(self, Event event) except -1
    cdef tuple fit(self, Event event)
    cdef int seal_open(self) except -1
    cdef int discard(self, SealedBatch batch) except -1
