# cython: language_level=3, embedsignature=True, boundscheck=False, wraparound=False
"""The sequence header of a batch.

::

    F:<version><protocol><note><incarnation>.<offset>[.<count>[.<discarded>[.<connection>[.<silence>]]]]

``version`` is ``1``. ``protocol`` and ``note`` are one letter each. The numbers are written in base
64, with the digits ``0-9 A-Z a-z - _``. If they are omitted, ``count`` is 1 and the others are 0.
"""

from libc.stdint cimport int8_t, uint8_t, uint32_t
from libc.string cimport memchr, memcmp, memset

cdef enum:
    NO_DIGIT = -1

cdef bytes HEADER_START = b"NATS/1.0\r\nF:"
# The pointer is valid as long as the module: HEADER_START refers to the bytes and is not rebound.
cdef const uint8_t* header_start = HEADER_START
cdef Py_ssize_t header_start_size = len(HEADER_START)

cdef bytes DIGITS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
cdef const uint8_t* digits = DIGITS
cdef int8_t[256] value_of
memset(value_of, NO_DIGIT, 256)
for _value, _digit in enumerate(DIGITS):
    value_of[<int>_digit] = <int8_t>_value

cdef dict NOTES = {
    None: b"e",
    "resend": b"r",
    "goodbye": b"g",
    "hello": b"h",
    "who": b"w",
    "progress": b"q",
    "answer": b"a",
}
cdef dict NAMES_OF_NOTES = {letter[0]: name for name, letter in NOTES.items()}
# Whether a letter is a note.
cdef bint[256] is_note
memset(is_note, 0, sizeof(is_note))
for _letter in NAMES_OF_NOTES:
    is_note[<int>_letter] = True


cdef inline const uint8_t* read_digits_64(
    const uint8_t* position, const uint8_t* end, uint64_t* number
) noexcept nogil:
    """Read digits up to the first other byte. Return NULL if there are none or u64 overflows."""
    cdef uint64_t value = 0
    cdef const uint8_t* first = position
    cdef int8_t digit
    while position < end:
        digit = value_of[position[0]]
        if digit < 0:
            break
        if value >> 58:
            return NULL
        value = value << 6 | <uint8_t>digit
        position += 1
    if position == first:
        return NULL
    number[0] = value
    return position


cdef int digits_64_size(uint64_t number) noexcept nogil:
    """Return how many digits a number has in base 64."""
    cdef int size = 1
    while number >= 64:
        number >>= 6
        size += 1
    return size


cdef uint8_t* put_digits_64(uint8_t* target, uint64_t number, int size) noexcept nogil:
    """Write a number that has ``size`` digits in base 64. Return the position behind them."""
    cdef uint8_t* position = target + size
    while position > target:
        position -= 1
        position[0] = digits[number & 63]
        number >>= 6
    return target + size


cdef void read_fields(
    const uint8_t* position, const uint8_t* end, SequenceHeader* header
) noexcept nogil:
    """Read the value of the header. The state is HEADER_MALFORMED unless all fields are valid."""
    cdef uint64_t connection = 0, silence = 0, ignored
    header.state = HEADER_MALFORMED
    if end - position < 4 or position[0] != c'1':
        return
    header.protocol = position[1] - c'a'
    header.note = position[2]
    if header.protocol >= 26 or not is_note[header.note]:
        return
    position = read_digits_64(position + 3, end, &header.incarnation)
    if position == NULL or position >= end or position[0] != c'.':
        return
    position = read_digits_64(position + 1, end, &header.offset)
    header.count = 1
    header.discarded = 0
    if position != NULL and position < end and position[0] == c'.':
        position = read_digits_64(position + 1, end, &header.count)
        if position != NULL and position < end and position[0] == c'.':
            position = read_digits_64(position + 1, end, &header.discarded)
            if position != NULL and position < end and position[0] == c'.':
                position = read_digits_64(position + 1, end, &connection)
                if position != NULL and position < end and position[0] == c'.':
                    position = read_digits_64(position + 1, end, &silence)
    # Later fields of this version are skipped.
    while position != NULL and position < end and position[0] == c'.':
        position = read_digits_64(position + 1, end, &ignored)
    if position == NULL:
        return
    while position < end and (position[0] == c' ' or position[0] == c'\t'):
        position += 1
    if position >= end or position[0] != c'\r':
        return
    # The offset of the next batch must fit into u64 as well.
    if header.offset + header.count < header.offset:
        return
    if connection >> 32 or silence >> 32:
        return
    header.connection = <uint32_t>connection
    header.silence = <uint32_t>silence
    header.state = HEADER_PRESENT


cdef void read_sequence_header(
    const uint8_t* block, Py_ssize_t size, SequenceHeader* header
) noexcept nogil:
    """Find the header ``F`` in a NATS header block and read it."""
    cdef const uint8_t* end = block + size
    cdef const uint8_t* line = block
    cdef const uint8_t* line_end
    header.state = HEADER_ABSENT
    header.block = block
    header.block_size = size
    if (
        size > header_start_size
        and memcmp(block, header_start, header_start_size) == 0
        and block[header_start_size] != c' '
        and block[header_start_size] != c'\t'
    ):
        read_fields(block + header_start_size, end, header)
        return
    while line < end:
        line_end = <const uint8_t*>memchr(line, c'\n', end - line)
        if line_end == NULL:
            line_end = end
        if line_end - line >= 2 and line[0] == c'F' and line[1] == c':':
            line += 2
            while line < line_end and (line[0] == c' ' or line[0] == c'\t'):
                line += 1
            read_fields(line, end, header)
            return
        line = line_end + 1


cdef object name_of_note(uint8_t letter):
    """Return the name of a note: ``None`` for an ordinary batch or a heartbeat."""
    return NAMES_OF_NOTES[letter]


cdef bytes header_fields(protocol, note, uint64_t incarnation):
    """Return the value of the header up to the dot before the offset.

    :raises ValueError: the note is unknown, or the index of the protocol is not from 0 to 25.
    """
    cdef uint8_t[DIGITS_64_SIZE] number
    cdef int size = digits_64_size(incarnation)
    letter = NOTES.get(note)
    if letter is None:
        names = ", ".join(name for name in NOTES if name)
        raise ValueError(f"unknown note {note!r}: use one of {names}")
    if not 0 <= protocol < 26:
        raise ValueError(f"the index of a protocol must be from 0 to 25, not {protocol}")
    put_digits_64(number, incarnation, size)
    return b"1" + bytes([c'a' + protocol]) + letter + (<char*>number)[:size] + b"."
