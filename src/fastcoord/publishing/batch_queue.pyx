# cython: language_level=3, embedsignature=True
"""Keep the sealed batches of a node, in order, until the server has confirmed them.

Each batch is in one of four deques:

- ``queue``: no connection has taken the batch yet.
- ``window``: the present connection has taken the batch, and no PONG has confirmed it.
- ``resend``: a connection that was lost had taken the batch.
- ``recent``: the batch was confirmed a short while ago.

``queue``, ``window`` and ``resend`` hold at most ``capacity`` unconfirmed batches together. Only
batches of ``queue`` are discarded, because peers may have received the others. The exception is
``discard_larger``: the server refuses these batches in any case.

A server that is killed loses the batches that it had accepted and not yet forwarded, even if they
are confirmed. So ``repeat`` moves the batches of ``recent`` to ``resend`` after a reconnect. They
do not use capacity there. Receivers that already have these batches skip them.

All times are on the clock of the owner, which is the node's ``Sender``.
"""

from libc.stdint cimport uint64_t

from fastcoord.wire.sealed_batch cimport SealedBatch

from collections import deque

cdef enum:
    MAX_RECENT = 256  # the most batches in recent


cdef class BatchQueue:
    """The sealed batches of one node.

    :param capacity: the most unconfirmed batches.
    """

    def __init__(self, Py_ssize_t capacity):
        if capacity < 1:
            raise ValueError("the capacity must be at least 1 batch")
        self.capacity = capacity
        self.queue = deque()
        self.resend = deque()
        self.window = deque()
        self.recent = deque(maxlen=MAX_RECENT)

    @property
    def is_full(self):
        """Whether another batch would exceed the capacity."""
        return not self.has_capacity()

    @property
    def unconfirmed_batches(self):
        """How many batches use the capacity."""
        return len(self.queue) + len(self.resend) + len(self.window) - self.repeated

    cdef bint has_capacity(self):
        return (
            len(self.queue) + len(self.resend) + len(self.window) - self.repeated < self.capacity
        )

    cdef int put(self, SealedBatch batch) except -1:
        """Append a batch that was just sealed."""
        self.queue.append(batch)
        self.queue_bytes += len(batch.payload)
        return 0

    def take(self, Py_ssize_t max_bytes):
        """Move batches to the window, for a connection that sends them now.

        :param max_bytes: stop after the batch that reaches this many bytes.
        :return: a list of ``SealedBatch``, the oldest first: all from ``resend``, or all new.
        """
        cdef Py_ssize_t size = 0
        cdef SealedBatch batch
        cdef Py_ssize_t before = len(self.window)
        cdef list taken = []
        if self.resend:
            while self.resend and size < max_bytes:
                # The batch is appended before it is removed: an exception in between cannot lose it.
                batch = self.resend[0]
                self.window.append(batch)
                self.resend.popleft()
                taken.append(batch)
                size += len(batch.payload)
            return taken
        if self.queue_bytes <= max_bytes:
            # The usual case takes everything, without a call of Python for each batch.
            taken.extend(self.queue)
            try:
                self.window.extend(taken)
            except:
                while len(self.window) > before:
                    self.window.pop()
                raise
            self.queue.clear()
            self.queue_bytes = 0
        else:
            while self.queue and size < max_bytes:
                batch = self.queue[0]
                self.window.append(batch)
                self.queue.popleft()
                taken.append(batch)
                size += len(batch.payload)
            self.queue_bytes -= size
        for batch in taken:
            # Every earlier event was taken or discarded, so this difference is exact.
            batch.discarded = batch.offset - self.taken
            self.taken += batch.count
        return taken

    def confirm(self, uint64_t up_to, double now):
        """Move the batches that end at or before event number ``up_to`` out of the window.

        :param now: the present time, on the owner's clock.
        """
        cdef SealedBatch batch
        cdef list confirmed = []
        for batch in self.window:
            if batch.offset + batch.count > up_to:
                break
            confirmed.append(batch)
        if not confirmed:
            return
        # The batches are added before they are removed: an exception in between cannot lose them.
        self.recent.extend(confirmed[-MAX_RECENT:])
        popleft = self.window.popleft
        for batch in confirmed:
            popleft()
            batch.confirmed_at = now
            if batch.is_counted:
                self.repeated -= 1
            else:
                batch.is_counted = True
                self.confirmed += batch.count

    def rewind(self):
        """Move the batches of the window to ``resend`` after the connection was lost."""
        while self.window:
            self.resend.appendleft(self.window[-1])
            self.window.pop()

    def repeat(self, double since):
        """Move recently confirmed batches to the front of ``resend``.

        :param since: a time on the owner's clock. Batches that were confirmed before it are dropped
            from ``recent``.
        """
        cdef SealedBatch batch
        while self.recent:
            batch = self.recent[-1]
            if batch.confirmed_at < since:
                break
            self.resend.appendleft(batch)
            self.repeated += 1
            self.recent.pop()
        self.recent.clear()

    cdef int drop_oldest(self) except -1:
        """Discard the oldest batch of the queue, which must not be empty."""
        cdef SealedBatch batch = self.queue.popleft()
        self.queue_bytes -= len(batch.payload)
        self.discarded += batch.count
        return 0

    def discard_before(self, double deadline):
        """Discard the batches of the queue whose first event was accepted before ``deadline``.

        :return: how many events were discarded.
        """
        cdef uint64_t before = self.discarded
        while self.queue and (<SealedBatch>self.queue[0]).accepted_at < deadline:
            self.drop_oldest()
        return self.discarded - before

    def discard_larger(self, Py_ssize_t limit):
        """Discard the batches with more than ``limit`` bytes, because the server refuses them.

        :return: how many events were discarded.
        """
        cdef uint64_t before = self.discarded
        cdef uint64_t removed = 0
        cdef SealedBatch batch
        resend, queue = deque(), deque()
        for batch in self.resend:
            batch.discarded += removed
            if len(batch.payload) <= limit:
                resend.append(batch)
            elif batch.is_counted:
                self.repeated -= 1
            else:
                # Peers may have received this batch. It counts as discarded because it cannot be
                # sent again, so nothing would ever confirm it.
                removed += batch.count
        for batch in self.queue:
            if len(batch.payload) <= limit:
                queue.append(batch)
            else:
                self.discarded += batch.count
        self.resend, self.queue = resend, queue
        self.taken -= removed
        self.discarded += removed
        self.queue_bytes = sum([len((<SealedBatch>batch).payload) for batch in queue])
        return self.discarded - before
