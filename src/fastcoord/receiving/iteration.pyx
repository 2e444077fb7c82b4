# cython: language_level=3, embedsignature=True, binding=False, embedsignature.format=clinic
"""Iterate over a subscription: take items without a task switch, and wait when nothing is buffered.

While something is buffered, an iteration does not switch tasks: awaiting what ``__anext__`` returns
takes the next event without suspending the task. A task is suspended in two cases: while nothing is
buffered, and for one iteration of the event loop after it has taken ``EVENTS_PER_ITERATION`` events
without a pause.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_REFCNT

from fastcoord._awaitable cimport Waiter, raise_thrown, set_slots
from fastcoord.receiving.ring cimport Ring
from fastcoord.wire.pool cimport owned

import collections.abc

from fastcoord.errors import SubscriptionError

cdef extern from "Python.h":
    int PYGEN_RETURN
    int PYGEN_NEXT

cdef extern from *:
    """
    /* Since Python 3.12, `await` calls tp_iternext instead of am_send, so that a result arrives in a
       StopIteration. Making one takes longer than making the event: each iteration uses its own one
       again, unless something else, for example a debugger, has kept it or added to it. */
    #if PY_VERSION_HEX >= 0x030C0000
    static int fastcoord_can_reuse(PyObject* stop) {
        PyStopIterationObject* object = (PyStopIterationObject*)stop;
        return Py_REFCNT(stop) == 1 && object->traceback == NULL && object->context == NULL
            && object->cause == NULL && object->notes == NULL;
    }

    static void fastcoord_set_stop(PyObject* stop, PyObject* value) {
        PyObject* last = ((PyStopIterationObject*)stop)->value;
        ((PyStopIterationObject*)stop)->value = Py_NewRef(value);
        Py_XDECREF(last);
    }

    static void fastcoord_raise_stop(PyObject* stop, PyObject* value) {
        fastcoord_set_stop(stop, value);
        PyErr_SetRaisedException(Py_NewRef(stop));
    }
    #define FASTCOORD_REUSES_STOP 1
    #else
    #define FASTCOORD_REUSES_STOP 0
    #define fastcoord_can_reuse(stop) 0
    #define fastcoord_set_stop(stop, value) ((void)0)
    #define fastcoord_raise_stop(stop, value) PyErr_SetObject(PyExc_StopIteration, value)
    #endif
    """
    bint FASTCOORD_REUSES_STOP
    bint fastcoord_can_reuse(PyObject*) noexcept
    void fastcoord_set_stop(PyObject*, PyObject*) noexcept
    void fastcoord_raise_stop(PyObject*, PyObject*) noexcept


cdef class Iteration:
    """The iteration of one consumer over the items of a ring; a subclass takes the items.

    :param ring: the ring.
    :param get_loop: returns the running event loop; called when a task has to wait.
    """

    def __init__(self, Ring ring not None, get_loop):
        self.ring = ring
        self.get_loop = get_loop
        self.until_pause = EVENTS_PER_ITERATION

    cdef object next_event(self):
        """Take the next event or notice; return None if nothing is buffered or a pause is due."""
        raise NotImplementedError

    cdef object next_batch(self):
        """Take the next batch or notice; return None if nothing is buffered or a pause is due."""
        raise NotImplementedError

    def resume(self):
        """Note that an iteration of the event loop has passed."""
        self.until_pause = EVENTS_PER_ITERATION

    def fail(self, failure):
        """Set the exception that is raised at the end of the iteration."""
        self.failure = failure

    def wake(self):
        """Wake the waiting task again if something is buffered.

        Call this periodically: if a signal handler raises an exception at the wrong moment, the
        ring may fail to wake the task.
        """
        if self.waiter is not None and (len(self.ring) or self.ring.is_closed):
            self.waiter()

    @property
    def must_pause(self):
        """Whether other tasks of the event loop must run before anything more is taken."""
        return self.until_pause <= 0

    @property
    def is_waiting(self):
        """Whether a task waits for the next event or batch."""
        return self.waiter is not None and self.waiter.is_waiting

    def take_event(self):
        """Take the next event or notice; return ``None`` if nothing is buffered."""
        while True:
            value = self.next_event()
            if value is not None or self.until_pause > 0:
                return value
            self.until_pause = EVENTS_PER_ITERATION

    def take_batch(self):
        """Take the next batch or notice; return ``None`` if nothing is buffered."""
        while True:
            value = self.next_batch()
            if value is not None or self.until_pause > 0:
                return value
            self.until_pause = EVENTS_PER_ITERATION

    def buffered_events(self):
        """Iterate over the events and notices that are buffered, without waiting.

        A signal handler cannot raise an exception between taking an item in a step of a ``for``
        loop and the body of the loop; behind a call of ``take_event`` it can, and loses the item.
        """
        return BufferedEvents(self)

    def __aiter__(self):
        return Steps(self, False)

    def __anext__(self):
        return self.next_step(False)

    def batches(self):
        """Iterate over whole batches instead of events."""
        return Steps(self, True)

    cdef Next next_step(self, bint batches):
        """Return the awaitable of one step of an iteration."""
        cdef Next step = self.step
        if self.stop is not None and fastcoord_can_reuse(<PyObject*>self.stop):
            # Do not keep the last event alive while the task waits.
            fastcoord_set_stop(<PyObject*>self.stop, <PyObject*>None)
        # The last awaitable is used again if nothing else refers to it. In that case it has two
        # references: `self.step` and the local variable.
        if step is None or Py_REFCNT(step) > 2:
            step = self.step = Next.__new__(Next)
        elif step.waiter is not None:
            step.leave(self)
        step.iteration = self
        step.batches = batches
        return step

    cdef Waiter wait(self):
        """Return an awaitable that suspends the task until the ring has something or is closed."""
        cdef Waiter waiter
        if self.waiter is not None and self.waiter.is_waiting:
            raise SubscriptionError(
                "two tasks wait for one subscription: let each task subscribe, or let one of them"
                " iterate and pass the events on, for example through an asyncio.Queue"
            )
        waiter = Waiter(self.get_loop())
        self.waiter = waiter
        self.ring.wait(waiter)
        return waiter


@cython.final
cdef class BufferedEvents:
    """Iterate over the events and notices that are buffered, without waiting."""

    cdef Iteration iteration

    def __cinit__(self, Iteration iteration not None):
        self.iteration = iteration

    def __iter__(self):
        return self

    def __next__(self):
        item = self.iteration.take_event()
        if item is None:
            raise StopIteration
        return item


@cython.final
cdef class Steps:
    """Iterate over events or over batches.

    The interpreter calls the C function of this class for each step. For a subclass of
    ``Iteration`` in Python, it would look up ``__anext__`` and call it as a method.
    """

    cdef Iteration iteration
    cdef bint batches

    def __cinit__(self, Iteration iteration not None, bint batches):
        self.iteration = iteration
        self.batches = batches

    def __aiter__(self):
        return self

    def __anext__(self):
        return self.iteration.next_step(self.batches)


@cython.final
cdef class Next:
    """A coroutine that takes the next event or batch when it is awaited; ``__anext__`` returns it.

    Creating the coroutine takes nothing. So a task that is cancelled before it first runs loses no
    event.
    """

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    def send(self, value):
        """Take the next event or batch, or go on waiting for it."""
        cdef PyObject* result = NULL
        cdef int status = self.resume(&result)
        given = owned(result)
        if status == PYGEN_RETURN:
            raise StopIteration(given)
        return given

    def throw(self, *exception):
        """End the coroutine with an exception. It has not taken anything."""
        self.finish()
        raise_thrown(exception)

    def close(self):
        """End the coroutine. It has not taken anything."""
        self.finish()

    cdef int leave(self, Iteration iteration) except -1:
        """Note that the task no longer waits."""
        waiter = self.waiter
        self.waiter = None
        self.is_paused = False
        if iteration.waiter is waiter:
            iteration.waiter = None
        iteration.until_pause = EVENTS_PER_ITERATION
        return 0

    cdef int finish(self) except -1:
        if self.iteration is not None:
            self.leave(self.iteration)
        # The iteration keeps this object to use it again. This object drops its reference to the
        # iteration, so that no reference cycle keeps both alive.
        self.iteration = None
        return 0

    cdef int resume(self, PyObject** result) except -1:
        cdef Iteration iteration = self.iteration
        cdef Waiter waiter
        if iteration is None:
            raise RuntimeError("cannot await the same __anext__() twice")
        if self.waiter is not None or self.is_paused:
            self.leave(iteration)
        value = iteration.next_batch() if self.batches else iteration.next_event()
        if value is not None:
            self.iteration = None
            Py_INCREF(value)
            result[0] = <PyObject*>value
            return PYGEN_RETURN
        if iteration.until_pause <= 0:
            # A bare yield: the task continues in the next iteration of the event loop.
            self.is_paused = True
            Py_INCREF(None)
            result[0] = <PyObject*>None
            return PYGEN_NEXT
        if iteration.ring.is_closed:
            self.iteration = None
            if iteration.failure is not None:
                raise iteration.failure.with_traceback(None)
            raise StopAsyncIteration
        waiter = iteration.wait()
        self.waiter = waiter
        Py_INCREF(waiter)
        result[0] = <PyObject*>waiter
        return PYGEN_NEXT


cdef int resume_by_send(PyObject* self, PyObject* sent, PyObject** result) except -1:
    result[0] = NULL
    return (<Next>self).resume(result)


cdef PyObject* resume_by_next(PyObject* self) except NULL:
    cdef PyObject* result = NULL
    cdef Iteration iteration = (<Next>self).iteration
    if FASTCOORD_REUSES_STOP and iteration is not None and (
        iteration.stop is None or not fastcoord_can_reuse(<PyObject*>iteration.stop)
    ):
        # Before anything is taken: if there is no memory, nothing is lost.
        iteration.stop = StopIteration()
    if (<Next>self).resume(&result) == PYGEN_NEXT:
        return result
    # This is `raise StopIteration` without the traceback that a compiled `raise` would create.
    value = owned(result)
    fastcoord_raise_stop(<PyObject*>iteration.stop, <PyObject*>value)
    return NULL


set_slots(Next, resume_by_next, resume_by_send)
collections.abc.Coroutine.register(Next)
