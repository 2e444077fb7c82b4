# cython: language_level=3, embedsignature=True
"""Keep the sealed batches of a node, in order, until the server has confirmed them.

An accepted event is confirmed, discarded, in the open batch or in a sealed batch. At any time it is
counted in exactly one of these places::

    accepted = confirmed + waiting + discarded      waiting = open batch + sealed batches

Each sealed batch is in one of four deques:

- ``queue``: no connection has taken the batch yet.
- ``window``: the present connection has taken the batch, and no PONG has confirmed it.
- ``resend``: a connection that was lost had taken the batch.
- ``recent``: the batch was confirmed a short while ago.

``queue``, ``window`` and ``resend`` hold at most ``capacity`` unconfirmed batches together, where the
pieces of a batch that was split count as one. Only batches of ``queue`` are discarded, because peers
may have received the others. The exception are events that the server refuses in any case: see
``split_larger``.

A server that is killed loses the batches that it had accepted and not yet forwarded, even if they
are confirmed. So ``repeat`` moves the batches of ``recent`` to ``resend`` after a reconnect. They
do not use capacity there. Receivers that already have these batches skip them.

All times are on the clock of the owner, which is the node's ``Sender``.
"""

from libc.stdint cimport uint64_t

from fastcoord.wire.sealed_batch cimport SealedBatch, make_sealed_batch

from collections import deque

