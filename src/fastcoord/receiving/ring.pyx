# cython: language_level=3, embedsignature=True, binding=False, embedsignature.format=clinic
"""A bounded ring of undecoded messages between the receiver and one consumer.

A ring never blocks and never exceeds its capacity. A full ring drops a message, the oldest or the
newest as configured. An episode is a time in which a ring drops messages. With drop-oldest, it ends
when the consumer takes something. With drop-newest, it ends when a message fits again. The ring
reports each episode once, in the place of the missing events: how many events of which node it has
dropped.

Notices use the same slots as messages, so they keep their place among the messages. A notice is
never dropped. When the ring needs its slot, it merges the notice with earlier ones (``fold``).

Invariants:

- The ``used`` slots from ``head`` on are the occupied ones, in order of arrival; indices wrap at
  ``slot_count``, which is a power of two.
- Each occupied slot owns one reference to its ``item``. ``take`` passes this reference to its
  caller.
- ``arrived`` is the sum of ``buffered``, ``missed`` and the events of the messages that were taken.
- Putting never raises an exception, so that a failure in one ring cannot keep a message from the
  other rings. If there is no memory to record a loss, ``lose`` counts it without allocating memory.
  The consumer receives the report of such losses before everything else.
- Python code may run where an object is created or released, and may call any method of this ring.
  So ``head``, ``used`` and the counters are consistent before each such place.
"""

from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport uint16_t, uint32_t, uint64_t

cdef enum:
    FIRST_SLOT_COUNT = 16
    # A ring holds this many notices more than ``capacity_messages``. So even a small ring keeps
    # notices in their place.
    EXTRA_NOTICES = 16


