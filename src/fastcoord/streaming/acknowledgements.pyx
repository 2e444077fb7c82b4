# cython: language_level=3, embedsignature=True
"""Read the acknowledgements of a stream, and find out up to which event it has everything.

The batches that are published get consecutive numbers, which are the last token of their reply
subjects. A batch is confirmed if it and all batches before it are acknowledged with increasing
stream sequences. So the order in the stream is the order of the sender.

- If a later batch is acknowledged first, the acknowledgement is kept (``has_gap``). The first batch
  may be lost.
- If a batch has a smaller sequence than its predecessor, it was stored while its predecessor was not
  (``is_misplaced``). Its owner must publish it again under a new message id.
- If such a batch is published again under a new message id, and its sequence is smaller again, the
  stream was made anew, and its sequences began anew.

After an error, a gap that stays, or a lost connection, the owner calls ``restart`` and publishes all
unconfirmed batches again under new numbers. Acknowledgements of the old numbers are ignored.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp

from fastcoord.nats.sequence_header cimport SequenceHeader, read_decimal
from fastcoord.wire.sealed_batch cimport SealedBatch

import json

cdef enum:
    FIRST_CAPACITY = 64


cdef class Acknowledgements:
    """The batches that a sender has published on one connection and that are not confirmed.

    :param on_change: called without arguments when something has changed; once until ``seen``.

    :ivar first: the number of the oldest batch that is not confirmed.
    :ivar next: the number of the next batch.
    :ivar confirmed: the offset behind the last confirmed event.
    :ivar sequence: the stream sequence of the last confirmed batch; 0 if none was confirmed.
    :ivar has_gap: whether a later batch than the first was acknowledged.
    :ivar is_misplaced: whether the first batch is stored before its predecessor.
    :ivar error: the body of the first error, ``b""`` if no stream has received the message, or
        ``None``.
    """

    def __init__(self, on_change):
        self.on_change = on_change
        self.first = self.next = 1
        self.prefix = b""
        self.grow()

    def __dealloc__(self):
        PyMem_Free(self.publications)

    def __len__(self):
        """Return how many batches are not confirmed."""
        return self.next - self.first

    cdef int grow(self) except -1:
        cdef uint64_t capacity = 2 * self.capacity if self.capacity else FIRST_CAPACITY
        cdef uint64_t number
        cdef Publication* publications = <Publication*>PyMem_Malloc(capacity * sizeof(Publication))
        if publications == NULL:
            raise MemoryError("no memory for the batches that are not confirmed")
        for number in range(self.first, self.next):
            publications[number & (capacity - 1)] = self.publications[number & (self.capacity - 1)]
        PyMem_Free(self.publications)
        self.publications = publications
        self.capacity = capacity
        return 0

    def add(self, list batches not None):
        """Add batches that are published next.

        :param batches: the ``SealedBatch`` objects, in the order of sending.
        :return: the number of the first one.
        """
        cdef SealedBatch batch
        cdef uint64_t number = self.next
        for batch in batches:
            if self.next - self.first == self.capacity:
                self.grow()
            self.publications[self.next & (self.capacity - 1)] = Publication(
                batch.offset + batch.count, 0
            )
            self.next += 1
        return number

    def restart(self):
        """Forget all batches that are not confirmed; their acknowledgements are ignored."""
        self.first = self.next
        self.has_gap = self.is_misplaced = False
        self.error = None

    def begin_run(self):
        """Forget the offsets of a run that has ended; the next one begins at 0."""
        self.restart()
        self.confirmed = 0

    def seen(self):
        """Allow the next call of ``on_change``."""
        self.is_notified = False

    cdef int take(
        self,
        const uint8_t* subject,
        Py_ssize_t subject_size,
        SequenceHeader* header,
        const uint8_t* payload,
        Py_ssize_t size,
    ) except -1:
        """Read one acknowledgement. All pointers are valid during the call only."""
        cdef const uint8_t* end = subject + subject_size
        cdef const uint8_t* start = end
        cdef const uint8_t* position
        cdef uint64_t number = 0
        cdef uint64_t sequence = 0
        cdef Py_ssize_t prefix_size = PyBytes_GET_SIZE(self.prefix)
        while start > subject and (start - 1)[0] != c'.':
            start -= 1
        if read_decimal(start, end, &number) != end:
            return 0
        if number < self.first or number >= self.next:
            return 0
        if (
            prefix_size
            and header.block_size == 0
            and size > prefix_size
            and memcmp(payload, PyBytes_AS_STRING(self.prefix), prefix_size) == 0
        ):
            end = payload + size
            position = read_decimal(payload + prefix_size, end, &sequence)
            if position != NULL and position + 1 == end and position[0] == c'}':
                return self.store(number, sequence, False)
        return self.read_other(number, header, payload, size)

    cdef int read_other(
        self, uint64_t number, SequenceHeader* header, const uint8_t* payload, Py_ssize_t size
    ) except -1:
        """Read an acknowledgement that does not have the usual form, or an error."""
        cdef bytes text = PyBytes_FromStringAndSize(<char*>payload, size)
        try:
            answer = json.loads(text)
            sequence = int(answer["seq"])
            is_error = "error" in answer or not 0 < sequence < 1 << 63
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            is_error = True
        if is_error:
            if self.error is None:
                self.error = text
            return self.notify()
        is_duplicate = bool(answer.get("duplicate"))
        if not is_duplicate:
            # Further acknowledgements of this stream begin with the same bytes.
            found = text.find(b'"seq":')
            if found >= 0:
                found += len(b'"seq":')
                while text[found:found + 1] == b" ":
                    found += 1
                self.prefix = text[:found]
        else:
            self.duplicates += 1
        return self.store(number, sequence, is_duplicate)

    cdef int store(self, uint64_t number, uint64_t sequence, bint is_duplicate) except -1:
        cdef Publication* publication
        self.acknowledged += 1
        self.publications[number & (self.capacity - 1)].sequence = sequence
        if number != self.first:
            self.has_gap = True
            return self.notify()
        while self.first < self.next:
            publication = &self.publications[self.first & (self.capacity - 1)]
            if publication.sequence == 0:
                break
            if publication.sequence <= self.sequence:
                if is_duplicate or not self.was_misplaced:
                    self.is_misplaced = self.was_misplaced = True
                    return self.notify()
                # It was stored anew after its predecessor was acknowledged.
            self.was_misplaced = False
            self.sequence = publication.sequence
            self.confirmed = publication.end
            self.first += 1
        if self.has_gap:
            self.has_gap = self.has_later()
        return self.notify()

    cdef bint has_later(self):
        cdef uint64_t number
        for number in range(self.first, self.next):
            if self.publications[number & (self.capacity - 1)].sequence:
                return True
        return False

    cdef int notify(self) except -1:
        if not self.is_notified:
            self.is_notified = True
            self.on_change()
        return 0
