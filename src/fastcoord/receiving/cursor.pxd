# cython: language_level=3
from cpython.object cimport PyObject
from libc.stdint cimport uint32_t, uint64_t

from fastcoord.wire.protocol cimport Protocol
from fastcoord.receiving.ring cimport Ring, Slot
from fastcoord.wire.primitives cimport Reader

cdef enum:
    # The commonest events are decoded in runs of so many; few enough to stay in the nearest cache.
    EVENTS_AHEAD = 32

cdef class Cursor:
    cdef readonly Ring ring
    cdef Protocol protocol
    cdef uint64_t mask
    cdef object as_notices
    cdef object wait_for_event
    cdef object wait_for_batch
    cdef readonly uint64_t delivered
    cdef readonly uint64_t filtered
    cdef list notices              # of an overflow, the next one last
    cdef bytes payload             # the message at hand; keeps the reader's memory alive
    cdef Reader reader
    cdef Slot slot
    cdef uint32_t left             # events of it that were not looked at yet
    cdef PyObject* ahead[EVENTS_AHEAD]   # events of it that are decoded and were not given yet
    cdef Py_ssize_t ahead_at
    cdef Py_ssize_t ahead_end
    cdef Py_ssize_t until_pause    # events that may still be given before the loop must turn
    cdef Next step                 # the last awaitable of an iteration, to be used again

    cdef int forget_ahead(self) except -1
    cdef object next_ahead(self)
    cdef object next_notice(self)
    cdef bint open_message(self) except -1
    cdef object next_event(self)
    cdef object next_batch(self)
    cdef tuple rest_of_message(self)
    cdef int pass_over(self) except -1
    cdef Next next_step(self, bint batches)

cdef class Next:
    cdef Cursor cursor             # None when it has finished
    cdef object waiting            # the coroutine that it awaits, once there was nothing to take
    cdef bint batches

    cdef int finish(self) except -1
    cdef int resume(self, PyObject* sent, PyObject** result) except -1
    cdef int wait(self, Cursor cursor, PyObject* sent, PyObject** result) except -1
