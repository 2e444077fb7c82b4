# cython: language_level=3
from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum NumberingState:
    NUMBERING_ABSENT = 0
    NUMBERING_PRESENT
    NUMBERING_MALFORMED

# The one header of a message: <incarnation>.<offset>.<count>.<discarded>
cdef struct Numbering:
    uint64_t incarnation
    uint64_t offset
    uint64_t count
    uint64_t discarded
    NumberingState state
    bint is_resend          # sent once before, over a connection that broke
    bint is_goodbye         # the sender's last message
    bint is_hello           # the sender has just joined, and asks who is there

cdef void read_numbering(
    const uint8_t* block, Py_ssize_t size, Numbering* numbering
) noexcept nogil

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

cdef class Sealed:
    cdef readonly bytes payload
    cdef readonly uint64_t offset
    cdef readonly uint32_t count
    cdef readonly double sealed_at
    cdef bint is_counted               # as confirmed or discarded; sent once more to be sure

cdef Sealed seal_payload(bytes payload, uint64_t offset, uint32_t count, double sealed_at)
