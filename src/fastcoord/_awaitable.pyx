# cython: language_level=3, embedsignature=True
"""Awaitables without a coroutine of their own.

A call that does not have to wait should not cost a coroutine. The interpreter awaits an object by the
slots of its type; here these are C functions, which return a result without raising ``StopIteration``
where the interpreter allows that.
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


cdef raise_thrown(tuple arguments):
    """Raise what ``throw`` of a coroutine was called with.

    :param arguments: an exception; or its class and, if given, its value and its traceback.
    """
    kind = arguments[0]
    value = arguments[1] if len(arguments) > 1 else None
    traceback = arguments[2] if len(arguments) > 2 else None
    if isinstance(kind, BaseException):
        value = kind
    elif value is None:
        value = kind()
    elif not isinstance(value, BaseException):
        value = kind(value)
    raise value if traceback is None else value.with_traceback(traceback)


@cython.final
cdef class Done:
    """A coroutine that has finished: what ``publish`` returns when it did not have to wait.

    All calls share one object. ``await`` finishes without suspending, and ``create_task`` and
    ``gather`` accept it like any coroutine.
    """

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        raise StopIteration

    def send(self, value):
        """Finish."""
        raise StopIteration

    def throw(self, *exception):
        """Raise the exception: nothing here could handle it."""
        raise_thrown(exception)

    def close(self):
        """Do nothing: it has finished."""


@cython.final
cdef class Waiter:
    """What one task waits for until it is woken.

    A task waits for every object that has these attributes of a future: it sets
    ``_asyncio_future_blocking`` to false, calls ``add_done_callback``, and continues when the
    callback is called. Unlike ``asyncio.Future``, a waiter keeps the callback until the callback
    runs. A future drops it first: an exception from outside, for example of a signal handler, while
    it is being scheduled leaves the task asleep for ever. A waiter can be woken again; a wake-up
    that was scheduled twice does nothing the second time.

    :param loop: the event loop of the task.
    """

    def __init__(self, loop):
        self.loop = loop
        self._asyncio_future_blocking = True

    def __call__(self):
        """Schedule the task, unless it was resumed before."""
        self.is_woken = True
        if self.callback is not None:
            self.loop.call_soon(self.resume, context=self.context)

    def resume(self):
        """Resume the task; called by the event loop."""
        callback = self.callback
        self.callback = None
        if callback is not None:
            callback(self)

    @property
    def is_waiting(self):
        """Whether a task waits that was not cancelled."""
        return self.callback is not None and not self.is_cancelled

    def get_loop(self):
        """Return the event loop of the task."""
        return self.loop

    def add_done_callback(self, callback, *, context=None):
        """Store what resumes the task; called by the task."""
        self.callback = callback
        self.context = context
        if self.is_woken:
            self()

    def cancel(self, msg=None):
        """Wake the task; called when it is cancelled.

        :return: false: the task raises ``CancelledError`` by itself when it is resumed.
        """
        self.is_cancelled = True
        self()
        return False

    def result(self):
        """Return None; called by the task when it is resumed."""


set_slots(Done, NULL, finish_empty)
collections.abc.Coroutine.register(Done)
DONE = Done()
done = DONE
