# cython: language_level=3, embedsignature=True, binding=False, embedsignature.format=clinic
"""Decode the events of a ring when the consumer takes them.

The open message is the one that was taken from the ring last and whose events are being delivered.

While something is buffered, an iteration does not switch tasks: awaiting what ``__anext__`` returns
takes the next event without suspending the task. A task is suspended in two cases: while nothing is
buffered, and for one iteration of the event loop after it has taken ``EVENTS_PER_ITERATION`` events
without a pause.

Invariants:

- ``reader`` points into ``payload``. A method that decodes keeps its own reference to ``payload``:
  creating an event may run the garbage collector, which may run a finalizer that closes the
  subscription and so releases ``payload``.
- While ``is_decoding`` is set, ``drop`` only sets ``is_dropped``; the method that is decoding
  calls ``release`` when it ends. Nothing is taken from a cursor that was dropped.
- ``ahead`` owns one reference to each event from ``ahead_at`` up to, not including, ``ahead_end``.
  Taking an event passes that reference to the consumer.
- At every point where Python code may run, ``ring.arrived`` is the sum of ``delivered``,
  ``buffered``, ``filtered`` and ``ring.missed``.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_REFCNT
from cpython.tuple cimport PyTuple_New
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastcoord._awaitable cimport Waiter, raise_thrown, set_slots
from fastcoord._codec cimport Batch, make_batch
from fastcoord.wire.decode cimport decode_run
from fastcoord.wire.pool cimport owned
from fastcoord.wire.protocol cimport get_protocol, kinds_mask
from fastcoord.receiving.ring cimport Ring
from fastcoord.wire.scan cimport skip_event
from fastcoord.wire.primitives cimport reader_init
from fastcoord.wire.typed cimport app_event_code, registered_count, take_app_event

import collections.abc

from fastcoord.errors import SubscriptionError
from fastcoord.wire.typed import split_typed

cdef extern from "Python.h":
    PyObject** PySequence_Fast_ITEMS(object) noexcept
    int PYGEN_RETURN
    int PYGEN_NEXT
    PyObject* PyExc_StopIteration
    void PyErr_SetObject(PyObject*, PyObject*) noexcept

cdef enum:
    # After this many events, filtered ones included, the consumer's task pauses. Without this
    # limit, a consumer that awaits nothing else would stop the event loop from reading, confirming
    # and sending heartbeats until the ring is empty.
    EVENTS_PER_ITERATION = 4096


cdef inline uint64_t run_mask(Cursor cursor) noexcept:
    """Return the kinds that are decoded in runs.

    AppEvent is not among them if its events may become instances of the program's classes.
    """
    if cursor.typing == TYPING_NEVER or (
        cursor.typing == TYPING_ALL and registered_count[0] == 0
    ):
        return cursor.mask
    return cursor.mask & ~cursor.app_event_bit


cdef inline bint is_at_app_event(Cursor cursor, uint64_t mask) noexcept:
    """Return whether an AppEvent follows that is not decoded in runs.

    :param mask: the result of ``run_mask``.
    """
    return (
        mask != cursor.mask
        and cursor.reader.position < cursor.reader.end
        and cursor.protocol.code_of_tag[cursor.reader.position[0]] == app_event_code()
    )


cdef class Cursor:
    """Take the events, batches and notices of one ring.

    :param ring: the ring.
    :param protocol: the name of a protocol.
    :param kinds: a list of the event classes to deliver, or ``None`` for all. Other events are
        counted and never become objects. The program's event classes may be among them.
    :param as_notices: called with a dict from node id to the number of dropped events; returns the
        list of notices that report them.
    :param get_loop: returns the running event loop; called when a task has to wait.
    """

    def __init__(self, Ring ring, *, protocol, kinds, as_notices, get_loop):
        self.ring = ring
        self.protocol = get_protocol(protocol)
        self.typed, others = split_typed(kinds)
        self.mask = kinds_mask(others)
        self.app_event_bit = <uint64_t>1 << app_event_code()
        if self.typed is not None:
            self.mask |= self.app_event_bit
            self.typing = TYPING_ALL if self.typed.by_kind is None else TYPING_SOME
        self.as_notices = as_notices
        self.get_loop = get_loop
        self.notices = []
        self.last_sender = -1
        self.until_pause = EVENTS_PER_ITERATION

    def __dealloc__(self):
        while self.ahead_at < self.ahead_end:
            self.ahead_at += 1
            Py_DECREF(<object>self.ahead[self.ahead_at - 1])

    @property
    def buffered(self):
        """How many events are buffered: in the ring, and in the open message."""
        return self.ring.buffered + self.left + self.ahead_end - self.ahead_at

    @property
    def sender(self):
        """The node id of the sender of the last item; ``None`` for a notice."""
        return self.last_sender if self.last_sender >= 0 else None

    @property
    def sequence(self):
        """The stream sequence up to which everything was taken; ``None`` without a stream."""
        cdef uint64_t sequence = self.slot.sequence
        if self.left or self.ahead_at < self.ahead_end:
            sequence = self.taken_sequence
        return sequence or None

    def start_behind(self, uint64_t sequence):
        """Set the stream sequence behind which this cursor begins."""
        self.slot.sequence = self.taken_sequence = sequence

    def resume(self):
        """Note that an iteration of the event loop has passed."""
        self.until_pause = EVENTS_PER_ITERATION

    def drop(self):
        """Drop the open message and the notices when the consumer ends."""
        self.is_dropped = True
        if not self.is_decoding:
            self.release()

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

    def __aiter__(self):
        return self

    def __anext__(self):
        return self.next_step(False)

    def batches(self):
        """Iterate over whole batches instead of events."""
        return BatchCursor(self)

    # ------------------------------------------------------------------------- one event

    cdef object next_event(self):
        """Take the next event or notice; return None if nothing is buffered or a pause is due."""
        if self.ahead_at < self.ahead_end and self.until_pause > 0:
            return self.next_ahead()
        while self.until_pause > 0 and not self.is_dropped:
            if self.left:
                self.decode_ahead()
                if self.ahead_at < self.ahead_end:
                    return self.next_ahead()
                continue
            notice = self.next_notice()
            if notice is not None:
                self.last_sender = -1
                return notice
            if not self.open_message():
                return None
        return None

    cdef object next_ahead(self):
        """Take the next event that is already decoded."""
        self.ahead_at += 1
        self.delivered += 1
        self.until_pause -= 1
        return owned(self.ahead[self.ahead_at - 1])

    cdef int decode_ahead(self) except -1:
        """Decode the next events of the open message into ``ahead``.

        If the kind of the first event is filtered, skip only this event.
        """
        # Keeps the memory of `reader` alive while events are created.
        cdef bytes _payload = self.payload
        cdef Py_ssize_t count = min(<Py_ssize_t>self.left, EVENTS_AHEAD)
        cdef Py_ssize_t decoded = 0
        cdef uint64_t mask = run_mask(self)
        # `ahead` is empty here. `ahead_end` is set only after decoding: until then `left` still
        # counts these events, and `buffered` must not count them twice.
        self.ahead_at = self.ahead_end = 0
        self.enter_decoding()
        try:
            while decoded < count:
                decoded += decode_run(
                    self.protocol, &self.reader, self.ahead + decoded, count - decoded, mask
                )
                if decoded == count or not is_at_app_event(self, mask):
                    break
                event = take_app_event(self.protocol, &self.reader, self.typed, &self.mismatched)
                if event is None:
                    break
                Py_INCREF(event)
                self.ahead[decoded] = <PyObject*>event
                decoded += 1
            if decoded:
                # No notice is delivered before these events, so this holds for each of them.
                self.last_sender = self.slot.node_id
            else:
                self.filter_event()
        finally:
            self.is_decoding = False
            self.ahead_end = decoded
            self.left -= <uint32_t>decoded
            if self.is_dropped:
                self.release()
        return 0

    cdef int enter_decoding(self) except -1:
        if self.is_decoding:
            raise SubscriptionError(
                "a finalizer or signal handler iterates over the subscription whose event is being"
                " decoded at this moment: let it schedule a task instead"
            )
        self.is_decoding = True
        return 0

    cdef int filter_event(self) except -1:
        """Skip the next event of the open message, whose kind is filtered."""
        if self.reader.position == self.reader.end:
            raise AssertionError("a message holds fewer events than were counted when it arrived")
        self.left -= 1
        self.filtered += 1
        self.until_pause -= 1
        skip_event(self.protocol, &self.reader)
        return 0

    cdef object next_notice(self):
        """Take a notice that must precede the next slot; return None if there is none."""
        if self.notices:
            return self.notices.pop()
        if self.notice is None:
            self.notice = self.ring.take_notice()
            if self.notice is None:
                return None
        notice = self.notice
        if type(notice) is not dict:
            self.notice = None
            return notice
        # `self.notice` is kept until it is converted: if the conversion raises MemoryError, the
        # next call converts it again.
        notices = self.as_notices(notice)[::-1]
        self.notice = None
        if self.is_dropped or not notices:
            return None
        self.notices = notices
        return notices.pop()

    cdef bint open_message(self) except -1:
        """Take the next slot of the ring; return False if there is none."""
        self.payload = None
        self.taken_sequence = self.slot.sequence
        if not self.ring.take(&self.slot):
            return False
        self.until_pause -= 1
        item = <object>self.slot.item
        Py_DECREF(item)  # the slot's reference; `item` holds its own
        if type(item) is not bytes:
            self.notice = item
            return True
        self.payload = <bytes>item
        self.left = self.slot.count
        reader_init(
            &self.reader, <const uint8_t*>PyBytes_AS_STRING(item), PyBytes_GET_SIZE(item)
        )
        self.reader.position += self.slot.start
        return True

    cdef int release(self) except -1:
        """Release everything that was taken from the ring and not delivered."""
        cdef Py_ssize_t at = self.ahead_at, end = self.ahead_end
        # Reset the fields first, because releasing an object may run code that uses this cursor.
        self.ahead_at = self.ahead_end = 0
        self.left = 0
        while at < end:
            at += 1
            Py_DECREF(<object>self.ahead[at - 1])
        self.payload = None
        self.notice = None
        self.notices = []
        return 0

    # ----------------------------------------------------------------------- whole batches

    cdef object next_batch(self):
        """Take the next batch or notice; return None if nothing is buffered or a pause is due."""
        cdef Batch batch
        while self.until_pause > 0 and not self.is_dropped:
            if self.left or self.ahead_at < self.ahead_end:
                # The batch is created before anything is decoded: if its creation raises
                # MemoryError, no event is lost.
                batch = make_batch(self.slot.node_id, self.slot.received_at, ())
                batch.sequence = self.slot.sequence or None
                batch.events = self.rest_of_message()
                if batch.events:
                    self.last_sender = batch.node_id
                    return batch
                continue
            notice = self.next_notice()
            if notice is not None:
                self.last_sender = -1
                return notice
            if not self.open_message():
                return None
        return None

    cdef tuple rest_of_message(self):
        """Decode the rest of the open message, without the kinds that are filtered."""
        cdef tuple events
        self.enter_decoding()
        try:
            events = self.decode_rest()
        finally:
            self.is_decoding = False
            if self.is_dropped:
                self.release()
        return events

    cdef tuple decode_rest(self):
        # Keeps the memory of `reader` alive while events are created.
        cdef bytes _payload = self.payload
        cdef Py_ssize_t ahead = self.ahead_end - self.ahead_at
        cdef Py_ssize_t size = ahead + self.left
        cdef Py_ssize_t taken = ahead
        cdef uint32_t skipped = 0
        cdef tuple events = PyTuple_New(size)
        cdef PyObject** items = PySequence_Fast_ITEMS(events)
        cdef tuple chosen = events
        # Nothing is taken before everything is decoded: if decoding raises MemoryError, the next
        # call starts here again.
        cdef const uint8_t* start = self.reader.position
        cdef uint64_t mask = run_mask(self)
        cdef uint64_t mismatched = 0
        try:
            while taken + skipped < size:
                taken += decode_run(
                    self.protocol, &self.reader, items + taken, size - skipped - taken, mask
                )
                if taken + skipped < size:
                    if is_at_app_event(self, mask):
                        event = take_app_event(
                            self.protocol, &self.reader, self.typed, &mismatched
                        )
                        if event is not None:
                            Py_INCREF(event)
                            items[taken] = <PyObject*>event
                            taken += 1
                            continue
                    if self.reader.position == self.reader.end:
                        raise AssertionError(
                            "a message holds fewer events than were counted when it arrived"
                        )
                    skip_event(self.protocol, &self.reader)
                    skipped += 1
            if taken < size:
                chosen = PyTuple_New(taken)
        except:
            self.reader.position = start
            raise
        if self.is_dropped:
            # The subscription was closed while events were created. Its final stats already
            # count these events as buffered, and `rest_of_message` calls `release`.
            return ()
        # From here on nothing can fail. `chosen` takes over the references of `events` and `ahead`.
        if chosen is not events:
            memcpy(
                PySequence_Fast_ITEMS(chosen) + ahead,
                items + ahead,
                (taken - ahead) * sizeof(PyObject*),
            )
            memset(items + ahead, 0, (taken - ahead) * sizeof(PyObject*))
        memcpy(PySequence_Fast_ITEMS(chosen), self.ahead + self.ahead_at, ahead * sizeof(PyObject*))
        self.ahead_at = self.ahead_end
        self.left = 0
        self.filtered += skipped
        self.delivered += taken
        self.mismatched += mismatched
        self.until_pause -= taken + skipped
        return chosen

    # ----------------------------------------------------------------------------- waiting

    cdef Next next_step(self, bint batches):
        """Return the awaitable of one step of an iteration."""
        cdef Next step = self.step
        # The last awaitable is used again if nothing else refers to it. In that case it has two
        # references: `self.step` and the local variable.
        if step is None or Py_REFCNT(step) > 2:
            step = self.step = Next.__new__(Next)
        elif step.waiter is not None:
            step.leave(self)
        step.cursor = self
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
cdef class BatchCursor:
    """Iterate over the batches of a cursor."""

    cdef Cursor cursor

    def __init__(self, Cursor cursor):
        self.cursor = cursor

    def __aiter__(self):
        return self

    def __anext__(self):
        return self.cursor.next_step(True)


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

    cdef int leave(self, Cursor cursor) except -1:
        """Note that the task no longer waits."""
        waiter = self.waiter
        self.waiter = None
        self.is_paused = False
        if cursor.waiter is waiter:
            cursor.waiter = None
        cursor.until_pause = EVENTS_PER_ITERATION
        return 0

    cdef int finish(self) except -1:
        if self.cursor is not None:
            self.leave(self.cursor)
        # The cursor keeps this object to use it again. This object drops its reference to the
        # cursor, so that no reference cycle keeps both alive.
        self.cursor = None
        return 0

    cdef int resume(self, PyObject** result) except -1:
        cdef Cursor cursor = self.cursor
        cdef Waiter waiter
        if cursor is None:
            raise RuntimeError("cannot await the same __anext__() twice")
        if self.waiter is not None or self.is_paused:
            self.leave(cursor)
        value = cursor.next_batch() if self.batches else cursor.next_event()
        if value is not None:
            self.cursor = None
            Py_INCREF(value)
            result[0] = <PyObject*>value
            return PYGEN_RETURN
        if cursor.until_pause <= 0:
            # A bare yield: the task continues in the next iteration of the event loop.
            self.is_paused = True
            Py_INCREF(None)
            result[0] = <PyObject*>None
            return PYGEN_NEXT
        if cursor.ring.is_closed:
            self.cursor = None
            if cursor.failure is not None:
                raise cursor.failure.with_traceback(None)
            raise StopAsyncIteration
        waiter = cursor.wait()
        self.waiter = waiter
        Py_INCREF(waiter)
        result[0] = <PyObject*>waiter
        return PYGEN_NEXT


cdef int resume_by_send(PyObject* self, PyObject* sent, PyObject** result) except -1:
    result[0] = NULL
    return (<Next>self).resume(result)


cdef PyObject* resume_by_next(PyObject* self) except NULL:
    cdef PyObject* result = NULL
    if (<Next>self).resume(&result) == PYGEN_NEXT:
        return result
    # This is `raise StopIteration` without the traceback that a compiled `raise` would create.
    value = owned(result)
    PyErr_SetObject(PyExc_StopIteration, <PyObject*>value)
    return NULL


set_slots(Next, resume_by_next, resume_by_send)
collections.abc.Coroutine.register(Next)
