# cython: language_level=3
from libc.stdint cimport uint16_t, uint32_t, uint64_t

from fastcoord._codec cimport Protocol
from fastcoord._events cimport Event
from fastcoord._wire cimport Writer

cdef class Sealed:
    cdef readonly bytes payload
    cdef readonly uint64_t offset
    cdef readonly uint32_t count
    cdef readonly double sealed_at
    cdef bint is_counted               # as confirmed or discarded; sent once more to be sure

cdef class Batcher:
    cdef Protocol protocol
    cdef Writer writer
    cdef Py_ssize_t prefix             # bytes of the node id, with which every batch begins
    cdef readonly uint16_t node_id
    cdef readonly Py_ssize_t limit     # bytes of one batch, the node id included
    cdef readonly Py_ssize_t capacity  # sealed batches, confirmed ones not counted
    cdef readonly uint32_t open_count
    cdef readonly object queue         # deque of Sealed, not yet handed to a connection
    cdef readonly object window        # deque of Sealed, handed over and not yet confirmed
    cdef readonly object recent        # deque of Sealed, confirmed a short while ago
    cdef object on_open
    cdef object on_seal
    cdef readonly uint64_t accepted    # events, ever
    cdef readonly uint64_t confirmed
    cdef readonly uint64_t discarded
    cdef readonly uint64_t sealed_batches
    cdef public double now             # set by the owner once a loop round; stamps sealed batches

    cdef bint has_state_change
    cdef bint has_room(self)
    cdef Py_ssize_t add_run(self, tuple events, Py_ssize_t start) except -1
    cdef int check(self, object event) except -1
    cdef bint add(self, Event event) except -1
    cdef tuple fit(self, Event event)
    cdef int seal_open(self) except -1
    cdef int discard(self, Sealed batch) except -1