from fastcoord.wire.pieces import split_payload

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
    def waiting(self):
        """How many accepted events are neither confirmed nor discarded."""
        return self.accepted - self.confirmed - self.discarded

    @property
    def offset(self):
        """The offset of the first event of the open batch."""
        return self.end - self.open_count

    @property
    def end(self):
        """The offset behind the last accepted event. Offsets count from the start of the run."""
        return self.accepted - self.base

    @property
    def next_offset(self):
        """The offset of the first event that is not sent on the present connection."""
        if self.resend:
            return self.resend[0].offset
        return self.queue[0].offset if self.queue else self.accepted - self.base - self.open_count

    @property
    def first_unsent(self):
        """The offset of the first event that no connection has taken."""
        return self.queue[0].offset if self.queue else self.accepted - self.base - self.open_count

    @property
    def next_discarded(self):
        """How many events before ``next_offset`` were discarded."""
        if self.resend:
            return self.resend[0].discarded
        return self.next_offset - self.taken

    @property
    def end_of_sent(self):
        """The offset behind the events that are confirmed or discarded."""
        return self.accepted - self.base - self.waiting

    @property
    def is_full(self):
        """Whether another batch would exceed the capacity."""
        return not self.has_capacity()

    @property
    def unconfirmed_batches(self):
        """How many batches use the capacity."""
        return (
            len(self.queue) + len(self.resend) + len(self.window) - self.repeated - self.pieces
        )

    cdef bint has_capacity(self):
        return (
            len(self.queue) + len(self.resend) + len(self.window) - self.repeated - self.pieces
            < self.capacity
        )

    cdef int restart(self, bytes prefix) except -1:
        """Number the batches that wait, and the open one, from 0 on.

        :param prefix: replaces as many bytes at the start of each payload.
        """
        cdef SealedBatch batch
        cdef uint64_t offset = 0
        payloads = [prefix + (<SealedBatch>batch).payload[len(prefix):] for batch in self.queue]
        # Nothing below allocates memory or runs Python code that could fail.
        for batch, payload in zip(self.queue, payloads):
            batch.payload = payload
            batch.offset = offset
            offset += batch.count
        self.recent.clear()
        self.taken = 0
        self.base = self.accepted - offset - self.open_count
        return 0

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
            for batch in taken:
                self.count_taken(batch)
        else:
            while self.queue and size < max_bytes:
                batch = self.queue[0]
                taken.append(batch)
                self.window.append(batch)
                # Nothing below fails, so that a batch in the window is counted.
                self.queue.popleft()
                size += len(batch.payload)
                self.queue_bytes -= len(batch.payload)
                self.count_taken(batch)
        return taken

    cdef void count_taken(self, SealedBatch batch) noexcept:
        # Every earlier event was taken or discarded, so this difference is exact.
        batch.discarded = batch.offset - self.taken
        self.taken += batch.count

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
            if batch.is_piece:
                batch.is_piece = False
                self.pieces -= 1
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
        """Discard the oldest batch of the queue, which must not be empty, with all its pieces."""
        cdef SealedBatch batch = self.queue.popleft()
        while True:
            self.queue_bytes -= len(batch.payload)
            self.pieces -= batch.is_piece
            self.discarded += batch.count
            if not self.queue or not (<SealedBatch>self.queue[0]).is_piece:
                return 0
            batch = self.queue.popleft()

    def discard_before(self, double deadline):
        """Discard the batches of the queue whose first event was accepted before ``deadline``.

        :return: how many events were discarded.
        """
        cdef uint64_t before = self.discarded
        while self.queue and (<SealedBatch>self.queue[0]).accepted_at < deadline:
            self.drop_oldest()
        return self.discarded - before

    def split_larger(self, Py_ssize_t limit, protocol):
        """Split the batches with more than ``limit`` bytes, because the server refuses them.

        The pieces keep the offsets of their events. Receivers that already have a batch that is
        sent again skip its pieces. An event that is too large by itself is discarded, also if peers
        may have received it: it cannot be sent again, so nothing would ever confirm it.

        :param protocol: the name of the protocol of the batches.
        :return: how many events were discarded.
        """
        cdef SealedBatch batch, piece
        cdef uint64_t lost = 0      # events that are discarded and were not counted before
        cdef uint64_t lost_taken
        cdef Py_ssize_t repeated = 0
        cdef Py_ssize_t pieces = 0
        cdef bint has_head = True   # whether the first piece of the batch in hand is kept
        cdef list resend = []
        cdef list queue = []
        cdef list shifts = []       # for each batch of resend: how much its `discarded` grows
        cdef list flags = []        # for each batch of resend and queue: its `is_piece`
        for batch in self.resend:
            has_head = has_head and batch.is_piece
            repeated -= batch.is_counted
            for piece in fit(batch, limit, protocol):
                if piece.payload is not None:
                    resend.append(piece)
                    shifts.append(lost)
                    flags.append(has_head and not batch.is_counted)
                    has_head = True
                    repeated += batch.is_counted
                elif not batch.is_counted:
                    lost += piece.count
        lost_taken = lost
        for batch in self.queue:
            has_head = has_head and batch.is_piece
            for piece in fit(batch, limit, protocol):
                if piece.payload is not None:
                    queue.append(piece)
                    flags.append(has_head)
                    has_head = True
                else:
                    lost += piece.count
        for batch in self.window:
            pieces += batch.is_piece
        resend_deque, queue_deque = deque(resend), deque(queue)
        both = resend + queue
        size = sum([len((<SealedBatch>batch).payload) for batch in queue])
        # Nothing below fails: all of it is done, or nothing.
        for batch, shift in zip(resend, shifts):
            batch.discarded += shift
        for batch, flag in zip(both, flags):
            batch.is_piece = flag
            pieces += batch.is_piece
        self.resend, self.queue = resend_deque, queue_deque
        self.queue_bytes = size
        self.repeated += repeated
        self.pieces = pieces
        self.taken -= lost_taken
        self.discarded += lost
        return lost


cdef list fit(SealedBatch batch, Py_ssize_t limit, protocol):
    """Return the batch, or its pieces of at most ``limit`` bytes.

    An event that is too large by itself is a piece without a payload.
    """
    cdef SealedBatch piece
    cdef list pieces = []
    cdef uint64_t offset = batch.offset
    if len(batch.payload) <= limit:
        return [batch]
    for payload, count in split_payload(protocol, batch.payload, limit):
        piece = make_sealed_batch(payload, offset, count, batch.accepted_at)
        piece.confirmed_at = batch.confirmed_at
        piece.discarded = batch.discarded
        piece.is_counted = batch.is_counted
        pieces.append(piece)
        offset += count
    return pieces
