# cython: language_level=3
from libc.stdint cimport uint8_t, uint64_t

from fastcoord.nats.sequence_header cimport SequenceHeader

# A batch that was published and is not confirmed.
cdef struct Publication:
    uint64_t end           # offset behind its last event
    uint64_t sequence      # of the stream, if it was acknowledged before its predecessor; or 0

cdef class Acknowledgements:
    cdef object on_change
    cdef Publication* publications     # owned; a ring, indexed by number & (capacity - 1)
    cdef uint64_t capacity             # allocated, a power of two
    cdef readonly uint64_t first       # number of the oldest batch that is not confirmed
    cdef readonly uint64_t next        # number of the next batch
    cdef readonly uint64_t confirmed   # offset behind the last confirmed event
    cdef readonly uint64_t sequence    # of the last confirmed batch
    cdef readonly bint has_gap         # whether a later batch was acknowledged before the first
    cdef readonly bint is_misplaced    # whether the first one is stored before its predecessor
    cdef bint was_misplaced            # whether the first one was published again because of that
    cdef readonly object error         # bytes of the first error, or None
    cdef readonly uint64_t acknowledged
    cdef readonly uint64_t duplicates
    cdef bint is_notified
    cdef bytes prefix                  # of an acknowledgement, up to the sequence

    cdef int take(
        self,
        const uint8_t* subject,
        Py_ssize_t subject_size,
        SequenceHeader* header,
        const uint8_t* payload,
        Py_ssize_t size,
    ) except -1
    cdef int store(self, uint64_t number, uint64_t sequence, bint is_duplicate) except -1
    cdef int read_other(
        self, uint64_t number, SequenceHeader* header, const uint8_t* payload, Py_ssize_t size
    ) except -1
    cdef int notify(self) except -1
    cdef int grow(self) except -1
    cdef bint has_later(self)
