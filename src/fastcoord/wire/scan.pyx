# cython: language_level=3, embedsignature=True, boundscheck=False, wraparound=False
"""Past events, without making any: every check of decoding, and nothing allocated."""

from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint8_t, uint64_t

from fastcoord.wire.events cimport *
from fastcoord.wire.fields cimport ITEM_COUNT, ITEM_EMAIL_NEGATIVE
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
    """Whether an integer takes more bytes than it needs: its last one adds nothing."""
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


cdef bint skip_event(Protocol protocol, Reader* reader):
    """Step over one event, with every check of ``decode_event`` and no object made."""
    cdef const uint8_t* where = reader.position
    cdef int code = protocol.code_of[where[0]]
    cdef uint64_t number = 0
    cdef Py_ssize_t count = 0
    cdef bint is_shortest = True
    cdef const uint8_t* first
    cdef const uint8_t* second
    cdef const uint8_t* third
    reader.position += 1
    if code == STATE_CHANGE:
        if (
            find_three(reader, &first, &second, &third)
            and first - reader.position < 9
            and second - first <= 9
            and third - second <= 4
        ):
            reader.position = third + 1
            return True
        return read_u64(reader, &number) and read_u64(reader, &number) and read_u32(reader, &number)
    elif code == EMAIL_PUSH:
        if (
            find_three(reader, &first, &second, &third)
            and first - reader.position < 4
            and second - first <= 4
            and third - second <= 9
        ):
            reader.position = third + 1
            return True
        return read_u32(reader, &number) and read_u32(reader, &number) and read_u64(reader, &number)
    elif code == CALENDAR_ALERT:
        return (
            read_u32(reader, &number)
            and read_u32(reader, &number)
            and read_u64(reader, &number)
            and skip_text(reader)
            and skip_text(reader)
        )
    elif code == INVALIDATE_ACCESS_TOKENS or code == INVALIDATE_GROUPWARE_CACHE:
        return read_length(reader, &count, 1) and skip_accounts(reader, count, &is_shortest)
    elif code == RELOAD_PUSH_SERVERS or code == PUSH_SERVER_UPDATE:
        return read_u32(reader, &number)
    elif code == REGISTRY_INSERT or code == REGISTRY_DELETE:
        return read_u16(reader, &number) and read_u64(reader, &number)
    elif code == REGISTRY_RELOAD:
        return read_u16(reader, &number)
    elif code == CACHE_INVALIDATE:
        return read_length(reader, &count, 2) and skip_items(reader, count, &is_shortest)
    elif code == APP_EVENT:
        if not (read_u16(reader, &number) and read_length(reader, &count, 1)):
            return False
        reader.position += count
        return True
    elif code == UNMADE:
        reader.position = where
        return fail(reader, FAULT_TAG, where)
    return True


cdef Py_ssize_t count_events(Protocol protocol, Reader* reader):
    """Count the well-formed events up to the end or the first fault.

    After a fault, ``position`` is where the malformed event starts.
    """
    cdef Py_ssize_t count = 0
    cdef int tag = protocol.tag_of[<int>STATE_CHANGE]
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
