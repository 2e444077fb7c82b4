# cython: language_level=3
from libc.stdint cimport uint16_t

from fastcoord.wire.protocol cimport Protocol

cdef class Batch:
    cdef readonly object received_at
    cdef tuple events
    cdef readonly object sequence
    cdef readonly uint16_t node_id
    cdef bint is_made

cdef bytes encode(events, uint16_t node_id, Protocol protocol)
cdef Batch decode(payload, Protocol protocol)
cdef Batch make_batch(uint16_t node_id, received_at, tuple events)
