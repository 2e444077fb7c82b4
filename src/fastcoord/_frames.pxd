# cython: language_level=3
from libc.stdint cimport uint32_t, uint64_t

cdef class Sealed:
    cdef readonly bytes payload
    cdef readonly uint64_t offset
    cdef readonly uint32_t count
    cdef readonly double sealed_at
    cdef bint is_counted               # as confirmed or discarded; sent once more to be sure

cdef Sealed seal_payload(bytes payload, uint64_t offset, uint32_t count, double sealed_at)
