# cython: language_level=3, embedsignature=True, binding=False, embedsignature.format=clinic
"""Decode the events of a ring when the consumer takes them.

The open message is the one that was taken from the ring last and whose events are being delivered.

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

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.tuple cimport PyTuple_New
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastcoord._codec cimport Batch, make_batch
from fastcoord.wire.decode cimport decode_run
from fastcoord.wire.pool cimport owned
from fastcoord.wire.protocol cimport get_protocol, kinds_mask
from fastcoord.receiving.iteration cimport Iteration
from fastcoord.receiving.ring cimport Ring
from fastcoord.wire.scan cimport skip_event
from fastcoord.wire.primitives cimport reader_init
from fastcoord.wire.typed cimport app_event_code, registered_count, take_app_event

from fastcoord.errors import SubscriptionError
from fastcoord.wire.typed import split_typed

cdef extern from "Python.h":
    PyObject** PySequence_Fast_ITEMS(object) noexcept


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


cdef class Cursor(Iteration):
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
        Iteration.__init__(self, ring, get_loop)
        self.protocol = get_protocol(protocol)
        self.typed, others = split_typed(kinds)
        self.mask = kinds_mask(others)
        self.app_event_bit = <uint64_t>1 << app_event_code()
        if self.typed is not None:
            self.mask |= self.app_event_bit
            self.typing = TYPING_ALL if self.typed.by_kind is None else TYPING_SOME
        self.as_notices = as_notices
        self.notices = []
        self.last_sender = -1

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

    def drop(self):
        """Drop the open message and the notices when the consumer ends."""
        self.is_dropped = True
        if not self.is_decoding:
            self.release()

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
        self.enter_decoding()
        # `ahead` is empty here. `ahead_end` is set only after decoding: until then `left` still
        # counts these events, and `buffered` must not count them twice.
        self.ahead_at = self.ahead_end = 0
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
                # MemoryError, no event is lost. It may also run a finalizer that takes this message,
                # so `slot` is read afterwards.
                batch = make_batch(0, None, ())
                batch.node_id = self.slot.node_id
                batch.received_at = self.slot.received_at
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
        """Decode the rest of the open message, without the kinds that are filtered.

        :return: the events; None if the subscription was closed meanwhile.
        """
        cdef tuple events = None
        cdef Py_ssize_t at = self.ahead_at, end = self.ahead_end
        self.enter_decoding()
        # Python code may run below. So that it takes none of the events that are decoded already,
        # these are hidden, and `left` counts them.
        self.ahead_at = self.ahead_end = 0
        self.left += <uint32_t>(end - at)
        try:
            events = self.decode_rest(at, end - at)
        finally:
            self.is_decoding = False
            if events is None:
                self.ahead_at, self.ahead_end = at, end
                self.left -= <uint32_t>(end - at)
            if self.is_dropped:
                self.release()
        return events

    cdef tuple decode_rest(self, Py_ssize_t at, Py_ssize_t ahead):
        """Return the events of ``ahead`` from ``at`` on and those behind them, and take all."""
        # Keeps the memory of `reader` alive while events are created.
        cdef bytes _payload = self.payload
        cdef Py_ssize_t size = self.left
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
            return None
        # From here on nothing can fail. `chosen` takes over the references of `events` and `ahead`.
        if chosen is not events:
            memcpy(
                PySequence_Fast_ITEMS(chosen) + ahead,
                items + ahead,
                (taken - ahead) * sizeof(PyObject*),
            )
            memset(items + ahead, 0, (taken - ahead) * sizeof(PyObject*))
        memcpy(PySequence_Fast_ITEMS(chosen), self.ahead + at, ahead * sizeof(PyObject*))
        self.left = 0
        self.filtered += skipped
        self.delivered += taken
        self.mismatched += mismatched
        self.until_pause -= taken + skipped
        return chosen
