# cython: language_level=3
from cpython.object cimport PyObject

from fastcoord._awaitable cimport Waiter
from fastcoord.receiving.ring cimport Ring

cdef enum:
    # After this many events, filtered ones included, the consumer's task pauses. Without this
    # limit, a consumer that awaits nothing else would stop the event loop from reading, confirming
    # and sending heartbeats until the ring is empty.
    EVENTS_PER_ITERATION = 4096

cdef class Iteration:
    cdef readonly Ring ring
    cdef object get_loop
    cdef readonly object failure   # raised at the end of the iteration, or None
    cdef Py_ssize_t until_pause    # how much may still be taken in this iteration of the event loop
    cdef Next step                 # the last awaitable of an iteration, kept for reuse
    cdef Waiter waiter             # of the task that waits, or None
    cdef object stop               # the StopIteration that returns a result, or None

    cdef object next_event(self)
    cdef object next_batch(self)
    cdef Next next_step(self, bint batches)
    cdef Waiter wait(self)

cdef class Next:
    cdef Iteration iteration       # None when it has finished
    cdef Waiter waiter             # while its task waits
    cdef bint is_paused            # set while other tasks of the event loop run
    cdef bint batches

    cdef int leave(self, Iteration iteration) except -1
    cdef int finish(self) except -1
    cdef int resume(self, PyObject** result) except -1
