# cython: language_level=3, embedsignature=True
"""Awaitables that are not coroutines.

A call that does not have to wait should not create a coroutine. The interpreter awaits an object
through the slots of its type. The types of this module have C functions in these slots. The slot
``am_send`` returns a result without raising ``StopIteration``.
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


cdef PyObject* end(PyObject* self) noexcept:
    # Without an exception, this means the same as StopIteration. Since Python 3.12, `await` calls
    # it instead of `am_send`.
    return NULL


cdef int set_slots(type kind, iternextfunc iternext, sendfunc send) except -1:
    """Set the C functions that the interpreter calls to await an object of this type."""
    cdef SlotType* slots = <SlotType*>kind
    slots.tp_iternext = iternext
    slots.tp_as_async.am_send = send
    return 0


cdef raise_thrown(tuple arguments):
    """Raise the exception that was passed to ``throw`` of a coroutine.

    :param arguments: the arguments of ``throw``: an exception, or a class with an optional value
        and an optional traceback.
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
    """A finished coroutine, which ``publish`` returns if it does not have to wait.

    All such calls return the same object. ``await`` does not suspend the task. ``create_task`` and
    ``gather`` accept the object like any coroutine.
    """

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        raise StopIteration

    def send(self, value):
        """Raise ``StopIteration``: the coroutine has finished."""
        raise StopIteration

    def throw(self, *exception):
        """Raise the exception, because a finished coroutine cannot handle it."""
        raise_thrown(exception)

    def close(self):
        """Do nothing: the coroutine has finished."""


@cython.final
cdef class Waiter:
    """A future-like object. One task waits for it until it is called.

    An asyncio task can wait for any object that has these attributes of a future. The task sets
    ``_asyncio_future_blocking`` to false and calls ``add_done_callback``. It continues when the
    callback is called.

    ``asyncio.Future`` drops the callback before it schedules the callback. If an exception in
    between, for example of a signal handler, prevents the scheduling, the task is never resumed. A
    waiter keeps the callback until the callback runs, so that the task can be woken again. If two
    wake-ups are scheduled, the second one does nothing.

    :param loop: the event loop of the task.
    """

    def __init__(self, loop):
        self.loop = loop
        self._asyncio_future_blocking = True

    def __call__(self):
        """Wake the task: schedule it now, or as soon as it waits."""
        self.is_woken = True
        if self.callback is not None:
            self.loop.call_soon(self.resume, context=self.context)

    def resume(self):
        """Resume the task. The event loop calls this."""
        callback = self.callback
        self.callback = None
        if callback is not None:
            callback(self)

    @property
    def is_waiting(self):
        """Whether a task waits and was not cancelled."""
        return self.callback is not None and not self.is_cancelled

    def get_loop(self):
        """Return the event loop of the task."""
        return self.loop

    def add_done_callback(self, callback, *, context=None):
        """Store the callback that resumes the task. The task calls this."""
        self.callback = callback
        self.context = context
        if self.is_woken:
            self()

    def cancel(self, msg=None):
        """Wake the task. ``Task.cancel`` calls this.

        :return: false, so that the task itself raises ``CancelledError`` when it is resumed.
        """
        self.is_cancelled = True
        self()
        return False

    def result(self):
        """Return None. The task calls this when it is resumed."""


set_slots(Done, <iternextfunc>end, finish_empty)
collections.abc.Coroutine.register(Done)
DONE = Done()
done = DONE
