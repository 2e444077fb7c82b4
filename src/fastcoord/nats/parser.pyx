# cython: language_level=3, embedsignature=True, boundscheck=False, wraparound=False
"""Parses the NATS client protocol and separates messages from control lines.

``Parser`` owns the memory into which the socket is read. It passes MSG and HMSG frames to a sink
without copying them. It passes all other lines, the control lines, to a callback.
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
    # nats-server's default limit for a protocol line is 4 KiB; only INFO may be longer.
    MAX_MESSAGE_LINE = 4096
    MAX_CONTROL_LINE = 1 << 20


class FrameError(Exception):
    """The bytes do not follow the NATS protocol; the rest of the stream cannot be parsed."""


cdef class MessageSink:
    """Receives the messages of a parser.

    A compiled subclass overrides ``message``; a Python subclass overrides ``take``.

    :ivar now: the time of the last read, on the event loop's clock, in seconds.
    :ivar received_at: the same time in seconds since the epoch.
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
        # The bytes are copied, because the pointers are valid during this call only.
        numbers = None
        if header.state == HEADER_MALFORMED:
            numbers = "malformed"
        elif header.state == HEADER_PRESENT:
            numbers = (
                header.incarnation,
                header.offset,
                header.count,
                header.discarded,
                header.connection,
                header.silence,
            )
        self.take(
            sid,
            PyBytes_FromStringAndSize(<char*>reply, reply_size),
            numbers,
            PyBytes_FromStringAndSize(<char*>payload, size),
        )
        return 0

    def take(self, sid, reply, numbers, payload):
        """Receive one message; the base class drops it.

        :param sid: the subscription id.
        :param reply: the reply subject, or ``b""``.
        :param numbers: ``(incarnation, offset, count, discarded, connection, silence)`` of the
            sequence header; ``None`` if the message has none; ``"malformed"`` if the header cannot
            be read.
        :param payload: the payload.
        """


