# cython: language_level=3, embedsignature=True
"""Awaitables that are finished before they are awaited.

What takes no waiting should not cost a coroutine. These objects answer the interpreter where it asks
first, with a C function and without raising anything.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF

import collections.abc

cdef extern from "Python.h":
    ctypedef PyObject* (*iternextfunc)(PyObject*)
    ctypedef int (*sendfunc)(PyObject*, PyObject*, PyObject**)
    ctypedef struct PyAsyncMethods:
        sendfunc am_send
    ctypedef struct SlotType "PyTypeObject":
        iternextfunc tp_iternext
        PyAsyncMethods* tp_as_async
    int PYGEN_RETURN
    PyObject* PyExc_StopIteration
    void PyErr_SetObject(PyObject*, PyObject*) noexcept


@cython.final
cdef class Ready:
    """An awaitable that is finished: awaiting it gives its value without suspending."""

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        value = self.value
        self.value = None
        raise StopIteration(value)


cdef PyObject* finish(PyObject* self) noexcept:
    # What __next__ does, without the traceback that a compiled `raise` would build.
    value = (<Ready>self).value
    (<Ready>self).value = None
    PyErr_SetObject(PyExc_StopIteration, <PyObject*>value)
    return NULL


cdef int finish_send(PyObject* self, PyObject* sent, PyObject** result) noexcept:
    # The same for interpreters that ask this way: without even an exception.
    value = (<Ready>self).value
    (<Ready>self).value = None
    Py_INCREF(value)
    result[0] = <PyObject*>value
    return PYGEN_RETURN


cdef int finish_empty(PyObject* self, PyObject* sent, PyObject** result) noexcept:
    Py_INCREF(None)
    result[0] = <PyObject*>None
    return PYGEN_RETURN


cdef answer_quickly(type kind, iternextfunc iternext, sendfunc send):
    """Put C functions where the interpreter looks first when it awaits an object of this type."""
    cdef SlotType* slots = <SlotType*>kind
    if iternext != NULL:
        slots.tp_iternext = iternext
    slots.tp_as_async.am_send = send


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


answer_quickly(Ready, finish, finish_send)
answer_quickly(Done, NULL, finish_empty)
collections.abc.Coroutine.register(Done)
DONE = Done()
done = DONE
