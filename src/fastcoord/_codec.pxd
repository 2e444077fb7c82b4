# cython: language_level=3
from libc.stdint cimport uint16_t

cdef class Batch:
    cdef readonly object received_at
    cdef tuple events
    cdef readonly uint16_t node_id
    cdef bint is_made

cdef Batch make_batch(uint16_t node_id, received_at, tuple events)
