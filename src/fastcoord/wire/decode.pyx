# cython: language_level=3, embedsignature=True, boundscheck=False, wraparound=False
"""Decode bytes to events.

Reading stops at the first malformed byte. No memory is allocated for a length that exceeds the
payload.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_Occurred
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from fastcoord.wire.construction cimport end_event, make_event, pools
from fastcoord.wire.fields cimport (
    FIELD_ACCOUNTS,
    FIELD_BYTES,
    FIELD_FLAG,
    FIELD_TEXT,
    unpack_accounts,
    unpack_items,
)
from fastcoord.wire.kinds cimport *
from fastcoord.wire.pool cimport pool_take
from fastcoord.wire.protocol cimport Protocol
from fastcoord.wire.scan cimport skip_list
from fastcoord.wire.primitives cimport *

from fastcoord.wire.events import EVENT_TYPES

cdef extern from "Python.h":
    str PyUnicode_New(Py_ssize_t size, Py_UCS4 largest)
    void* PyUnicode_DATA(object) noexcept


cdef str read_text(Reader* reader):
    """Read a str; return None and set the fault if it is malformed."""
    cdef Py_ssize_t size = 0
    cdef str text
    if not read_length(reader, &size, 1):
        return None
    if is_ascii(reader.position, size):
        text = PyUnicode_New(size, 127)
        memcpy(PyUnicode_DATA(text), reader.position, size)
        reader.position += size
        return text
    try:
        text = PyUnicode_DecodeUTF8(<char*>reader.position, size, NULL)
    except UnicodeDecodeError:
        fail(reader, FAULT_TEXT, reader.position)
        return None
    reader.position += size
    return text


cdef bytes read_bytes(Reader* reader):
    cdef Py_ssize_t size = 0
    cdef bytes content
    if not read_length(reader, &size, 1):
        return None
    content = PyBytes_FromStringAndSize(<char*>reader.position, size)
    reader.position += size
    return content


cdef object read_list(Reader* reader, int type):
    """Check a list and return its bytes, which are unpacked when the field is first read.

    Encoding copies these bytes, so they are kept only in their shortest form. A list with padded
    integers is unpacked at once.
    """
    cdef bint is_shortest = True
    cdef const uint8_t* first = reader.position
    if not skip_list(reader, type, &is_shortest):
        return None
    packed = PyBytes_FromStringAndSize(<char*>first, reader.position - first)
    if is_shortest:
        return packed
    return unpack_accounts(packed) if type == FIELD_ACCOUNTS else unpack_items(packed)


cdef object read_object(Reader* reader, int type):
    if type == FIELD_TEXT:
        return read_text(reader)
    if type == FIELD_BYTES:
        return read_bytes(reader)
    return read_list(reader, type)


cdef inline bint read_three(
    Reader* reader, const Kind* kind, Field* fields
) noexcept nogil:
    """Read three integers if they lie within 16 bytes; otherwise return False and read nothing.

    A u32 of at most 4 bytes and a u64 of at most 8 bytes cannot exceed their widths, so no value
    has to be checked.
    """
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
    fold_three(
        reader.position,
        first,
        second,
        third,
        &fields[0].number,
        &fields[1].number,
        &fields[2].number,
    )
    reader.position = third + 1
    return True


cdef inline bint read_number(
    Reader* reader, const Kind* kind, int slot, Field* fields
) noexcept nogil:
    return read_uint(reader, &fields[slot].number, kind.largest[slot], kind.most_bytes[slot])


cdef bint read_numbers(Reader* reader, const Kind* kind, Field* fields) noexcept nogil:
    cdef int slot
    for slot in range(kind.count):
        if not read_number(reader, kind, slot, fields):
            return False
    return True


cdef bint read_fields(
    Reader* reader, const Kind* kind, bint is_first_tag, Field* fields
) except -1:
    """Read the fields of a kind of any shape.

    :return: whether the fields are well-formed. The fields own a reference to each object that was read.
    """
    cdef int slot
    for slot in range(kind.count):
        if kind.types[slot] >= FIELD_TEXT:
            value = read_object(reader, kind.types[slot])
            if value is None:
                return False
            Py_INCREF(value)
            fields[slot].object = <PyObject*>value
        elif kind.types[slot] == FIELD_FLAG:
            fields[slot].number = is_first_tag
        elif not read_number(reader, kind, slot, fields):
            return False
    return True


# Cython's try statement costs as much as reading two integers. These are called as functions that do not
# raise: the caller looks for -1 or NULL itself, and passes an error on as it is.
ctypedef int (*FieldReader)(Reader*, const Kind*, bint, Field*) noexcept
ctypedef PyObject* (*EventDecoder)(Protocol, Reader*) noexcept
cdef FieldReader read_fields_or_fail = <FieldReader>read_fields
cdef EventDecoder decode_or_fail = <EventDecoder>decode_event


cdef PyObject* decode_event(Protocol protocol, Reader* reader) except? NULL:
    """Read one event; return a new reference, or NULL with the fault set if it is malformed."""
    cdef const uint8_t* where = reader.position
    cdef int code = protocol.code_of_tag[where[0]]
    cdef const Kind* kind = kinds[code]
    cdef bint is_first_tag = where[0] == protocol.tag_of[code]
    cdef Field* fields
    cdef PyObject* item
    cdef Shape shape
    cdef bint is_read
    if code == NO_KIND:
        fail(reader, FAULT_TAG, where)
        return NULL
    reader.position += 1
    shape = kind.shape
    if shape == SHAPE_SIGNAL:
        Py_INCREF(<object>kind.signal)
        return kind.signal
    item = pool_take(&pools[code])
    if item == NULL:
        item = make_event(code)
    # Fields that hold objects are NULL in a new event, so that it can be freed after any of them.
    fields = (<EventObject*>item).fields
    if shape == SHAPE_THREE_NUMBERS:
        is_read = read_three(reader, kind, fields) or read_numbers(reader, kind, fields)
    elif shape == SHAPE_ONE_NUMBER:
        is_read = read_number(reader, kind, 0, fields)
    elif shape == SHAPE_TWO_NUMBERS:
        is_read = read_number(reader, kind, 0, fields) and read_number(reader, kind, 1, fields)
    elif shape == SHAPE_FLAG:
        fields[0].number = is_first_tag
        is_read = True
    else:
        is_read = read_fields_or_fail(reader, kind, is_first_tag, fields) == 1
    if likely(is_read):
        return item
    end_event(item)
    return NULL


cdef Py_ssize_t decode_run(
    Protocol protocol, Reader* reader, PyObject** events, Py_ssize_t count, uint64_t mask
) except -1:
    """Read up to ``count`` consecutive events of the kinds in ``mask``.

    Reading stops at the start of an event of another kind or of a malformed event. If there is no
    memory, an exception is raised and nothing of the run was read.

    :return: how many events were read. ``events`` holds a new reference to each.
    """
    cdef const uint8_t* start = reader.position
    cdef Py_ssize_t read = 0
    cdef Py_ssize_t taken
    cdef const uint8_t* where
    cdef int code
    cdef PyObject* event
    while read < count and reader.position < reader.end:
        where = reader.position
        code = protocol.code_of_tag[where[0]]
        if not mask >> code & 1:
            break
        if code == STATE_CHANGE and has_bmi2():
            taken = take_records_bmi2(
                &reader.position,
                reader.end,
                events + read,
                count - read,
                where[0],
                &pools[STATE_CHANGE],
            )
            read += taken
            if taken:
                continue
        event = decode_or_fail(protocol, reader)
        if event == NULL:
            if PyErr_Occurred():
                reader.position = start
                while read > 0:
                    read -= 1
                    Py_DECREF(<object>events[read])
                    events[read] = NULL
                return -1
            reader.position = where
            break
        events[read] = event
        read += 1
    return read


cdef dict _reasons = {
    FAULT_TRUNCATED: "the payload ends inside it",
    FAULT_OVERLONG: "an integer has more bytes than its width allows",
    FAULT_OVERFLOW: "an integer does not fit its width",
    FAULT_LENGTH: "a length or count exceeds what is left of the payload",
    FAULT_TEXT: "a text is not UTF-8",
    FAULT_ITEM: "an item has an unknown marker",
}


cdef str explain(Protocol protocol, Reader* reader, const uint8_t* event_at):
    cdef Py_ssize_t offset = reader.fault_at - reader.start
    if event_at == NULL:
        return f"malformed node id at byte {offset}: {_reasons[reader.fault]}"
    if reader.fault == FAULT_TAG:
        return (
            f"unknown tag {event_at[0]} at byte {offset}: the protocol {protocol.name} has no such"
            " event"
        )
    kind = EVENT_TYPES[protocol.code_of_tag[event_at[0]]]
    return f"malformed {kind.__name__} at byte {offset}: {_reasons[reader.fault]}"
