# cython: language_level=3, embedsignature=True, boundscheck=False, wraparound=False
"""Splits the bytes of a connection into messages and control lines.

Protocol lines are those of the NATS client protocol. ``Parser`` owns the memory that the socket is
read into. It passes MSG and HMSG frames to its sink without copying them, and every other line to
its owner, so that nats-py sees a connection on which only control lines travel.
"""

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy, memmove

from fastcoord.nats.sequence_header cimport (
    HEADER_ABSENT,
    HEADER_MALFORMED,
    HEADER_PRESENT,
    SequenceHeader,
    read_decimal,
    read_sequence_header,
)

cdef enum:
    # nats-server refuses control lines over 4 KiB by default; INFO alone may be longer.
    MAX_MESSAGE_LINE = 4096
    MAX_CONTROL_LINE = 1 << 20


class FrameError(Exception):
    """The bytes of a connection are not the NATS protocol; the connection cannot be used further."""


cdef class MessageSink:
    """Takes the messages of a parser.

    A compiled subclass overrides ``message``; a Python subclass overrides ``take``.

    :ivar now: the time of the last read, on the loop's clock.
    :ivar received_at: the same in seconds since the epoch.
    """

    cdef int message(
        self,
        uint64_t sid,
        const uint8_t* reply,
        Py_ssize_t reply_size,
        SequenceHeader* header,
        const uint8_t* payload,
        Py_ssize_t size,
    ) except -1:
        # The pointers are into the read buffer and are valid during this call only: copy.
        numbers = None
        if header.state == HEADER_MALFORMED:
            numbers = "malformed"
        elif header.state == HEADER_PRESENT:
            numbers = (header.incarnation, header.offset, header.count, header.discarded)
        self.take(
            sid,
            PyBytes_FromStringAndSize(<char*>reply, reply_size),
            numbers,
            PyBytes_FromStringAndSize(<char*>payload, size),
        )
        return 0

    def take(self, sid, reply, numbers, payload):
        """Take one message; the base class drops it.

        :param numbers: ``(incarnation, offset, count, discarded)`` of the sequence header, ``None``
            without one, ``"malformed"`` when it cannot be read.
        """


