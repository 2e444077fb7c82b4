# cython: language_level=3, embedsignature=True
"""Awaitables without a coroutine of their own.

A call that does not have to wait should not cost a coroutine. The slots of these types are C functions,
which the interpreter calls first, and which finish without raising an exception where it allows that.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF

import collections.abc

cdef extern from "Python.h":
    ctypedef struct PyAsyncMethods:
        sendfunc am_send
    ctypedef struct SlotType "PyTypeObject":
        iternextfunc tp_iternext
        PyAsyncMethods* tp_as_async
    int PYGEN_RETURN


cdef int finish_empty(PyObject* self, PyObject* sent, PyObject** result) except -1:
    Py_INCREF(None)
    result[0] = <PyObject*>None
    return PYGEN_RETURN


cdef int set_slots(type kind, iternextfunc iternext, sendfunc send) except -1:
    """Set the C functions that the interpreter calls first when it awaits an object of this type."""
    cdef SlotType* slots = <SlotType*>kind
    if iternext != NULL:
        slots.tp_iternext = iternext
    slots.tp_as_async.am_send = send
    return 0


@cython.final
cdef class Done:
    """A coroutine that has nothing left to do: what ``publish`` gives when it did not have to wait.

    It is one object for all calls. ``await`` finishes without suspending, and ``create_task`` and
    ``gather`` take it like any coroutine.
    """

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        raise StopIteration

    def send(self, value):
        """Finish at once."""
        raise StopIteration

    def throw(self, *exception):
        """Raise what was thrown in: there is nothing here that could handle it."""
        kind = exception[0]
        raise kind if not isinstance(kind, type) else kind(*exception[1:2])

    def close(self):
        """Do nothing: it is finished."""


set_slots(Done, NULL, finish_empty)
collections.abc.Coroutine.register(Done)
DONE = Done()
done = DONE
