# cython: language_level=3
from cpython.object cimport PyObject
from libc.stdint cimport uint32_t, uint64_t

from fastcoord.receiving.iteration cimport Iteration
from fastcoord.receiving.ring cimport Slot
from fastcoord.wire.protocol cimport Protocol
from fastcoord.wire.primitives cimport Reader
from fastcoord.wire.typed cimport TypedKinds

cdef enum:
    # Events are decoded in runs of at most this length. So many events fit into the L1 cache.
    EVENTS_AHEAD = 32

# Which AppEvents become instances of the program's event classes.
cdef enum Typing:
    TYPING_NEVER
    TYPING_SOME   # of the classes in `typed`
    TYPING_ALL    # of every registered class

cdef class Cursor(Iteration):
    cdef Protocol protocol
    cdef uint64_t mask
    cdef uint64_t app_event_bit    # in `mask`
    cdef Typing typing
    cdef TypedKinds typed          # the program's event classes, or None if none is delivered
    cdef readonly uint64_t mismatched
    cdef object as_notices
    cdef readonly uint64_t delivered
    cdef readonly uint64_t filtered
    cdef object notice             # taken from the ring and not yet converted, or None
    cdef list notices              # converted, the next one last
    cdef bytes payload             # the open message: `reader` points into it
    cdef Reader reader             # valid while `payload` is set
    cdef Slot slot                 # the open message; its `item` is not owned
    cdef uint64_t taken_sequence   # stream sequence of the message before the open one
    cdef uint32_t left             # events of the open message, neither decoded nor filtered yet
    cdef PyObject* ahead[EVENTS_AHEAD]   # owned references, from `ahead_at` to `ahead_end` only
    cdef Py_ssize_t ahead_at
    cdef Py_ssize_t ahead_end
    cdef int last_sender           # of the item that was taken last; -1 if it was a notice
    cdef bint is_decoding
    cdef bint is_dropped

    cdef int release(self) except -1
    cdef object next_ahead(self)
    cdef object next_notice(self)
    cdef bint open_message(self) except -1
    cdef int decode_ahead(self) except -1
    cdef tuple rest_of_message(self)
    cdef tuple decode_rest(self, Py_ssize_t at, Py_ssize_t ahead)
    cdef int enter_decoding(self) except -1
    cdef int filter_event(self) except -1
