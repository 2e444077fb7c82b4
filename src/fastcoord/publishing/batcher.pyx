# cython: language_level=3, embedsignature=True, binding=False, embedsignature.format=clinic
"""Encode events into batches when they are published.

The open batch is a buffer of bytes. The owner, which is the node's ``Sender``, seals it once per
iteration of the event loop. The batcher seals it earlier when the next event does not fit.
``BatchQueue`` keeps the sealed batches.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memmove

from fastcoord.publishing.batch_queue cimport BatchQueue
from fastcoord.publishing.preparation cimport prepare_events
from fastcoord.wire.encode cimport FIXED_SIZE, encode_event, encode_run
from fastcoord.wire.events cimport Event, code_of, content, is_event
from fastcoord.wire.kinds cimport STATE_CHANGE, Field
from fastcoord.wire.primitives cimport (
    BYTES_U16,
    WORD_SLACK,
    put_three,
    put_uint,
    reserve,
    trim,
    writer_advance,
    writer_end,
    writer_free,
)
from fastcoord.wire.protocol cimport get_protocol, knows
from fastcoord.wire.sealed_batch cimport make_sealed_batch
from fastcoord.wire.typed cimport as_app_event

from fastcoord.errors import EventTooLarge

cdef extern from "Python.h":
    PyObject** PySequence_Fast_ITEMS(object) noexcept

cdef enum:
    # ``on_seal`` is called when the queue holds BYTES_PER_WRITE bytes, or when it uses one part in
    # WRITES_PER_CAPACITY of the capacity. So small batches are sent before they use up capacity.
    BYTES_PER_WRITE = 64 * 1024
    WRITES_PER_CAPACITY = 8
    BATCHES_PER_TIME = 16  # the most batches of one flush that share the time of their first event
    MIN_LIMIT = BYTES_U16 + 8  # bytes of a batch that holds any event without a list or text


cdef class Batcher(BatchQueue):
    """The open batch of one node, and the queue of its sealed batches.

    :param node_id: the sender, 0 to 65535.
    :param protocol: the name of a protocol.
    :param limit: the most bytes of one batch.
    :param capacity: the most sealed and unconfirmed batches.
    :param clock: returns the time in seconds; called at the first event of a flush, and at
        the first event of each ``BATCHES_PER_TIME``th batch after it.
    :param on_open: called without arguments at the first event after ``begin_flush``, so that the
        owner schedules a flush.
    :param on_seal: called without arguments after a full batch was sealed, if the queue then holds
        enough for a write.
    """

    def __init__(self, *, node_id, protocol, Py_ssize_t limit, Py_ssize_t capacity, clock, on_open, on_seal):
        BatchQueue.__init__(self, capacity)
        if limit < MIN_LIMIT:
            raise ValueError(f"a batch must hold at least {MIN_LIMIT} bytes")
        self.protocol = get_protocol(protocol)
        self.has_state_change = self.protocol.tag_of[STATE_CHANGE] >= 0
        self.state_change_tag = <uint8_t>self.protocol.tag_of[STATE_CHANGE]
        self.node_id = node_id
        self.limit = limit
        self.clock = clock
        self.on_open = on_open
        self.on_seal = on_seal
        reserve(&self.writer, limit)
        writer_advance(&self.writer, put_uint(writer_end(&self.writer), self.node_id))
        self.prefix = self.writer.used

    def __dealloc__(self):
        writer_free(&self.writer)

    def empty_payload(self):
        """Return the payload of a batch without events: the node id alone."""
        return PyBytes_FromStringAndSize(<char*>self.writer.start, self.prefix)

    def rename(self, node_id):
        """Continue as a new run with another node id. The events that wait belong to it.

        No batch may be under way. The batches that wait are numbered from 0 and name the new id.

        :param node_id: an id that takes as many bytes as the present one.
        """
        cdef uint8_t buffer[BYTES_U16 + WORD_SLACK]
        if self.window or self.resend:
            raise ValueError("batches of the present run are not confirmed")
        if put_uint(buffer, node_id) - buffer != self.prefix:
            raise ValueError("the new id takes another number of bytes")
        # If this fails, nothing has changed. Nothing below can fail.
        self.restart(PyBytes_FromStringAndSize(<char*>buffer, self.prefix))
        memcpy(self.writer.start, buffer, self.prefix)
        self.node_id = node_id

    def set_limit(self, Py_ssize_t limit):
        """Set the most bytes of one batch, which depend on the server.

        An open batch that is larger than the new limit is sealed even if the queue is full, so that
        ``split_larger`` finds it.
        """
        self.limit = limit
        if self.open_count and self.writer.used > limit:
            self.seal_open()

    # ------------------------------------------------------------------------------ accepting

    def prepare(self, events):
        """Check events that are to be published together, and split those that are too large.

        :param events: an iterable of events.
        :return: a tuple of the events, in which the pieces of a large event replace the event.
        :raises TypeError: something is not an event.
        :raises UnsupportedEvent: the protocol does not have one of the events.
        :raises EventTooLarge: an event does not fit into a batch and cannot be split.
        """
        return self.prepare_tuple(tuple(events))

    cdef tuple prepare_tuple(self, tuple events):
        return prepare_events(self.protocol, self.limit - self.prefix, events)

    cdef bint add_one(self, object event) except -1:
        """Check and encode one event on the fast path.

        :return: ``False`` if the event needs ``prepare`` and ``add_tuple``; nothing has changed.
        """
        cdef uint8_t* position
        cdef const Field* fields
        if not is_event(event):
            event = as_app_event(event, self.protocol)
            if event is None:
                return False
        if code_of(<Event>event) == STATE_CHANGE:
            if (
                self.has_state_change
                and self.writer.used + FIXED_SIZE <= self.limit
            ):
                if self.open_count == 0:
                    self.opened_at = self.clock()
                # ``reserve`` may move the buffer, so ``position`` is read after it and kept only
                # until the next call that may reserve.
                reserve(&self.writer, FIXED_SIZE)
                position = writer_end(&self.writer)
                fields = content(<Event>event).fields
                position[0] = self.state_change_tag
                writer_advance(
                    &self.writer,
                    put_three(
                        position + 1,
                        fields[0].number,
                        fields[1].number,
                        fields[2].number,
                    ),
                )
                self.accepted += 1
                self.open_count += 1
                if not self.is_flush_scheduled:
                    self.schedule_flush()
                return True
            return False
        if not knows(self.protocol, <Event>event):
            return False
        return self.append(<Event>event) == APPENDED

    cdef bint add_prepared(self, Event event) except -1:
        """Encode one prepared event.

        :return: ``False`` if the capacity is used up; nothing has changed.
        """
        cdef Appending outcome = self.append(event)
        if outcome == TOO_LARGE:
            # Possible only if the limit was lowered between ``prepare`` and this call.
            raise EventTooLarge(
                f"{type(event).__name__} is too large: the server of this connection allows"
                f" {self.limit - self.prefix} bytes a batch"
            )
        return outcome == APPENDED

    cdef Appending append(self, Event event) except APPENDING_FAILED:
        """Encode one event into the open batch, or into the next one if it does not fit."""
        cdef Py_ssize_t before, size
        cdef uint64_t accepted
        cdef double now
        # The clock of a test is Python code, where a finalizer or another thread may publish. So it is
        # called before the place of the event is known.
        if self.open_count == 0:
            self.opened_at = self.clock()
        before = self.writer.used
        encode_event(self.protocol, &self.writer, event)
        if self.writer.used > self.limit:
            size = self.writer.used - before
            self.writer.used = before
            if size > self.limit - self.prefix:
                # Free the memory of the large event, because no accepted event needs as much.
                trim(&self.writer, 2 * self.limit)
                return TOO_LARGE
            if not self.has_capacity():
                return NO_CAPACITY
            # The clock is called before ``seal_open``: an exception after it would lose the event.
            # It costs as much as the rest of a small batch, so that some batches share a time.
            now = self.opened_at
            if not self.bytes_since_flush or self.sealed_batches % BATCHES_PER_TIME == 0:
                accepted = self.accepted
                now = self.clock()
                if self.accepted != accepted or self.writer.used != before:
                    # Another call has published or sealed meanwhile.
                    return self.append(event)
            self.seal_open()
            # ``seal_open`` has only copied the batch, so the bytes of this event still follow it in
            # the buffer. ``memmove`` is needed because source and target may overlap.
            memmove(self.writer.start + self.prefix, self.writer.start + before, size)
            self.writer.used = self.prefix + size
            self.accepted += 1
            self.open_count = 1
            self.opened_at = now
            # Usually a flush is already scheduled, unless the queue was full at the last flush.
            self.schedule_flush()
            if (
                self.queue_bytes >= BYTES_PER_WRITE
                or len(self.queue) * WRITES_PER_CAPACITY >= self.capacity
            ):
                self.on_seal()
            return APPENDED
        self.accepted += 1
        self.open_count += 1
        self.schedule_flush()
        return APPENDED

    cdef int schedule_flush(self) except -1:
        """Ask the owner to schedule one flush for all events until the next ``begin_flush``."""
        if not self.is_flush_scheduled and not self.is_adding:
            # Set the flag before the call, because another thread may run the flush meanwhile.
            self.is_flush_scheduled = True
            try:
                self.on_open()
            except:
                # A signal handler raised an exception. The owner may not have scheduled the flush.
                self.is_flush_scheduled = False
                raise
        return 0

    def begin_flush(self):
        """Start a flush. The next event after it schedules another one."""
        self.is_flush_scheduled = False
        self.bytes_since_flush = 0

    def add_from(self, events, Py_ssize_t start=0):
        """Accept prepared events from index ``start`` on, as far as the capacity allows.

        :return: the index of the first event that was not accepted: ``len(events)`` if all were.
        """
        return self.add_tuple(tuple(events), start)

    def add_always(self, events):
        """Accept prepared events without waiting for capacity.

        Whenever the capacity is used up, discard the oldest batch that no connection has taken.
        """
        cdef Py_ssize_t index = 0
        cdef tuple prepared = tuple(events)
        while index < len(prepared):
            index = self.add_tuple(prepared, index)
            if index < len(prepared):
                self.make_capacity()

    cdef int make_capacity(self) except -1:
        """Discard the oldest batch of the queue or, if the queue is empty, the open batch."""
        if self.queue:
            return self.drop_oldest()
        self.discarded += self.open_count
        self.writer.used = self.prefix
        self.open_count = 0
        return 0

    cdef Py_ssize_t add_tuple(self, tuple events, Py_ssize_t start) except -1:
        cdef Py_ssize_t index = start
        cdef Py_ssize_t count = len(events)
        # Without this flag, an owner that flushes within ``on_open`` would send the events of one
        # call in several messages.
        self.is_adding = True
        try:
            while index < count:
                index = self.add_run(events, index)
                if index < count:
                    if not self.add_prepared(<Event>events[index]):
                        return index
                    index += 1
        finally:
            self.is_adding = False
            if self.open_count:
                self.schedule_flush()
        return count

    cdef Py_ssize_t add_run(self, tuple events, Py_ssize_t start) except -1:
        """Encode events that fit into the open batch; return the index of the first that does not.
        """
        if self.open_count == 0 and start < len(events):
            self.opened_at = self.clock()
        # The pointers into the tuple are borrowed. ``events`` keeps the tuple and its items alive.
        cdef Py_ssize_t stop = encode_run(
            self.protocol,
            &self.writer,
            PySequence_Fast_ITEMS(events),
            start,
            len(events),
            self.limit,
        )
        if stop > start:
            self.accepted += stop - start
            self.open_count += <uint32_t>(stop - start)
            self.schedule_flush()
        return stop

    # -------------------------------------------------------------------------------- sealing

    cdef int seal_open(self) except -1:
        """Copy the open batch into the queue, then empty its buffer for the next batch."""
        self.put(
            make_sealed_batch(
                PyBytes_FromStringAndSize(<char*>self.writer.start, self.writer.used),
                self.accepted - self.base - self.open_count,
                self.open_count,
                self.opened_at,
            )
        )
        self.bytes_since_flush += self.writer.used
        self.sealed_batches += 1
        self.writer.used = self.prefix
        self.open_count = 0
        return 0

    def seal(self):
        """Seal the open batch if it holds an event and the capacity allows it.

        :return: whether a batch was sealed.
        """
        if self.open_count == 0 or not self.has_capacity():
            return False
        self.seal_open()
        return True
