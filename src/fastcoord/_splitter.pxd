# cython: language_level=3
from libc.stdint cimport uint8_t, uint64_t

from fastcoord._numbering cimport Numbering

cdef class Sink:
    cdef int message(
        self,
        uint64_t sid,
        const uint8_t* reply,
        Py_ssize_t reply_size,
        Numbering* numbering,
        const uint8_t* payload,
        Py_ssize_t size,
    ) except -1

cdef class Splitter:
    cdef uint8_t* buffer
    cdef Py_ssize_t capacity
    cdef Py_ssize_t start          # first byte that was not consumed
    cdef Py_ssize_t end            # one past the last byte that was read
    cdef Py_ssize_t wanted         # bytes from `start` that the frame at hand takes, or 0
    cdef Py_ssize_t lent           # buffer exports that are still alive
    cdef readonly Py_ssize_t read_size
    cdef public Py_ssize_t max_payload
    cdef public bint is_bypassed   # before the handshake is over every byte is control
    cdef Sink sink
    cdef object control
    cdef Py_ssize_t split(self) except -1
    cdef Py_ssize_t split_message(
        self, const uint8_t* line, Py_ssize_t line_size, bint has_header, Py_ssize_t ready
    ) except -2
    cdef int make_room(self, Py_ssize_t room) except -1
