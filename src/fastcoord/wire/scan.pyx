# cython: language_level=3, embedsignature=True, boundscheck=False, wraparound=False
"""Check and count events without creating them.

The checks are the same as those of decoding. No memory is allocated, except to check a text that
is not ASCII.
"""

from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint8_t, uint64_t

from fastcoord.wire.fields cimport (
    FIELD_ACCOUNTS,
    FIELD_BYTES,
    FIELD_FLAG,
    FIELD_TEXT,
    ITEM_COUNT,
    ITEM_EMAIL_NEGATIVE,
)
from fastcoord.wire.kinds cimport *
from fastcoord.wire.protocol cimport Protocol
from fastcoord.wire.primitives cimport *


cdef bint skip_text(Reader* reader):
    cdef Py_ssize_t size = 0
    if not read_length(reader, &size, 1):
        return False
    if not is_ascii(reader.position, size):
        try:
            PyUnicode_DecodeUTF8(<char*>reader.position, size, NULL)
        except UnicodeDecodeError:
            return fail(reader, FAULT_TEXT, reader.position)
    reader.position += size
    return True


cdef inline bint is_padded(const uint8_t* first, const uint8_t* end) noexcept nogil:
    """Return whether an integer has more bytes than it needs: its last byte is zero."""
    return end - first > 1 and (end - 1)[0] == 0


cdef bint skip_accounts(Reader* reader, Py_ssize_t count, bint* is_shortest) noexcept nogil:
    cdef uint64_t number = 0
    cdef const uint8_t* first
    while count > 0:
        first = reader.position
        if not read_u32(reader, &number):
            return False
        if is_padded(first, reader.position):
            is_shortest[0] = False
        count -= 1
    return True


cdef bint skip_items(Reader* reader, Py_ssize_t count, bint* is_shortest) noexcept nogil:
    cdef uint64_t number = 0
    cdef const uint8_t* first
    cdef uint8_t marker
    while count > 0:
        if remaining(reader) < 1:
            return fail(reader, FAULT_TRUNCATED, reader.position)
        marker = reader.position[0]
        if marker >= ITEM_COUNT:
            return fail(reader, FAULT_ITEM, reader.position)
        reader.position += 1
        first = reader.position
        if not read_u32(reader, &number):
            return False
        if is_padded(first, reader.position):
            is_shortest[0] = False
        if marker == ITEM_EMAIL_NEGATIVE:
            first = reader.position
            if not read_u32(reader, &number):
                return False
            if is_padded(first, reader.position):
                is_shortest[0] = False
        count -= 1
    return True


cdef bint skip_list(Reader* reader, int type, bint* is_shortest) noexcept nogil:
    cdef Py_ssize_t count = 0
    cdef const uint8_t* first = reader.position
    if not read_length(reader, &count, 1 if type == FIELD_ACCOUNTS else 2):
        return False
    if is_padded(first, reader.position):
        is_shortest[0] = False
    if type == FIELD_ACCOUNTS:
        return skip_accounts(reader, count, is_shortest)
    return skip_items(reader, count, is_shortest)


cdef bint skip_field(Reader* reader, const Kind* kind, int slot) except -1:
    cdef uint64_t number = 0
    cdef Py_ssize_t size = 0
    cdef bint is_shortest = True
    cdef int type = kind.types[slot]
    if type < FIELD_FLAG:
        return read_uint(reader, &number, kind.largest[slot], kind.most_bytes[slot])
    elif type == FIELD_FLAG:
        return True
    elif type == FIELD_TEXT:
        return skip_text(reader)
    elif type == FIELD_BYTES:
        if not read_length(reader, &size, 1):
            return False
        reader.position += size
        return True
    return skip_list(reader, type, &is_shortest)


cdef inline bint skip_three(Reader* reader, const Kind* kind) noexcept nogil:
    """Skip three integers if they lie within 16 bytes; otherwise return False and read nothing."""
    cdef const uint8_t* first
    cdef const uint8_t* second
    cdef const uint8_t* third
    if not (
        find_three(reader, &first, &second, &third)
        and first - reader.position < kind.safe_bytes[0]
        and second - first <= kind.safe_bytes[1]
        and third - second <= kind.safe_bytes[2]
    ):
        return False
    reader.position = third + 1
    return True


cdef bint skip_event(Protocol protocol, Reader* reader) except -1:
    """Skip one event with every check of ``decode_event``, without creating an object."""
    cdef const uint8_t* where = reader.position
    cdef int code = protocol.code_of_tag[where[0]]
    cdef const Kind* kind = kinds[code]
    cdef int slot
    if code == NO_KIND:
        return fail(reader, FAULT_TAG, where)
    reader.position += 1
    if kind.has_three_numbers and skip_three(reader, kind):
        return True
    for slot in range(kind.count):
        if not skip_field(reader, kind, slot):
            return False
    return True


cdef Py_ssize_t count_events(Protocol protocol, Reader* reader) except -1:
    """Count the well-formed events up to the end or the first fault.

    After a fault, ``position`` is where the malformed event starts.
    """
    cdef Py_ssize_t count = 0
    cdef int tag = protocol.tag_of[STATE_CHANGE]
    cdef const uint8_t* where
    while reader.position < reader.end:
        where = reader.position
        if where[0] == tag:
            count += skip_records(&reader.position, reader.end, <uint8_t>tag)
            if reader.position > where:
                continue
        if not skip_event(protocol, reader):
            reader.position = where
            return count
        count += 1
    return count
