# cython: language_level=3, embedsignature=True, binding=False, embedsignature.format=clinic
"""The consumer's side of a ring: events are decoded where they are taken, one at a time.

Iterating does not switch tasks while the ring holds something: the awaitable that ``__anext__``
returns takes it when it is awaited, without suspending. Only an empty ring, and now and then fairness
to the other tasks of the loop, go through a real coroutine, which the owner supplies.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_REFCNT
from cpython.tuple cimport PyTuple_New
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastcoord._awaitable cimport set_slots
from fastcoord._codec cimport Batch, make_batch
from fastcoord.wire.decode cimport decode_run
from fastcoord.wire.pool cimport owned
from fastcoord.wire.protocol cimport get_protocol, kinds_mask
from fastcoord.receiving.ring cimport Ring
from fastcoord.wire.scan cimport skip_event
from fastcoord.wire.primitives cimport reader_init

import collections.abc

cdef extern from "Python.h":
    PyObject** PySequence_Fast_ITEMS(object) noexcept
    int PYGEN_RETURN
    int PYGEN_NEXT
    PyObject* PyExc_StopIteration
    void PyErr_SetObject(PyObject*, PyObject*) noexcept
    int PyIter_Send(object, object, PyObject**) except -1

cdef enum:
    # A consumer that never awaits anything else would otherwise keep the loop from reading,
    # confirming and sending heartbeats for as long as its ring is not empty.
    EVENTS_PER_TURN = 4096


cdef class Cursor:
    """Takes the messages of one ring apart.

    :param ring: where they come from.
    :param protocol: the name of a protocol.
    :param kinds: the event classes to let through, or ``None`` for all; others are counted and never
        become objects.
    :param as_notices: gives the notices, as a list, for a dict of dropped events by node id.
    :param wait_for_event: a coroutine function, awaited when nothing waits or the loop must turn; it
        returns the next event, or raises what ends the iteration.
    :param wait_for_batch: the same for batches.
    """

    def __init__(self, Ring ring, *, protocol, kinds, as_notices, wait_for_event, wait_for_batch):
        self.ring = ring
        self.protocol = get_protocol(protocol)
        self.mask = kinds_mask(kinds)
        self.as_notices = as_notices
        self.wait_for_event = wait_for_event
        self.wait_for_batch = wait_for_batch
        self.notices = []
        self.until_pause = EVENTS_PER_TURN

    def __dealloc__(self):
        self.forget_ahead()

    @property
    def buffered(self):
        """How many events wait: in the ring, and in the message that is being taken apart."""
        return self.ring.buffered + self.left + self.ahead_end - self.ahead_at

    def resume(self):
        """Say that the loop has turned: this many events may be given without waiting again."""
        self.until_pause = EVENTS_PER_TURN

    def drop(self):
        """Forget the message and the notices at hand: the consumer has left."""
        self.forget_ahead()
        self.left = 0
        self.payload = None
        self.notices.clear()

    @property
    def must_pause(self):
        """Whether the loop must turn before anything more is given."""
        return self.until_pause <= 0

    def take_event(self):
        """Take the next event or notice; ``None`` when nothing waits."""
        return self.next_event()

    def take_batch(self):
        """Take the next batch or notice; ``None`` when nothing waits."""
        return self.next_batch()

    def __aiter__(self):
        return self

    def __anext__(self):
        return self.next_step(False)

    def batches(self):
        """Iterate over whole batches instead of events."""
        return BatchCursor(self)

    cdef int forget_ahead(self) except -1:
        while self.ahead_at < self.ahead_end:
            self.ahead_at += 1
            Py_DECREF(<object>self.ahead[self.ahead_at - 1])
        return 0

    cdef object next_ahead(self):
        """Give the next of the events that are decoded already."""
        self.ahead_at += 1
        self.delivered += 1
        self.until_pause -= 1
        return owned(self.ahead[self.ahead_at - 1])

    cdef Next next_step(self, bint batches):
        cdef Next step = self.step
        # Two references are this object's and the local one: nobody else holds the last awaitable.
        if step is None or Py_REFCNT(step) > 2:
            step = self.step = Next.__new__(Next)
        elif step.waiting is not None:
            step.waiting = None
        step.cursor = self
        step.batches = batches
        return step

    cdef object next_notice(self):
        if not self.notices:
            notice = self.ring.take_notice()
            if notice is None:
                return None
            if type(notice) is not dict:
                return notice
            self.notices = self.as_notices(notice)[::-1]
        return self.notices.pop()

    cdef bint open_message(self) except -1:
        """Take the next slot of the ring; its message, if it is one, is then at hand."""
        if not self.ring.take(&self.slot):
            return False
        item = <object>self.slot.item
        Py_DECREF(item)
        if type(item) is bytes:
            self.payload = <bytes>item
            self.left = self.slot.count
            reader_init(
                &self.reader,
                <const uint8_t*>PyBytes_AS_STRING(item),
                PyBytes_GET_SIZE(item),
            )
            self.reader.position += self.slot.start
        elif type(item) is dict:
            self.notices = self.as_notices(item)[::-1]
        else:
            self.notices.append(item)
        return True

    cdef object next_event(self):
        if self.ahead_at < self.ahead_end:
            return self.next_ahead()
        while True:
            while self.left:
                self.ahead_at = 0
                self.ahead_end = decode_run(
                    self.protocol,
                    &self.reader,
                    self.ahead,
                    min(<Py_ssize_t>self.left, EVENTS_AHEAD),
                    self.mask,
                )
                if self.ahead_end:
                    self.left -= <uint32_t>self.ahead_end
                    return self.next_ahead()
                self.pass_over()
            self.payload = None
            notice = self.next_notice()
            if notice is not None:
                return notice
            if not self.open_message():
                return None

    cdef tuple rest_of_message(self):
        """Decode what is left of the message at hand, of the kinds that were asked for."""
        cdef Py_ssize_t ahead = self.ahead_end - self.ahead_at
        cdef Py_ssize_t taken = ahead
        cdef Py_ssize_t room = ahead + self.left
        cdef tuple events = PyTuple_New(room)
        cdef PyObject** items = PySequence_Fast_ITEMS(events)
        cdef tuple chosen = events
        # Nothing is taken before all is decoded: for want of memory it may have to be tried again.
        cdef const uint8_t* start = self.reader.position
        cdef uint32_t left = self.left
        cdef uint64_t filtered = self.filtered
        try:
            while taken < ahead + self.left:
                taken += decode_run(
                    self.protocol, &self.reader, items + taken, ahead + self.left - taken, self.mask
                )
                if taken < ahead + self.left:
                    self.pass_over()
            if taken < room:
                chosen = PyTuple_New(taken)
                memcpy(
                    PySequence_Fast_ITEMS(chosen) + ahead,
                    items + ahead,
                    (taken - ahead) * sizeof(PyObject*),
                )
                memset(items + ahead, 0, (taken - ahead) * sizeof(PyObject*))
        except:
            self.reader.position = start
            self.left = left
            self.filtered = filtered
            raise
        memcpy(
            PySequence_Fast_ITEMS(chosen), self.ahead + self.ahead_at, ahead * sizeof(PyObject*)
        )
        self.ahead_at = self.ahead_end
        self.left = 0
        self.delivered += taken
        self.until_pause -= taken
        return chosen

    cdef int pass_over(self) except -1:
        """Step over the next event of the message, which is of a kind that was not asked for."""
        if self.reader.position == self.reader.end:
            raise AssertionError("a message holds fewer events than were counted when it arrived")
        self.left -= 1
        self.filtered += 1
        skip_event(self.protocol, &self.reader)
        return 0

    cdef object next_batch(self):
        cdef Batch batch
        while True:
            if self.left or self.ahead_at < self.ahead_end:
                # Made first: what is taken out of the message must not be lost for want of it.
                batch = make_batch(self.slot.node_id, self.slot.received_at, ())
                batch.events = self.rest_of_message()
                if batch.events:
                    return batch
            self.payload = None
            notice = self.next_notice()
            if notice is not None:
                return notice
            if not self.open_message():
                return None


@cython.final
cdef class BatchCursor:
    """Iterates over the batches of a cursor."""

    cdef Cursor cursor

    def __init__(self, Cursor cursor):
        self.cursor = cursor

    def __aiter__(self):
        return self

    def __anext__(self):
        return self.cursor.next_step(True)


@cython.final
cdef class Next:
    """What ``__anext__`` returns: a coroutine that takes the next event or batch when it is awaited.

    It takes nothing before: a task that is cancelled before it runs loses nothing.
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
        cdef int status = self.resume(<PyObject*>value, &result)
        given = owned(result)
        if status == PYGEN_RETURN:
            raise StopIteration(given)
        return given

    def throw(self, *exception):
        """Raise an exception where this coroutine waits."""
        if self.waiting is not None:
            try:
                return self.waiting.throw(*exception)
            except:
                self.finish()
                raise
        self.finish()
        kind = exception[0]
        raise kind if not isinstance(kind, type) else kind(*exception[1:2])

    def close(self):
        """End the coroutine; nothing was taken."""
        if self.waiting is not None:
            self.waiting.close()
        self.finish()

    cdef int finish(self) except -1:
        # The cursor holds this object, to use it again: without this they would keep each other.
        self.waiting = None
        self.cursor = None
        return 0

    cdef int resume(self, PyObject* sent, PyObject** result) except -1:
        cdef Cursor cursor = self.cursor
        if cursor is None:
            raise RuntimeError("cannot await the same __anext__() twice")
        if cursor.until_pause > 0 and self.waiting is None:
            value = cursor.next_batch() if self.batches else cursor.next_event()
            if value is not None:
                self.cursor = None
                Py_INCREF(value)
                result[0] = <PyObject*>value
                return PYGEN_RETURN
        return self.wait(cursor, sent, result)

    cdef int wait(self, Cursor cursor, PyObject* sent, PyObject** result) except -1:
        cdef int status
        if self.waiting is None:
            if self.batches:
                self.waiting = cursor.wait_for_batch()
            else:
                self.waiting = cursor.wait_for_event()
        try:
            status = PyIter_Send(self.waiting, <object>sent, result)
        except:
            self.finish()
            raise
        if status == PYGEN_RETURN:
            self.finish()
        return status


cdef int resume_by_send(PyObject* self, PyObject* sent, PyObject** result) except -1:
    return (<Next>self).resume(sent, result)


cdef PyObject* resume_by_next(PyObject* self) except NULL:
    cdef PyObject* result = NULL
    if (<Next>self).resume(<PyObject*>None, &result) == PYGEN_NEXT:
        return result
    # What `raise StopIteration` does, without the traceback that a compiled `raise` would build.
    value = owned(result)
    PyErr_SetObject(PyExc_StopIteration, <PyObject*>value)
    return NULL


set_slots(Next, resume_by_next, resume_by_send)
collections.abc.Coroutine.register(Next)
