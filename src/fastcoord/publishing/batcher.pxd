# cython: language_level=3
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastcoord.publishing.batch_queue cimport BatchQueue
from fastcoord.wire.events cimport Event
from fastcoord.wire.primitives cimport Writer
from fastcoord.wire.protocol cimport Protocol

cdef enum Appending:
    APPENDING_FAILED = -1
    APPENDED
    NO_CAPACITY  # the queue has no capacity for another sealed batch now
    TOO_LARGE    # the event does not fit into any batch

cdef class Batcher(BatchQueue):
    cdef Protocol protocol
    cdef Writer writer                 # the open batch; owned, and freed in __dealloc__
    cdef Py_ssize_t prefix             # bytes of the node id at the start of every batch
    cdef readonly uint16_t node_id
    cdef readonly Py_ssize_t limit     # bytes of one batch, the node id included
    cdef object clock
    cdef object on_open
    cdef object on_seal
    cdef readonly uint64_t sealed_batches
    cdef readonly Py_ssize_t bytes_since_flush  # bytes that were sealed since begin_flush
    cdef readonly bint is_flush_scheduled
    cdef bint is_adding                # while add_tuple adds events and delays the flush
    cdef readonly double opened_at     # when the first event of the open batch was accepted

    cdef bint has_state_change         # whether the protocol has StateChange, the common event
    cdef uint8_t state_change_tag
    cdef tuple prepare_tuple(self, tuple events)
    cdef bint add_one(self, object event) except -1
    cdef bint add_prepared(self, Event event) except -1
    cdef Py_ssize_t add_tuple(self, tuple events, Py_ssize_t start) except -1
    cdef Py_ssize_t add_run(self, tuple events, Py_ssize_t start) except -1
    cdef Appending append(self, Event event) except APPENDING_FAILED
    cdef int schedule_flush(self) except -1
    cdef int make_capacity(self) except -1
    cdef int seal_open(self) except -1
