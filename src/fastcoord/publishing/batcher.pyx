# cython: language_level=3, embedsignature=True, binding=False, embedsignature.format=clinic
"""Events into batches: encoded when published, bounded, and kept until they are confirmed.

A batch lives in one of four places, and each event is counted in exactly one of them at any time::

    accepted = confirmed + waiting + discarded      waiting = open batch + queue + window

The open batch takes events as bytes. It is sealed by its owner when the event loop comes round, or
here when the next event does not fit. ``queue`` holds what no connection has taken yet, ``window``
what one has taken and no PONG has proved to be with the server; both together hold at most
``capacity`` batches. A confirmed batch is remembered for a short while, because a server that is
killed takes with it what it had accepted and not passed on: after a reconnect it is sent once more,
and receivers skip it if they had it.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memmove

from fastcoord.wire.encode cimport FIXED_SIZE, encode_event, encode_run, size_bound, split_event
from fastcoord.wire.events cimport STATE_CHANGE, Event, StateChange, is_event
from fastcoord.wire.sealed_batch cimport SealedBatch, make_sealed_batch
from fastcoord.wire.protocol cimport get_protocol, knows
from fastcoord.wire.primitives cimport (
    BYTES_U16,
    Writer,
    put_three,
    put_uint,
    reserve,
    trim,
    writer_advance,
    writer_end,
    writer_free,
)

from collections import deque
from itertools import islice

from fastcoord.errors import EventTooLarge
cdef extern from "Python.h":
    PyObject** PySequence_Fast_ITEMS(object) noexcept

cdef enum:
    MOST_RECENT = 256            # confirmed batches that are remembered
    # SealedBatch and unsent, at which the owner is asked to send: so many bytes, or so much of the
    # capacity, that small batches are under way before there is no room for more of them.
    BYTES_PER_WRITE = 64 * 1024
    WRITES_PER_CAPACITY = 8


cdef class Batcher:
    """The outgoing side of one node, up to the point where bytes are handed to a connection.

    :param node_id: the sender, 0 to 65535.
    :param protocol: the name of a protocol.
    :param limit: the most bytes of one batch.
    :param capacity: the most sealed batches that wait, in ``queue`` and ``window`` together.
    :param on_open: called without arguments when something was published for the first time since
        ``begin_flush``.
    :param on_seal: called without arguments when a batch was sealed because it was full, and enough
        for a write is in the queue, or a good part of the capacity.
    """

    def __init__(self, *, node_id, protocol, Py_ssize_t limit, Py_ssize_t capacity, on_open, on_seal):
        if limit < BYTES_U16 + 8 or capacity < 1:
            raise ValueError("a batch needs at least 11 bytes and a capacity of 1")
        self.protocol = get_protocol(protocol)
        self.has_state_change = self.protocol.tag_of[<int>STATE_CHANGE] >= 0
        self.state_change_tag = <uint8_t>self.protocol.tag_of[<int>STATE_CHANGE]
        self.node_id = node_id
        self.limit = limit
        self.capacity = capacity
        self.on_open = on_open
        self.on_seal = on_seal
        self.queue = deque()
        self.window = deque()
        self.recent = deque(maxlen=MOST_RECENT)
        reserve(&self.writer, limit)
        writer_advance(&self.writer, put_uint(writer_end(&self.writer), self.node_id))
        self.prefix = self.writer.used

    def __dealloc__(self):
        writer_free(&self.writer)

    @property
    def waiting(self):
        """How many accepted events are neither confirmed nor discarded."""
        return self.accepted - self.confirmed - self.discarded

    def empty_payload(self):
        """Give the payload of a batch without events: the node id alone."""
        return PyBytes_FromStringAndSize(<char*>self.writer.start, self.prefix)

    @property
    def offset(self):
        """How many events were accepted so far, the open batch not counted."""
        return self.accepted - self.open_count

    @property
    def open_bytes(self):
        """How many bytes of events the open batch holds."""
        return self.writer.used - self.prefix

    @property
    def is_full(self):
        """Whether sealing the open batch would exceed the capacity."""
        return not self.has_capacity()

    cdef bint has_capacity(self):
        return len(self.queue) + len(self.window) < self.capacity

    def set_limit(self, Py_ssize_t limit):
        """Change the most bytes of one batch: a server that was joined may allow less.

        An open batch that is larger is sealed, whatever the capacity, and so is at hand for
        ``discard_larger``.
        """
        self.limit = limit
        if self.open_count and self.writer.used > limit:
            self.seal_open()

    # ---------------------------------------------------------------------------- publishing

    cdef int check(self, object event) except -1:
        """Refuse what could not be sent, before anything of the same call is accepted."""
        if not is_event(event):
            hint = "; publish_many takes lists" if isinstance(event, (list, tuple)) else ""
            raise TypeError(
                f"only events can be published, such as StateChange, not {type(event).__name__}"
                f" ({event!r:.60}){hint}"
            )
        if not knows(self.protocol, <Event>event):
            self.protocol.refuse(<Event>event)
        return 0

    cdef tuple fit(self, Event event):
        """Give the events to encode for one that may be too large: itself, or its pieces."""
        cdef Writer scratch
        cdef Py_ssize_t room = self.limit - self.prefix
        cdef Py_ssize_t size
        scratch.start = NULL
        scratch.used = scratch.capacity = 0
        try:
            encode_event(self.protocol, &scratch, event)
            size = scratch.used
        finally:
            writer_free(&scratch)
        if size <= room:
            return (event,)
        pieces = split_event(self.protocol, event, room)
        if not pieces:
            raise EventTooLarge(
                f"{type(event).__name__} takes {size} bytes, and a batch holds {room}: raise"
                " capacity.batch-bytes, or the server's max_payload if that is the lower one"
            )
        return pieces

    def prepare(self, events):
        """Check events that are to be published together, and split those that are too large.

        :param events: a tuple of events; any other iterable is made one.
        :return: the same tuple, or one in which large events are replaced by their pieces.
        :raises TypeError: something is not an event.
        :raises UnsupportedEvent: the protocol does not have one of them.
        :raises EventTooLarge: one does not fit into a batch and is not a list.
        """
        return self.prepare_members(tuple(events))

    cdef tuple prepare_members(self, tuple events):
        cdef bint all_fit = True
        cdef Py_ssize_t room = self.limit - self.prefix
        for event in events:
            if (
                type(event) is StateChange
                and (<StateChange>event).code
                and self.has_state_change
                and room >= FIXED_SIZE
            ):
                continue
            self.check(event)
            if size_bound(<Event>event) > room:
                all_fit = False
        if all_fit:
            return events
        fitting = []
        for event in events:
            fitting.extend(self.fit(<Event>event))
        return tuple(fitting)

    cdef bint add_one(self, object event) except -1:
        """Check and encode one event if that is simple; give False, with nothing changed, if not."""
        cdef uint8_t* position
        if type(event) is StateChange:
            if (
                self.has_state_change
                and (<StateChange>event).code
                and self.writer.used + FIXED_SIZE <= self.limit
            ):
                reserve(&self.writer, FIXED_SIZE)
                position = writer_end(&self.writer)
                position[0] = self.state_change_tag
                writer_advance(
                    &self.writer,
                    put_three(
                        position + 1,
                        (<StateChange>event).change_id,
                        (<StateChange>event).types,
                        (<StateChange>event).account_id,
                    ),
                )
                self.accepted += 1
                self.open_count += 1
                if not self.is_flush_scheduled:
                    self.schedule_flush()
                return True
            return False
        if not is_event(event) or not knows(self.protocol, <Event>event):
            return False
        return self.append(<Event>event) == APPENDED

    cdef bint add(self, Event event) except -1:
        """Encode one prepared event; give False, with nothing changed, when there is no room."""
        cdef Appending outcome = self.append(event)
        if outcome == TOO_LARGE:
            # Only when the limit was lowered between checking and adding.
            raise EventTooLarge(
                f"{type(event).__name__} is too large: the server that was joined allows"
                f" {self.limit - self.prefix} bytes a batch"
            )
        return outcome == APPENDED

    cdef Appending append(self, Event event) except APPENDING_FAILED:
        """Encode one event into the open batch, or into a new one behind it."""
        cdef Py_ssize_t before = self.writer.used
        cdef Py_ssize_t size
        encode_event(self.protocol, &self.writer, event)
        if self.writer.used > self.limit:
            size = self.writer.used - before
            self.writer.used = before
            if size > self.limit - self.prefix:
                # What it took is given back: no event that can be sent needs so much.
                trim(&self.writer, 2 * self.limit)
                return TOO_LARGE
            if not self.has_capacity():
                return NO_CAPACITY
            self.seal_open()
            # The event's bytes still stand behind the batch that was just copied out.
            memmove(self.writer.start + self.prefix, self.writer.start + before, size)
            self.writer.used = self.prefix + size
            self.accepted += 1
            self.open_count = 1
            # Mostly somebody has asked already; not if the open batch found no room in its turn.
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
        """Have the owner come round, once, for everything that is published until it does."""
        if not self.is_flush_scheduled:
            # Before the call: another thread may come round already while this one asks for it.
            self.is_flush_scheduled = True
            try:
                self.on_open()
            except:
                # A signal's handler raised in between: nobody was asked.
                self.is_flush_scheduled = False
                raise
        return 0

    def begin_flush(self, double now):
        """Note that the loop has come round, and that it is ``now`` on the owner's clock."""
        self.is_flush_scheduled = False
        self.bytes_since_flush = 0
        self.now = now

    def add_from(self, events, Py_ssize_t start=0):
        """Accept prepared events from position ``start`` on, while there is room.

        :return: the position of the first event that was not accepted: ``len(events)`` if all were.
        """
        return self.add_members(tuple(events), start)

    cdef Py_ssize_t add_members(self, tuple members, Py_ssize_t start) except -1:
        cdef Py_ssize_t index = start
        cdef Py_ssize_t count = len(members)
        while index < count:
            index = self.add_run(members, index)
            if index < count:
                if not self.add(<Event>members[index]):
                    return index
                index += 1
        return count

    cdef Py_ssize_t add_run(self, tuple events, Py_ssize_t start) except -1:
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

    def add_always(self, events):
        """Accept prepared events; where there is no room, discard the oldest batch."""
        cdef Py_ssize_t index = 0
        cdef tuple members = tuple(events)
        while index < len(members):
            index = self.add_members(members, index)
            if index < len(members):
                self.discard_oldest()

    # ------------------------------------------------------------------------------- sealing

    cdef int seal_open(self) except -1:
        self.queue.append(
            make_sealed_batch(
                PyBytes_FromStringAndSize(<char*>self.writer.start, self.writer.used),
                self.accepted - self.open_count,
                self.open_count,
                self.now,
            )
        )
        self.queue_bytes += self.writer.used
        self.bytes_since_flush += self.writer.used
        self.sealed_batches += 1
        self.writer.used = self.prefix
        self.open_count = 0
        return 0

    def seal(self):
        """Seal the open batch if it holds anything and the capacity allows it.

        :return: whether a batch was sealed.
        """
        if self.open_count == 0 or not self.has_capacity():
            return False
        self.seal_open()
        return True

    # ----------------------------------------------------------- queue, window, confirmation

    def take(self, Py_ssize_t most_bytes):
        """Move batches from the queue to the window, as they are handed to a connection.

        :param most_bytes: stop after the batch that reaches this many bytes.
        :return: a list of ``SealedBatch``, the oldest first.
        """
        cdef Py_ssize_t size = 0
        cdef SealedBatch batch
        cdef list taken
        if self.queue_bytes <= most_bytes:
            taken = list(self.queue)
            self.queue.clear()
            self.queue_bytes = 0
        else:
            taken = []
            while self.queue and size < most_bytes:
                batch = self.queue.popleft()
                taken.append(batch)
                size += len(batch.payload)
            self.queue_bytes -= size
        self.window.extend(taken)
        return taken

    def confirm(self, uint64_t up_to):
        """Let go of the batches that end at or before event number ``up_to``."""
        cdef SealedBatch batch
        cdef Py_ssize_t ended = 0
        for batch in self.window:
            if batch.offset + batch.count > up_to:
                break
            ended += 1
            if not batch.is_counted:
                batch.is_counted = True
                self.confirmed += batch.count
        if ended == len(self.window):
            for batch in islice(self.window, max(0, ended - MOST_RECENT), None):
                self.recent.append(batch)
            self.window.clear()
        else:
            for _ in range(ended):
                self.recent.append(self.window.popleft())

    def rewind(self):
        """Put the window back in front of the queue: what was not confirmed is sent again."""
        self.queue.extendleft(reversed(self.window))
        self.window.clear()
        self.count_queue()

    def repeat(self, double since):
        """Put in front of the queue what was confirmed of late.

        :param since: batches that were sealed after this time on the owner's clock are meant.
        """
        cdef SealedBatch batch
        while self.recent:
            batch = self.recent.pop()
            if batch.sealed_at < since:
                break
            self.queue.appendleft(batch)
        self.recent.clear()
        self.count_queue()

    cdef int count_queue(self) except -1:
        self.queue_bytes = sum([len((<SealedBatch>batch).payload) for batch in self.queue])
        return 0

    cdef int discard(self, SealedBatch batch) except -1:
        if not batch.is_counted:
            batch.is_counted = True
            self.discarded += batch.count
        return 0

    def discard_oldest(self):
        """Throw away the oldest batch that was not sent yet, or, if there is none, that was.

        :return: how many events were discarded.
        """
        cdef SealedBatch batch
        if self.queue:
            batch = self.queue.popleft()
            self.queue_bytes -= len(batch.payload)
        elif self.window:
            batch = self.window.popleft()
        else:
            return 0
        before = self.discarded
        self.discard(batch)
        return self.discarded - before

    def discard_before(self, double deadline):
        """Throw away the batches of the queue that were sealed before ``deadline``.

        :return: how many events were discarded.
        """
        cdef SealedBatch batch
        cdef uint64_t before = self.discarded
        while self.queue:
            batch = self.queue[0]
            if batch.sealed_at >= deadline:
                break
            self.queue.popleft()
            self.queue_bytes -= len(batch.payload)
            self.discard(batch)
        return self.discarded - before

    def discard_larger(self, Py_ssize_t limit):
        """Throw away the batches of the queue that exceed ``limit`` bytes: no server takes them.

        :return: how many events were discarded.
        """
        cdef uint64_t before = self.discarded
        keep = deque()
        for batch in self.queue:
            if len((<SealedBatch>batch).payload) > limit:
                self.discard(<SealedBatch>batch)
            else:
                keep.append(batch)
        self.queue = keep
        self.count_queue()
        return self.discarded - before