cdef class Parser:
    """Cuts the bytes of one connection into messages and control lines.

    The object is itself the buffer that the socket is read into: lend it (``memoryview(parser)``)
    for one read, then say with ``feed`` how many bytes arrived. While it is lent it does not move
    its memory.

    :param sink: takes the messages.
    :param control: called with the bytes of every other line, and with everything while
        ``is_bypassed``.
    :param read_size: how many bytes one read may bring.
    :param max_payload: a frame that claims more is an error.
    """

    def __init__(self, MessageSink sink, control, *, Py_ssize_t read_size, Py_ssize_t max_payload=1 << 26):
        if read_size < 1:
            raise ValueError("a read must be able to bring at least one byte")
        self.sink = sink
        self.control = control
        self.read_size = read_size
        self.max_payload = max_payload
        self.reserve(read_size)

    def __dealloc__(self):
        PyMem_Free(self.buffer)

    def __getbuffer__(self, Py_buffer* view, int flags):
        self.reserve(self.read_size)
        PyBuffer_FillInfo(view, self, self.buffer + self.end, self.read_size, False, flags)
        self.lent += 1

    def __releasebuffer__(self, Py_buffer* view):
        self.lent -= 1

    cdef int reserve(self, Py_ssize_t size) except -1:
        cdef Py_ssize_t held = self.end - self.start
        cdef Py_ssize_t capacity
        if self.lent or self.end + size <= self.capacity:
            if self.lent and self.end + size > self.capacity:
                raise BufferError("the read buffer is still lent from the read before")
            return 0
        capacity = self.capacity
        # Moving what is left to the front is enough unless a large message is being put together.
        while held + size > capacity or (self.wanted and self.wanted + size > capacity):
            capacity = capacity * 2 if capacity else 2 * size
        if self.start:
            memmove(self.buffer, self.buffer + self.start, held)
            self.start = 0
            self.end = held
        if capacity != self.capacity:
            grown = <uint8_t*>PyMem_Realloc(self.buffer, capacity)
            if grown == NULL:
                raise MemoryError(f"no memory for a read buffer of {capacity} bytes")
            self.buffer = grown
            self.capacity = capacity
        return 0

    @property
    def held(self):
        """How many bytes of an unfinished frame wait for the rest."""
        return self.end - self.start

    def feed(self, Py_ssize_t size):
        """Take the ``size`` bytes that were read into the lent buffer.

        :raises FrameError: they are not the NATS protocol.
        """
        if size < 0 or size > self.read_size or self.end + size > self.capacity:
            raise ValueError("more bytes than the buffer that was lent")
        self.end += size
        if self.is_bypassed:
            self.release()
            return
        if self.wanted and self.end - self.start < self.wanted:
            return
        self.parse()
        if self.start == self.end:
            self.start = self.end = 0

    def feed_bytes(self, data):
        """Take bytes that were read elsewhere: cut into reads of at most ``read_size``."""
        cdef Py_ssize_t position = 0
        cdef Py_ssize_t size
        cdef const uint8_t[::1] view = data
        while position < view.shape[0]:
            size = min(self.read_size, view.shape[0] - position)
            self.reserve(self.read_size)
            memcpy(self.buffer + self.end, &view[position], size)
            self.feed(size)
            position += size

    def release(self):
        """Give all that is held to ``control``, unread."""
        cdef Py_ssize_t held = self.end - self.start
        if held:
            data = PyBytes_FromStringAndSize(<char*>self.buffer + self.start, held)
            self.start = self.end = 0
            self.wanted = 0
            self.control(data)

    cdef Py_ssize_t parse(self) except -1:
        """Consume every whole frame that the buffer holds."""
        cdef const uint8_t* line
        cdef const uint8_t* line_end
        cdef Py_ssize_t ready, line_size, taken
        while self.start < self.end:
            line = self.buffer + self.start
            ready = self.end - self.start
            line_end = <const uint8_t*>memchr(line, 10, ready)
            # Looked at with and without its end: how the reads were cut must make no difference.
            line_size = ready if line_end == NULL else line_end - line
            if line_size > MAX_CONTROL_LINE or (
                line_size > MAX_MESSAGE_LINE and (line[0] == 77 or line[0] == 72)
            ):
                raise FrameError(f"a protocol line runs on past {line_size} bytes")
            if line_end == NULL:
                self.wanted = 0
                return 0
            line_size += 1
            if ready >= 4 and memcmp(line, b"MSG ", 4) == 0:
                taken = self.parse_message(line + 4, line_size - 4, False, ready - line_size)
            elif ready >= 5 and memcmp(line, b"HMSG ", 5) == 0:
                taken = self.parse_message(line + 5, line_size - 5, True, ready - line_size)
            else:
                data = PyBytes_FromStringAndSize(<char*>line, line_size)
                self.start += line_size
                self.control(data)
                if self.is_bypassed:
                    self.release()
                    return 0
                continue
            if taken < 0:
                # The rest of the payload is still under way; how much is known now.
                self.wanted += line_size
                return 0
            self.start += line_size + taken
            self.wanted = 0
        return 0

    cdef Py_ssize_t parse_message(
        self, const uint8_t* line, Py_ssize_t line_size, bint has_header, Py_ssize_t ready
    ) except -2:
        """Deliver one message; give the bytes behind its line, or -1 while some are missing.

        The line is ``<subject> <sid> [reply] [header size] <total size>``.
        """
        cdef const uint8_t* tokens[5]
        cdef Py_ssize_t sizes[5]
        cdef Py_ssize_t token_count = 0
        cdef const uint8_t* position = line
        cdef const uint8_t* end = line + line_size - 1
        cdef const uint8_t* reply = NULL
        cdef Py_ssize_t reply_size = 0
        cdef uint64_t sid = 0
        cdef uint64_t header_size = 0
        cdef uint64_t total = 0
        cdef const uint8_t* body = line + line_size
        cdef SequenceHeader header
        cdef Py_ssize_t wanted_tokens = 4 if has_header else 3
        if end > line and (end - 1)[0] == 13:
            end -= 1
        while position < end:
            while position < end and (position[0] == 32 or position[0] == 9):
                position += 1
            if position == end:
                break
            if token_count == 5:
                raise FrameError("a message line has too many words")
            tokens[token_count] = position
            while position < end and position[0] != 32 and position[0] != 9:
                position += 1
            sizes[token_count] = position - tokens[token_count]
            token_count += 1
        if token_count == wanted_tokens + 1:
            reply = tokens[2]
            reply_size = sizes[2]
        elif token_count != wanted_tokens:
            raise FrameError("a message line has too few or too many words")
        if read_decimal(tokens[1], tokens[1] + sizes[1], &sid) != tokens[1] + sizes[1]:
            raise FrameError("a message line without a subscription id")
        position = tokens[token_count - 1]
        if read_decimal(position, end, &total) != end:
            raise FrameError("a message line without a size")
        if has_header:
            position = tokens[token_count - 2]
            if read_decimal(position, end, &header_size) != position + sizes[token_count - 2]:
                raise FrameError("a message line without a header size")
        if total > <uint64_t>self.max_payload or header_size > total:
            raise FrameError(f"a message claims {total} bytes, {header_size} of them headers")
        if ready < <Py_ssize_t>total + 2:
            self.wanted = <Py_ssize_t>total + 2
            return -1
        if body[total] != 13 or body[total + 1] != 10:
            raise FrameError("a message does not end where its size says")
        header.state = HEADER_ABSENT
        header.is_resend = header.is_goodbye = header.is_hello = False
        if has_header:
            read_sequence_header(body, <Py_ssize_t>header_size, &header)
        self.sink.message(
            sid,
            reply,
            reply_size,
            &header,
            body + header_size,
            <Py_ssize_t>(total - header_size),
        )
        return <Py_ssize_t>total + 2
