# cython: language_level=3, embedsignature=True, boundscheck=False, wraparound=False
"""The header of a batch: the sender's incarnation, and the offset and number of the events."""

from libc.stdint cimport uint8_t
from libc.string cimport memchr, memcmp

cdef bytes HEADER_START = b"NATS/1.0\r\nFastcoord: "
# Valid as long as the module: HEADER_START keeps a reference to the bytes and is never rebound.
cdef const uint8_t* header_start = HEADER_START
cdef Py_ssize_t header_start_size = len(HEADER_START)
cdef const char* header_name = b"Fastcoord:"
cdef Py_ssize_t header_name_size = 10
# A second header that few messages carry. A reader that ignores it still counts correctly.
cdef const char* note_resend = b"Fastcoord-Note: resend\r\n"
cdef const char* note_goodbye = b"Fastcoord-Note: goodbye\r\n"
cdef const char* note_hello = b"Fastcoord-Note: hello\r\n"
cdef Py_ssize_t note_resend_size = len(note_resend)
cdef Py_ssize_t note_goodbye_size = len(note_goodbye)
cdef Py_ssize_t note_hello_size = len(note_hello)


cdef void read_numbers(
    const uint8_t* position, const uint8_t* end, SequenceHeader* header
) noexcept nogil:
    """Read the numbers of the header, and the note if it is the next line."""
    header.state = HEADER_MALFORMED
    position = read_decimal(position, end, &header.incarnation)
    if position == NULL or position >= end or position[0] != c'.':
        return
    position = read_decimal(position + 1, end, &header.offset)
    if position == NULL or position >= end or position[0] != c'.':
        return
    position = read_decimal(position + 1, end, &header.count)
    if position == NULL or position >= end or position[0] != c'.':
        return
    position = read_decimal(position + 1, end, &header.discarded)
    if position == NULL:
        return
    while position < end and (position[0] == c' ' or position[0] == c'\t'):
        position += 1
    if position >= end or position[0] != c'\r':
        return
    # The end of the batch must be an offset as well: no node publishes 2**64 events.
    if header.offset + header.count < header.offset:
        return
    header.state = HEADER_PRESENT
    # Behind this line's end comes a note or, usually, the empty line that ends the block. If the
    # block ends at the CR, `end - position` is negative and nothing is compared.
    position += 2
    if end - position >= note_resend_size and memcmp(position, note_resend, note_resend_size) == 0:
        header.is_resend = True
    elif (
        end - position >= note_goodbye_size
        and memcmp(position, note_goodbye, note_goodbye_size) == 0
    ):
        header.is_goodbye = True
    elif end - position >= note_hello_size and memcmp(position, note_hello, note_hello_size) == 0:
        header.is_hello = True


cdef void read_sequence_header(
    const uint8_t* block, Py_ssize_t size, SequenceHeader* header
) noexcept nogil:
    """Find and read the ``Fastcoord`` header, on whichever line of a NATS header block it is.

    ``block`` points into the read buffer and is not used after the call.
    """
    cdef const uint8_t* end = block + size
    cdef const uint8_t* line = block
    cdef const uint8_t* line_end
    header.state = HEADER_ABSENT
    header.is_resend = header.is_goodbye = header.is_hello = False
    if (
        size > header_start_size
        and memcmp(block, header_start, header_start_size) == 0
        and c'0' <= block[header_start_size] <= c'9'
    ):
        read_numbers(block + header_start_size, end, header)
        return
    while line < end:
        line_end = <const uint8_t*>memchr(line, c'\n', end - line)
        if line_end == NULL:
            line_end = end
        if (
            line_end - line > header_name_size
            and memcmp(line, header_name, header_name_size) == 0
        ):
            line += header_name_size
            while line < line_end and (line[0] == c' ' or line[0] == c'\t'):
                line += 1
            read_numbers(line, end, header)
            return
        line = line_end + 1


cdef bytes note_line(note):
    """Return the second header's line for a note; empty for ``None``.

    :raises ValueError: the note is unknown.
    """
    if note is None:
        return b""
    if note == "resend":
        return note_resend
    if note == "goodbye":
        return note_goodbye
    if note == "hello":
        return note_hello
    raise ValueError(f"unknown note {note!r}: use 'resend', 'goodbye' or 'hello'")
