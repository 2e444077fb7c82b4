# cython: language_level=3, embedsignature=True
"""Sealed batches until the server has confirmed them: bounded, in order, each counted once.

``queue`` holds the batches that no connection has taken yet, ``window`` those that one has taken and
no PONG has confirmed; both together hold at most ``capacity`` batches. Confirmed batches stay in
``recent`` for a short while: a server that is killed loses what it had accepted and not passed on.
After a reconnect these batches are sent again, and receivers that have them skip them.
"""

from libc.stdint cimport uint64_t

from fastcoord.wire.sealed_batch cimport SealedBatch

from collections import deque
from itertools import islice

cdef enum:
    MAX_RECENT = 256  # confirmed batches that are kept


cdef class BatchQueue:
    """The sealed batches of one node.

    :param capacity: the most sealed batches in ``queue`` and ``window`` together.
    """

    def __init__(self, Py_ssize_t capacity):
        if capacity < 1:
            raise ValueError("the capacity must be at least 1 batch")
        self.capacity = capacity
        self.queue = deque()
        self.window = deque()
        self.recent = deque(maxlen=MAX_RECENT)

    @property
    def is_full(self):
        """Whether another batch would exceed the capacity."""
        return not self.has_capacity()

    cdef bint has_capacity(self):
        return len(self.queue) + len(self.window) < self.capacity

    cdef int put(self, SealedBatch batch) except -1:
        """Append a batch that was just sealed."""
        self.queue.append(batch)
        self.queue_bytes += len(batch.payload)
        return 0

    def take(self, Py_ssize_t max_bytes):
        """Move batches from the queue to the window, for a connection that sends them now.

        :param max_bytes: stop after the batch that reaches this many bytes.
        :return: a list of ``SealedBatch``, the oldest first.
        """
        cdef Py_ssize_t size = 0
        cdef SealedBatch batch
        cdef list taken
        if self.queue_bytes <= max_bytes:
            taken = list(self.queue)
            self.queue.clear()
            self.queue_bytes = 0
        else:
            taken = []
            while self.queue and size < max_bytes:
                batch = self.queue.popleft()
                taken.append(batch)
                size += len(batch.payload)
            self.queue_bytes -= size
        self.window.extend(taken)
        return taken

    def confirm(self, uint64_t up_to):
        """Move the batches that end at or before event number ``up_to`` out of the window."""
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
            for batch in islice(self.window, max(0, ended - MAX_RECENT), None):
                self.recent.append(batch)
            self.window.clear()
        else:
            for _ in range(ended):
                self.recent.append(self.window.popleft())

    def rewind(self):
        """Move the window back to the front of the queue, to be sent again."""
        self.queue.extendleft(reversed(self.window))
        self.window.clear()
        self.count_queue()

    def repeat(self, double since):
        """Move recently confirmed batches to the front of the queue, to be sent again.

        :param since: only batches that were sealed at or after this time on the owner's clock.
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
        """Discard the oldest batch of the queue or, if the queue is empty, of the window.

        :return: how many events were discarded.
        """
        cdef SealedBatch batch
        cdef uint64_t before = self.discarded
        if self.queue:
            batch = self.queue.popleft()
            self.queue_bytes -= len(batch.payload)
        elif self.window:
            batch = self.window.popleft()
        else:
            return 0
        self.discard(batch)
        return self.discarded - before

    def discard_before(self, double deadline):
        """Discard the batches of the queue that were sealed before ``deadline``.

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
        """Discard the batches of the queue with more than ``limit`` bytes: the server refuses them.

        :return: how many events were discarded.
        """
        cdef uint64_t before = self.discarded
        kept = deque()
        for batch in self.queue:
            if len((<SealedBatch>batch).payload) > limit:
                self.discard(<SealedBatch>batch)
            else:
                kept.append(batch)
        self.queue = kept
        self.count_queue()
        return self.discarded - before