cdef class Ring:
    """Buffer the messages of one consumer.

    :param capacity_messages: how many messages the ring may hold.
    :param capacity_bytes: how many bytes of payload the ring may hold.
    :param drop_newest: drop the message that arrives at a full ring, instead of the oldest.
    :param unwanted: notice classes that the ring does not store.
    :param fold: called with a dict and a notice whose slot is needed. It adds the notice to the
        dict and merges it with notices there. The consumer receives these before everything else.
    """

    def __init__(
        self,
        Py_ssize_t capacity_messages,
        Py_ssize_t capacity_bytes,
        *,
        bint drop_newest=False,
        tuple unwanted=(),
        fold=None,
    ):
        if capacity_messages < 1 or capacity_bytes < 1:
            raise ValueError("the capacity of a ring must be at least 1 message and 1 byte")
        self.capacity_messages = capacity_messages
        self.capacity_bytes = capacity_bytes
        self.drop_newest = drop_newest
        self.unwanted = unwanted
        self.fold = fold if fold is not None else keep_each
        self.overflow = {}
        self.carried = {}
        self.taking = []

    def __dealloc__(self):
        cdef Py_ssize_t index
        for index in range(self.used):
            Py_DECREF(<object>self.slots[(self.head + index) & (self.slot_count - 1)].item)
        PyMem_Free(self.slots)

    def __len__(self):
        """Return how many items are buffered: messages and notices."""
        return (
            self.used
            + len(self.taking)
            + len(self.carried)
            + (1 if self.overflow else 0)
            + (1 if self.has_lost else 0)
        )

    # ------------------------------------------------------------------------------- putting

    cdef bint grow(self) noexcept:
        """Allocate more slots; return False if there is no memory."""
        cdef Py_ssize_t slot_count = self.slot_count * 2 if self.slot_count else FIRST_SLOT_COUNT
        cdef Slot* slots = <Slot*>PyMem_Malloc(slot_count * sizeof(Slot))
        cdef Py_ssize_t index
        if slots == NULL:
            return False
        for index in range(self.used):
            slots[index] = self.slots[(self.head + index) & (self.slot_count - 1)]
        PyMem_Free(self.slots)
        self.slots = slots
        self.slot_count = slot_count
        self.head = 0
        return True

    cdef void append(
        self, object item, uint32_t start, uint32_t count, uint16_t node_id, double received_at
    ) noexcept:
        """Store an item in a slot, which must be free."""
        cdef Slot* slot = &self.slots[(self.head + self.used) & (self.slot_count - 1)]
        Py_INCREF(item)  # the slot's reference
        slot.item = <PyObject*>item
        slot.start = start
        slot.count = count
        slot.node_id = node_id
        slot.received_at = received_at
        slot.sequence = self.sequence
        self.used += 1

    cdef void lose(self, uint32_t count, bint is_known) noexcept:
        """Note a loss without allocating memory.

        :param count: how many events are lost.
        :param is_known: whether no further events are lost.
        """
        if self.is_closed:
            return
        self.has_lost = self.is_wake_due = True
        self.lost_events += count
        if not is_known:
            self.lost_unknown = True

    cdef void note_overflow(self, uint16_t node_id, uint32_t count) noexcept:
        """Count events that were dropped."""
        self.missed += count
        try:
            known = self.overflow.get(node_id)
            self.overflow[node_id] = count if known is None else known + count
        except MemoryError:
            self.lose(count, True)

    cdef void fold_notice(self, notice) noexcept:
        """Merge a notice that has no slot with those that the consumer receives first."""
        try:
            self.fold(self.carried, notice)
        except BaseException as error:
            self.lose(0, False)
            if not isinstance(error, MemoryError):
                # The exception comes from outside, for example from a signal handler. `wake` raises
                # it after all rings have the message.
                self.interruption = error

    cdef void drop_oldest(self) noexcept:
        cdef Slot* slot = &self.slots[self.head]
        cdef object item = <object>slot.item
        cdef uint32_t count = slot.count
        cdef uint16_t node_id = slot.node_id
        Py_DECREF(item)  # the slot's reference; `item` holds its own
        self.head = (self.head + 1) & (self.slot_count - 1)
        self.used -= 1
        if type(item) is bytes:
            self.buffered -= count
            self.buffered_messages -= 1
            self.buffered_bytes -= PyBytes_GET_SIZE(item)
            self.note_overflow(node_id, count)
        else:
            self.fold_notice(item)

    cdef void end_episode(self, uint64_t sequence) noexcept:
        """End an episode of drop-newest: store its report behind the buffered items.

        :param sequence: a stream sequence up to which everything was put before or is reported now.
        """
        if not self.drop_newest or not self.overflow:
            return
        try:
            overflow, fresh = self.overflow, {}
        except MemoryError:
            self.overflow.clear()
            self.lose(0, False)
            return
        self.overflow = fresh
        if self.used < self.slot_count or self.grow():
            self.append(overflow, 0, 0, 0, 0.0)
            self.slots[(self.head + self.used - 1) & (self.slot_count - 1)].sequence = sequence
        else:
            self.fold_notice(overflow)

    cdef inline bint fits(self, Py_ssize_t size) noexcept:
        return (
            self.buffered_messages < self.capacity_messages
            and self.buffered_bytes + size <= self.capacity_bytes
        )

    cdef bint make_space(self, Py_ssize_t size, uint32_t count, uint16_t node_id) noexcept:
        """Make space for a message; drop messages as configured.

        :return: whether the message may be stored. If so, a slot is free. Otherwise the message is
            counted as missed, unless the ring was closed.
        """
        if not self.fits(size):
            if self.drop_newest:
                self.arrived += count
                self.note_overflow(node_id, count)
                return False
            if size > self.capacity_bytes:
                # The message is larger than the whole ring. Report it in its place, behind the
                # items that precede it.
                self.arrived += count
                self.missed += count
                try:
                    self.store_notice({node_id: count})
                except MemoryError:
                    self.lose(count, True)
                return False
            while self.used and not self.fits(size) and not self.is_closed:
                self.drop_oldest()
        else:
            # The message itself follows the report.
            self.end_episode(self.sequence - 1 if self.sequence else 0)
        if self.is_closed:
            # A finalizer has closed the ring while something was released.
            return False
        if self.used == self.slot_count and not self.grow():
            self.arrived += count
            self.missed += count
            self.lose(count, True)
            return False
        return True

    cdef void put(
        self, bytes payload, uint32_t start, uint32_t count, uint16_t node_id, double received_at
    ) noexcept:
        """Put one message. Call ``wake`` afterwards if ``is_wake_due``."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(payload)
        if self.is_closed:
            return
        if (
            self.fits(size) and self.used < self.slot_count and not self.drop_newest
        ) or self.make_space(size, count, node_id):
            self.append(payload, start, count, node_id, received_at)
            self.arrived += count
            self.buffered += count
            self.buffered_messages += 1
            self.buffered_bytes += size
            if self.buffered_messages > self.high_water_messages:
                self.high_water_messages = self.buffered_messages
        if self.waker is not None or self.interruption is not None:
            self.is_wake_due = True

    cdef void store_notice(self, notice) noexcept:
        """Put one notice. Call ``wake`` afterwards if ``is_wake_due``."""
        if self.is_closed or isinstance(notice, self.unwanted):
            return
        self.end_episode(self.sequence)
        # The number of notices is bounded, too. Beyond the bound, the oldest ones are merged.
        while self.used - self.buffered_messages >= self.capacity_messages + EXTRA_NOTICES:
            self.fold_oldest_notices()
        if self.used < self.slot_count or self.grow():
            self.append(notice, 0, 0, 0, 0.0)
        else:
            self.fold_notice(notice)
        self.is_wake_due = True

    cdef int wake(self) except -1:
        """Wake the consumer if it waits."""
        self.is_wake_due = False
        waker = self.waker
        if waker is not None:
            try:
                waker()
            except BaseException:
                # The exception comes from outside, for example from a signal handler. The consumer
                # must be woken nevertheless. If the second call fails as well, the next message
                # wakes the consumer.
                self.is_wake_due = True
                waker()
                self.waker = None
                raise
            self.waker = None
        if self.interruption is not None:
            error = self.interruption
            self.interruption = None
            raise error
        return 0

    def put_message(
        self,
        bytes payload,
        uint32_t start,
        uint32_t count,
        uint16_t node_id,
        double received_at,
    ):
        """Put one undecoded message; drop it or the oldest ones if the ring is full.

        :param payload: the whole message.
        :param start: the offset of the first event in the payload.
        :param count: how many events the payload holds.
        :param node_id: the sender.
        :param received_at: when it arrived, in seconds since the epoch.
        """
        self.put(payload, start, count, node_id, received_at)
        if self.is_wake_due:
            self.wake()

    def put_notice(self, notice):
        """Put a notice behind everything that was put before, unless its class is unwanted."""
        self.store_notice(notice)
        if self.is_wake_due:
            self.wake()

    cdef void fold_oldest_notices(self) noexcept:
        """Free the slots of the older half of the notices, and merge these notices by ``fold``.

        Many at once, so that one pass over the slots is shared by many notices.
        """
        cdef Py_ssize_t mask = self.slot_count - 1
        cdef Py_ssize_t notices = self.used - self.buffered_messages
        cdef Py_ssize_t wanted = (notices + 1) // 2
        cdef Py_ssize_t index, kept = 0, found = 0
        cdef PyObject** items = <PyObject**>PyMem_Malloc(wanted * sizeof(PyObject*))
        cdef PyObject* single
        if items == NULL:
            items = &single
            wanted = 1
        for index in range(self.used):
            if found < wanted and type(<object>self.slots[(self.head + index) & mask].item) is not bytes:
                items[found] = self.slots[(self.head + index) & mask].item
                found += 1
            else:
                self.slots[(self.head + kept) & mask] = self.slots[(self.head + index) & mask]
                kept += 1
        self.used = kept
        for index in range(found):
            self.fold_notice(<object>items[index])
            Py_DECREF(<object>items[index])  # the slot's reference
        if items != &single:
            PyMem_Free(items)

    # -------------------------------------------------------------------------------- taking

    cdef object take_notice(self):
        """Take what must precede the next slot; return None if there is nothing."""
        if self.has_lost:
            lost = {None: None if self.lost_unknown else self.lost_events}
            self.has_lost = self.lost_unknown = False
            self.lost_events = 0
            return lost
        if not self.taking and self.carried:
            # A dict whose first entries are removed one by one is slow to search.
            fresh = {}
            taking = list(self.carried.values())
            taking.reverse()
            self.taking, self.carried = taking, fresh
        if self.taking:
            return self.taking.pop()
        if self.overflow and (self.used == 0 or not self.drop_newest):
            overflow = self.overflow
            self.overflow = {}
            return overflow
        return None

    cdef bint take(self, Slot* taken) except -1:
        """Take the oldest slot, whose ``item`` the caller then owns; return False if there is none.

        The caller must call ``take_notice`` first.
        """
        cdef Slot* slot
        if self.used == 0:
            return False
        slot = &self.slots[self.head]
        taken[0] = slot[0]
        self.head = (self.head + 1) & (self.slot_count - 1)
        self.used -= 1
        if type(<object>slot.item) is bytes:
            self.buffered -= slot.count
            self.buffered_messages -= 1
            self.buffered_bytes -= PyBytes_GET_SIZE(<object>slot.item)
        return True

    def take_next(self):
        """Take the oldest item.

        :return: ``(payload, start, count, node_id, received_at)`` for a message, a dict from node
            id to the number of dropped events for an overflow, a notice, or ``None`` if the ring is
            empty.
        """
        cdef Slot slot
        notice = self.take_notice()
        if notice is not None:
            return notice
        if not self.take(&slot):
            return None
        item = <object>slot.item
        Py_DECREF(item)
        if type(item) is bytes:
            return (item, slot.start, slot.count, slot.node_id, slot.received_at)
        return item

    def wait(self, waker):
        """Call ``waker`` once, as soon as the ring holds something or is closed."""
        self.waker = waker
        if len(self) or self.is_closed:
            self.wake()

    def close(self):
        """Refuse further items. What is buffered can still be taken."""
        self.is_closed = True
        self.wake()

    def clear(self):
        """Drop everything that is buffered, without a report, because the consumer has ended."""
        cdef Slot slot
        while self.take(&slot):
            Py_DECREF(<object>slot.item)
        self.carried.clear()
        self.taking.clear()
        self.overflow.clear()
        self.has_lost = False


def keep_each(carried, notice):
    """Keep every notice as it is."""
    carried[object()] = notice
