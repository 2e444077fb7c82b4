# cython: language_level=3, embedsignature=True, binding=False, embedsignature.format=clinic
"""A bounded ring of undecoded messages between the connection and one consumer.

It never blocks and never grows past its bounds. When it is full a message is dropped, the oldest or
the newest by choice, and exactly how many events of which node went is told once per episode, in the
place where they are missing: an episode of drop-oldest ends when the consumer takes something, one of
drop-newest when a message fits again. Notices (what a subscription says by itself) travel through the
same slots, so that they keep their place among the messages; they are never lost, only folded
together when their slot is needed.
"""

from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport uint16_t, uint32_t

cdef enum:
    FIRST_ROOM = 16
    # So many notices more than messages may wait, that a small ring keeps them in their places too.
    NOTICES_BESIDE = 16


cdef class Ring:
    """A bounded ring of messages for one consumer.

    :param capacity_messages: how many messages may wait.
    :param capacity_bytes: how many bytes of payload may wait.
    :param drop_newest: drop what arrives while the ring is full, instead of the oldest.
    :param unwanted: a tuple of notice classes that this consumer did not ask for.
    :param fold: called with a dict and a notice whose slot is needed; puts the notice into the
        dict, merged with what is there. The dict's values are given to the consumer first.
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

    def __dealloc__(self):
        cdef Py_ssize_t index
        for index in range(self.used):
            Py_DECREF(<object>self.slots[(self.head + index) & (self.room - 1)].item)
        PyMem_Free(self.slots)

    def __len__(self):
        """Return how many things wait: messages and notices."""
        return self.used + len(self.carried) + (1 if self.overflow else 0)

    # ------------------------------------------------------------------------------- putting

    cdef int grow(self) except -1:
        cdef Py_ssize_t room = self.room * 2 if self.room else FIRST_ROOM
        cdef Slot* slots = <Slot*>PyMem_Malloc(room * sizeof(Slot))
        cdef Py_ssize_t index
        if slots == NULL:
            raise MemoryError(f"no memory for a ring of {room} messages")
        for index in range(self.used):
            slots[index] = self.slots[(self.head + index) & (self.room - 1)]
        PyMem_Free(self.slots)
        self.slots = slots
        self.room = room
        self.head = 0
        return 0

    cdef int append(
        self, object item, uint32_t start, uint32_t count, uint16_t node_id, double received_at
    ) except -1:
        cdef Slot* slot
        if self.used == self.room:
            self.grow()
        slot = &self.slots[(self.head + self.used) & (self.room - 1)]
        Py_INCREF(item)
        slot.item = <PyObject*>item
        slot.start = start
        slot.count = count
        slot.node_id = node_id
        slot.received_at = received_at
        self.used += 1
        return 0

    cdef int wake(self) except -1:
        # Only a consumer that found the ring empty has left a waker; one call is enough for it.
        if self.waker is not None:
            waker = self.waker
            self.waker = None
            waker()
        return 0

    cdef int note_overflow(self, uint16_t node_id, uint32_t count) except -1:
        self.missed += count
        known = self.overflow.get(node_id)
        self.overflow[node_id] = count if known is None else known + count
        return 0

    cdef int drop_oldest(self) except -1:
        cdef Slot* slot = &self.slots[self.head]
        cdef object item = <object>slot.item
        cdef uint32_t count = slot.count
        cdef uint16_t node_id = slot.node_id
        Py_DECREF(item)  # `item` holds its own reference now; the slot's is given up
        self.head = (self.head + 1) & (self.room - 1)
        self.used -= 1
        if type(item) is bytes:
            self.buffered -= count
            self.buffered_messages -= 1
            self.buffered_bytes -= PyBytes_GET_SIZE(item)
            self.note_overflow(node_id, count)
        else:
            self.fold(self.carried, item)
        return 0

    cdef int put(
        self, bytes payload, uint32_t start, uint32_t count, uint16_t node_id, double received_at
    ) except -1:
        cdef Py_ssize_t size = PyBytes_GET_SIZE(payload)
        if self.is_closed:
            return 0
        self.arrived += count
        if (
            self.buffered_messages >= self.capacity_messages
            or self.buffered_bytes + size > self.capacity_bytes
        ):
            if self.drop_newest:
                self.note_overflow(node_id, count)
                return self.wake()
            if size > self.capacity_bytes:
                # Larger than the whole ring: it is told in its place, behind what it follows.
                self.missed += count
                self.put_notice({node_id: count})
                return 0
            while self.used and (
                self.buffered_messages >= self.capacity_messages
                or self.buffered_bytes + size > self.capacity_bytes
            ):
                self.drop_oldest()
        elif self.drop_newest and self.overflow:
            self.append(self.overflow, 0, 0, 0, 0.0)
            self.overflow = {}
        self.append(payload, start, count, node_id, received_at)
        self.buffered += count
        self.buffered_messages += 1
        self.buffered_bytes += size
        if self.buffered_messages > self.high_water_messages:
            self.high_water_messages = self.buffered_messages
        if self.waker is not None:
            self.wake()
        return 0

    def put_message(
        self,
        bytes payload,
        uint32_t start,
        uint32_t count,
        uint16_t node_id,
        double received_at,
    ):
        """Put one undecoded message; drop by the ring's rule when it is full.

        :param payload: the message, whole.
        :param start: where in the payload the events begin.
        :param count: how many events it holds.
        :param node_id: their sender.
        :param received_at: seconds since the epoch.
        """
        self.put(payload, start, count, node_id, received_at)

    def put_notice(self, notice):
        """Put something that must reach the consumer in this place among the messages."""
        if self.is_closed or isinstance(notice, self.unwanted):
            return
        if self.drop_newest and self.overflow:
            self.append(self.overflow, 0, 0, 0, 0.0)
            self.overflow = {}
        # Notices have a bound too: past it the oldest ones are folded together.
        while self.used - self.buffered_messages >= self.capacity_messages + NOTICES_BESIDE:
            self.fold_oldest_notice()
        self.append(notice, 0, 0, 0, 0.0)
        self.wake()

    def fold_oldest_notice(self):
        """Move the oldest notice out of its slot; it is then told before everything else."""
        cdef Py_ssize_t index, mask = self.room - 1
        for index in range(self.used):
            item = <object>self.slots[(self.head + index) & mask].item
            if type(item) is not bytes:
                break
        else:
            return
        for index in range(index, self.used - 1):
            self.slots[(self.head + index) & mask] = self.slots[(self.head + index + 1) & mask]
        self.used -= 1
        Py_DECREF(item)
        self.fold(self.carried, item)

    # -------------------------------------------------------------------------------- taking

    cdef object take_notice(self):
        """Take what must be told before the next message, or None."""
        if self.carried:
            return self.carried.pop(next(iter(self.carried)))
        if self.overflow and (self.used == 0 or not self.drop_newest):
            overflow = self.overflow
            self.overflow = {}
            return overflow
        return None

    cdef bint take(self, Slot* taken) except -1:
        """Take the oldest slot; its ``item`` belongs to the caller. Look at notices first."""
        cdef Slot* slot
        if self.used == 0:
            return False
        slot = &self.slots[self.head]
        taken[0] = slot[0]
        self.head = (self.head + 1) & (self.room - 1)
        self.used -= 1
        if type(<object>slot.item) is bytes:
            self.buffered -= slot.count
            self.buffered_messages -= 1
            self.buffered_bytes -= PyBytes_GET_SIZE(<object>slot.item)
        return True

    def take_next(self):
        """Take the oldest thing that waits.

        :return: ``(payload, start, count, node_id, received_at)`` for a message, a dict of events
            by node id for an overflow, the notice itself for a notice, ``None`` when all is taken.
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
        """Have ``waker`` called once, when something is put or the ring is closed."""
        self.waker = waker
        if len(self) or self.is_closed:
            self.wake()

    def close(self):
        """Take nothing more in; what waits can still be taken."""
        self.is_closed = True
        self.wake()

    def clear(self):
        """Drop all that waits without telling: the consumer has left."""
        cdef Slot slot
        while self.take(&slot):
            Py_DECREF(<object>slot.item)
        self.carried.clear()
        self.overflow.clear()


def keep_each(carried, notice):
    """Fold nothing: keep every notice."""
    carried[object()] = notice
