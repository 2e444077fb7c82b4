# cython: language_level=3, embedsignature=True, boundscheck=False, wraparound=False
"""The one header that batches carry: a sender's run, and which of its events these are."""

from libc.stdint cimport uint8_t
from libc.string cimport memchr, memcmp

cdef bytes HEADER_START = b"NATS/1.0\r\nFastcoord: "
cdef const uint8_t* header_start = HEADER_START
cdef Py_ssize_t header_start_size = len(HEADER_START)
cdef const char* header_name = b"Fastcoord:"
# A second header that few messages carry; readers that do not know it lose nothing by that.
cdef const char* note_resend = b"Fastcoord-Note: resend\r\n"
cdef const char* note_goodbye = b"Fastcoord-Note: goodbye\r\n"
cdef const char* note_hello = b"Fastcoord-Note: hello\r\n"


cdef void read_numbers(
    const uint8_t* position, const uint8_t* end, SequenceHeader* header
) noexcept nogil:
    header.state = HEADER_MALFORMED
    position = read_decimal(position, end, &header.incarnation)
    if position == NULL or position >= end or position[0] != 46:
        return
    position = read_decimal(position + 1, end, &header.offset)
    if position == NULL or position >= end or position[0] != 46:
        return
    position = read_decimal(position + 1, end, &header.count)
    if position == NULL or position >= end or position[0] != 46:
        return
    position = read_decimal(position + 1, end, &header.discarded)
    if position == NULL:
        return
    while position < end and (position[0] == 32 or position[0] == 9):
        position += 1
    if position >= end or position[0] != 13:
        return
    # An offset so large that adding the count wraps around is no number any node reaches.
    if header.offset + header.count < header.offset:
        return
    header.state = HEADER_PRESENT
    # What follows is the line end of this line and, mostly, the empty line that ends the block.
    position += 2
    if end - position >= 24 and memcmp(position, note_resend, 24) == 0:
        header.is_resend = True
    elif end - position >= 25 and memcmp(position, note_goodbye, 25) == 0:
        header.is_goodbye = True
    elif end - position >= 23 and memcmp(position, note_hello, 23) == 0:
        header.is_hello = True


cdef void read_sequence_header(
    const uint8_t* block, Py_ssize_t size, SequenceHeader* header
) noexcept nogil:
    """Find the ``Fastcoord`` header in a NATS header block, wherever in it it stands."""
    cdef const uint8_t* end = block + size
    cdef const uint8_t* line = block
    cdef const uint8_t* line_end
    header.state = HEADER_ABSENT
    header.is_resend = header.is_goodbye = header.is_hello = False
    if (
        size > header_start_size
        and memcmp(block, header_start, header_start_size) == 0
        and 48 <= block[header_start_size] <= 57
    ):
        read_numbers(block + header_start_size, end, header)
        return
    while line < end:
        line_end = <const uint8_t*>memchr(line, 10, end - line)
        if line_end == NULL:
            line_end = end
        if line_end - line > 10 and memcmp(line, header_name, 10) == 0:
            line += 10
            while line < line_end and (line[0] == 32 or line[0] == 9):
                line += 1
            read_numbers(line, end, header)
            return
        line = line_end + 1


cdef bytes note_line(note):
    """Give the line of the second header for a note, or nothing for ``None``."""
    if note is None:
        return b""
    if note == "resend":
        return note_resend
    if note == "goodbye":
        return note_goodbye
    if note == "hello":
        return note_hello
    raise ValueError(f"there is no note {note!r}")