cdef class Parser:
    """Parses the bytes of one connection.

    The parser supports the buffer protocol: ``memoryview(parser)`` is the memory for one read.
    After the read, the caller passes the number of bytes to ``feed``. The memory does not move
    while a view of it exists.

    :param sink: receives the messages.
    :param control: called with the bytes of every control line. While ``is_bypassed`` is true, it
        is called with all bytes.
    :param read_size: the most bytes that one read returns.
    :param max_payload: the size of the largest valid message, in bytes, headers included.
    :raises ValueError: ``read_size`` is less than 1.
    """

    def __init__(self, MessageSink sink, control, *, Py_ssize_t read_size, Py_ssize_t max_payload=1 << 26):
        if read_size < 1:
            raise ValueError(f"read_size must be at least 1, not {read_size}")
        self.sink = sink
        self.control = control
        self.read_size = read_size
        self.max_payload = max_payload
        self.reserve(read_size)

    def __dealloc__(self):
        PyMem_Free(self.buffer)

    def __getbuffer__(self, Py_buffer* view, int flags):
        self.reserve(self.read_size)
        # The view holds a reference to this object, so the memory outlives it.
        PyBuffer_FillInfo(view, self, self.buffer + self.end, self.read_size, False, flags)
        self.lent += 1

    def __releasebuffer__(self, Py_buffer* view):
        self.lent -= 1

    cdef int reserve(self, Py_ssize_t size) except -1:
        """Make at least ``size`` bytes free behind ``end``."""
        cdef Py_ssize_t held = self.end - self.start
        cdef Py_ssize_t capacity
        if self.lent or self.end + size <= self.capacity:
            if self.lent and self.end + size > self.capacity:
                raise BufferError("a view of the read buffer was not released")
            return 0
        capacity = self.capacity
        # The buffer grows only if moving the unconsumed bytes to the front does not free enough
        # bytes, or if an incomplete message needs more.
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

    def feed(self, Py_ssize_t size):
        """Parse ``size`` bytes that were read into the buffer.

        :raises FrameError: the bytes do not follow the NATS protocol.
        :raises ValueError: the memory for one read has fewer than ``size`` bytes.
        """
        if size < 0 or size > self.read_size or self.end + size > self.capacity:
            raise ValueError(f"{size} bytes do not fit into the buffer of one read")
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
        """Copy bytes that were not read into the buffer to it, and parse them."""
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
        """Pass all unconsumed bytes to ``control`` without parsing them."""
        cdef Py_ssize_t held = self.end - self.start
        if held:
            data = PyBytes_FromStringAndSize(<char*>self.buffer + self.start, held)
            self.start = self.end = 0
            self.wanted = 0
            self.control(data)

    cdef Py_ssize_t parse(self) except -1:
        """Consume every complete frame in the buffer."""
        cdef const uint8_t* line
        cdef const uint8_t* line_end
        cdef Py_ssize_t ready, line_size, taken
        while self.start < self.end:
            # The pointer is computed in each iteration, because `control` and the sink may call
            # this parser, and `reserve` may move the memory.
            line = self.buffer + self.start
            ready = self.end - self.start
            line_end = <const uint8_t*>memchr(line, c'\n', ready)
            # The limit applies to incomplete lines too, so that it does not depend on the reads.
            line_size = ready if line_end == NULL else line_end - line
            if line_size > MAX_CONTROL_LINE or (
                line_size > MAX_MESSAGE_LINE and (line[0] == c'M' or line[0] == c'H')
            ):
                raise FrameError(f"a protocol line is longer than {line_size} bytes")
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
                # `parse_message` has set `wanted` to the size of the message without its line.
                self.wanted += line_size
                return 0
        return 0

    cdef Py_ssize_t parse_message(
        self, const uint8_t* line, Py_ssize_t line_size, bint has_header, Py_ssize_t ready
    ) except -2:
        """Deliver one message; return its size without its line, or -1 if it is incomplete.

        The line is ``<subject> <sid> [reply] [header size] <total size>``. All pointers point
        into the read buffer. They are valid until this method returns, because a sink never reads
        from the socket.
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
        if end > line and (end - 1)[0] == c'\r':
            end -= 1
        while position < end:
            while position < end and (position[0] == c' ' or position[0] == c'\t'):
                position += 1
            if position == end:
                break
            if token_count == 5:
                raise FrameError("a message line has too many words")
            tokens[token_count] = position
            while position < end and position[0] != c' ' and position[0] != c'\t':
                position += 1
            sizes[token_count] = position - tokens[token_count]
            token_count += 1
        if token_count == wanted_tokens + 1:
            reply = tokens[2]
            reply_size = sizes[2]
        elif token_count != wanted_tokens:
            raise FrameError("a message line has too few or too many words")
        if read_decimal(tokens[1], tokens[1] + sizes[1], &sid) != tokens[1] + sizes[1]:
            raise FrameError("a message line has no valid subscription id")
        position = tokens[token_count - 1]
        if read_decimal(position, end, &total) != end:
            raise FrameError("a message line has no valid size")
        if has_header:
            position = tokens[token_count - 2]
            if read_decimal(position, end, &header_size) != position + sizes[token_count - 2]:
                raise FrameError("a message line has no valid header size")
        if total > <uint64_t>self.max_payload or header_size > total:
            raise FrameError(f"a message claims {total} bytes, {header_size} of them headers")
        if ready < <Py_ssize_t>total + 2:
            self.wanted = <Py_ssize_t>total + 2
            return -1
        if body[total] != c'\r' or body[total + 1] != c'\n':
            raise FrameError("no line end follows a message of the declared size")
        if has_header:
            read_sequence_header(body, <Py_ssize_t>header_size, &header)
        else:
            header.state = HEADER_ABSENT
            header.block = body
            header.block_size = 0
        # The message is consumed first, so that it is not delivered again if the sink raises. The
        # pointers stay valid, because only `reserve` moves the memory.
        self.start = body + total + 2 - self.buffer
        self.wanted = 0
        self.sink.subject = tokens[0]
        self.sink.subject_size = sizes[0]
        self.sink.message(
            sid,
            reply,
            reply_size,
            &header,
            body + header_size,
            <Py_ssize_t>(total - header_size),
        )
        return <Py_ssize_t>total + 2
