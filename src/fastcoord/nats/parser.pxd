# cython: language_level=3
from libc.stdint cimport uint8_t, uint64_t

from fastcoord.nats.sequence_header cimport SequenceHeader

cdef class MessageSink:
    cdef public double now             # time of the last read, on the event loop's clock
    cdef public double received_at     # the same time in seconds since the epoch
    cdef const uint8_t* subject        # of the message; valid during `message` only
    cdef Py_ssize_t subject_size
    # `reply`, `payload` and the header block point into the read buffer. All pointers are valid during the call only.
    cdef int message(
        self,
        uint64_t sid,
        const uint8_t* reply,
        Py_ssize_t reply_size,
        SequenceHeader* header,
        const uint8_t* payload,
        Py_ssize_t size,
    ) except -1

cdef class Parser:
    cdef uint8_t* buffer           # owned; only `reserve` moves it, and only if no view exists
    cdef Py_ssize_t capacity
    # 0 <= start <= end <= capacity
    cdef Py_ssize_t start          # first byte that was not consumed
    cdef Py_ssize_t end            # one past the last byte that was read
    cdef Py_ssize_t wanted         # size of the incomplete frame at `start`, 0 if not known yet
    cdef Py_ssize_t lent           # number of views that are not released
    cdef readonly Py_ssize_t read_size
    cdef public Py_ssize_t max_payload
    cdef public bint is_bypassed   # true during the handshake: all bytes go to `control`
    cdef MessageSink sink
    cdef object control
    cdef Py_ssize_t parse(self) except -1
    cdef Py_ssize_t parse_message(
        self, const uint8_t* line, Py_ssize_t line_size, bint has_header, Py_ssize_t ready
    ) except -2
    cdef int reserve(self, Py_ssize_t size) except -1
