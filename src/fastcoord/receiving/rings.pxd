# cython: language_level=3
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastcoord.nats.parser cimport MessageSink

cdef int wake_rings(rings, bint* is_wake_due) except -1

cdef class Rings(MessageSink):
    cdef readonly list rings
    cdef readonly uint64_t received    # events that were put into the rings
    cdef bint is_judging               # whether the rules run; waking follows then
    cdef bint is_wake_due              # whether a ring has a consumer to wake

    cdef void lose(self) noexcept
    cdef int wake(self) except -1
    cdef int deliver(
        self, uint16_t node_id, const uint8_t* payload, Py_ssize_t size, uint32_t start, uint32_t count
    ) except -1
