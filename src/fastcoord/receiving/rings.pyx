# cython: language_level=3, embedsignature=True
"""Put messages and notices into the rings of all subscriptions of a node, and wake their consumers."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastcoord.nats.parser cimport MessageSink
from fastcoord.receiving.ring cimport Ring


cdef int wake_rings(rings, bint* is_wake_due) except -1:
    """Wake the consumers of rings. After the last one, raise the first exception.

    :param is_wake_due: set to whether an exception has kept a consumer from being woken.
    """
    error = None
    is_wake_due[0] = False
    for ring in rings:
        if (<Ring>ring).is_wake_due:
            try:
                (<Ring>ring).wake()
            except BaseException as raised:
                if error is None:
                    error = raised
                if (<Ring>ring).is_wake_due:
                    is_wake_due[0] = True
    if error is not None:
        raise error
    return 0


cdef class Rings(MessageSink):
    """The rings of the subscriptions of one node. ``Receiver`` selects what is put into them."""

    def __init__(self):
        self.rings = []

    def add_ring(self, Ring ring):
        """Put every further message into this ring, too."""
        self.rings.append(ring)

    def remove_ring(self, Ring ring):
        """Put no further message into this ring."""
        # Create a new list, because `deliver` or `notify` may be iterating over the old one.
        self.rings = [known for known in self.rings if known is not ring]

    def notify(self, notice):
        """Put a notice into every ring, behind everything that was delivered before."""
        for ring in self.rings:
            (<Ring>ring).store_notice(notice)
        if not self.is_judging:
            self.wake()

    cdef void lose(self) noexcept:
        """Report to every subscription that events may be missing."""
        for ring in self.rings:
            (<Ring>ring).lose(0, False)
        self.is_wake_due = True

    cdef int wake(self) except -1:
        """Wake the consumers of every ring."""
        return wake_rings(self.rings, &self.is_wake_due)

    cdef int deliver(
        self, uint16_t node_id, const uint8_t* payload, Py_ssize_t size, uint32_t start, uint32_t count
    ) except -1:
        """Put events into every ring. If this raises an exception, no ring has the events."""
        cdef bytes content
        if self.rings:
            # The payload is copied out of the read buffer once; each ring holds its own reference
            # to the copy.
            content = PyBytes_FromStringAndSize(<char*>payload, size)
            for ring in self.rings:
                (<Ring>ring).put(content, start, count, node_id, self.received_at)
                if (<Ring>ring).is_wake_due:
                    self.is_wake_due = True
        self.received += count
        return 0
