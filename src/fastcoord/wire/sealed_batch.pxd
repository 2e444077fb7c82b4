# cython: language_level=3
from libc.stdint cimport uint32_t, uint64_t

cdef class SealedBatch:
    cdef readonly bytes payload
    cdef readonly uint64_t offset
    cdef readonly uint32_t count
    cdef readonly double accepted_at
    cdef readonly double confirmed_at
    cdef readonly uint64_t discarded
    # Whether its events are counted as confirmed or discarded. A batch that is sent again after
    # its confirmation must not be counted twice.
    cdef bint is_counted
    # Whether it is a further piece of a batch that was split, which uses no capacity.
    cdef bint is_piece

cdef SealedBatch make_sealed_batch(bytes payload, uint64_t offset, uint32_t count, double accepted_at)
