# cython: language_level=3, embedsignature=True, boundscheck=False, wraparound=False
"""Encode events to bytes.

The result is never malformed, because an event checks its fields when it is created.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t

from fastcoord.wire.events cimport Event, code_of, content, is_event_at
from fastcoord.wire.fields cimport (
    FIELD_ACCOUNTS,
    FIELD_BYTES,
    FIELD_FLAG,
    FIELD_RECURRENCE,
    FIELD_TEXT,
    ITEM_EMAIL_NEGATIVE,
    item_names,
)
from fastcoord.wire.kinds cimport *
from fastcoord.wire.protocol cimport Protocol
from fastcoord.wire.primitives cimport *
from fastcoord.wire.values cimport list_members

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object) noexcept
    void* PyUnicode_DATA(object) noexcept
    PyObject* PyTuple_GET_ITEM(object, Py_ssize_t) noexcept  # borrowed
    const char* PyUnicode_AsUTF8AndSize(object, Py_ssize_t*) except NULL


cdef enum:
    STREAK = 3   # after so many StateChange in a row, more of them are likely
    MOST_RESERVED = 1 << 16   # events; the size of more could overflow where pointers have 32 bits


cdef inline const char* text_of(str text, Py_ssize_t* size) except NULL:
    """Return the UTF-8 form of a text, which owns this memory. ASCII text is its own UTF-8 form."""
    if PyUnicode_IS_COMPACT_ASCII(text):
        size[0] = PyUnicode_GET_LENGTH(text)
        return <const char*>PyUnicode_DATA(text)
    return PyUnicode_AsUTF8AndSize(text, size)


cdef inline Py_ssize_t size_of_next(Py_ssize_t count) noexcept:
    """Return how many bytes to reserve if so many events follow."""
    return min(count, <Py_ssize_t>MOST_RESERVED) * FIXED_SIZE


cdef Py_ssize_t size_bound(Event event) except -1:
    """Return an upper bound of the bytes of an event. It is cheap to compute."""
    cdef const Kind* kind = kinds[code_of(event)]
    cdef Py_ssize_t bound = kind.bound
    cdef Py_ssize_t size
    cdef PyObject* value
    cdef int slot
    if not kind.has_objects:
        return bound
    for slot in range(kind.count):
        if kind.types[slot] < FIELD_TEXT:
            continue
        value = content(event).fields[slot].object
        if kind.types[slot] == FIELD_TEXT:
            text_of(<str>value, &size)
            bound += BYTES_U64 + size
        elif PyBytes_CheckExact(<object>value):
            # The content of FIELD_BYTES, or a packed list, which contains its count.
            bound += BYTES_U64 + PyBytes_GET_SIZE(<object>value)
        else:
            bound += BYTES_U64 + PyTuple_GET_SIZE(<object>value) * member_bytes(kind.types[slot])
    return bound


cdef inline Py_ssize_t member_bytes(int type) noexcept:
    """Return the most bytes of one member of a list."""
    return BYTES_U32 if type == FIELD_ACCOUNTS else 1 + 2 * BYTES_U32


cdef inline uint8_t* put_text(uint8_t* position, str text) except NULL:
    cdef Py_ssize_t size
    cdef const char* utf8 = text_of(text, &size)
    return put_bytes(put_uint(position, <uint64_t>size), utf8, size)


cdef inline uint8_t* put_member(uint8_t* position, tuple members, Py_ssize_t index) noexcept:
    """Write an integer of a tuple, which was checked when the event was created."""
    return put_uint(position, u32_of(PyTuple_GET_ITEM(members, index)))


cdef uint8_t* put_item(uint8_t* position, tuple item) noexcept:
    cdef int marker = 0
    cdef PyObject* name = PyTuple_GET_ITEM(item, 0)
    # Items hold the same objects as item_names, so that comparing identities suffices.
    while item_names[marker] != name:
        marker += 1
    position[0] = <uint8_t>marker
    position = put_member(position + 1, item, 1)
    if marker == ITEM_EMAIL_NEGATIVE:
        position = put_member(position, item, 2)
    return position


cdef uint8_t* put_list(uint8_t* position, PyObject* value, int type) noexcept:
    cdef Py_ssize_t index
    cdef Py_ssize_t count
    if PyBytes_CheckExact(<object>value):
        return put_bytes(
            position, PyBytes_AS_STRING(<object>value), PyBytes_GET_SIZE(<object>value)
        )
    count = PyTuple_GET_SIZE(<object>value)
    position = put_uint(position, <uint64_t>count)
    if type == FIELD_ACCOUNTS:
        for index in range(count):
            position = put_member(position, <tuple>value, index)
    else:
        for index in range(count):
            position = put_item(position, <tuple><object>PyTuple_GET_ITEM(<object>value, index))
    return position


cdef uint8_t* put_object(uint8_t* position, PyObject* value, int type) except NULL:
    if type == FIELD_TEXT:
        return put_text(position, <str>value)
    if type == FIELD_BYTES:
        position = put_uint(position, <uint64_t>PyBytes_GET_SIZE(<object>value))
        return put_bytes(
            position, PyBytes_AS_STRING(<object>value), PyBytes_GET_SIZE(<object>value)
        )
    return put_list(position, value, type)


cdef inline uint8_t* put_fields(uint8_t* position, Event event, const Kind* kind) except NULL:
    """Write the fields of an event behind its tag; ``size_bound`` bytes must be reserved."""
    cdef const Field* fields = content(event).fields
    cdef uint8_t* tag = position - 1
    cdef Shape shape = kind.shape
    cdef int slot
    if shape == SHAPE_THREE_NUMBERS:
        return put_three(position, fields[0].number, fields[1].number, fields[2].number)
    elif shape == SHAPE_SIGNAL:
        return position
    elif shape == SHAPE_ONE_NUMBER:
        return put_uint(position, fields[0].number)
    elif shape == SHAPE_TWO_NUMBERS:
        return put_uint(put_uint(position, fields[0].number), fields[1].number)
    elif shape == SHAPE_FLAG:
        # The tag that was written stands for true. The next tag stands for false.
        tag[0] += not fields[0].number
        return position
    elif shape == SHAPE_LIST:
        return put_list(position, fields[0].object, kind.types[0])
    for slot in range(kind.count):
        if kind.types[slot] <= FIELD_RECURRENCE:
            position = put_uint(position, fields[slot].number)
        elif kind.types[slot] == FIELD_FLAG:
            tag[0] += not fields[slot].number
        else:
            position = put_object(position, fields[slot].object, kind.types[slot])
    return position


cdef int encode_event(Protocol protocol, Writer* writer, Event event) except -1:
    """Append one event, which the protocol must have."""
    cdef uint8_t* position
    reserve(writer, size_bound(event))
    position = writer_end(writer)
    position[0] = <uint8_t>protocol.tag_of[code_of(event)]
    writer_advance(writer, put_fields(position + 1, event, kinds[code_of(event)]))
    return 0


cdef Py_ssize_t encode_run(
    Protocol protocol,
    Writer* writer,
    PyObject** events,
    Py_ssize_t start,
    Py_ssize_t count,
    Py_ssize_t limit,
) except -1:
    """Append events from ``start`` on, while the protocol has them and their upper bounds fit.

    Nearly all events are StateChange, so a separate loop writes runs of them. It keeps its position
    in a register and calls no function. ``events`` stays valid: no Python code runs here, so the
    list or tuple that owns the references cannot change.

    :return: the index of the first event that was not appended, which may be ``start`` itself.
    """
    cdef Py_ssize_t index = start
    cdef Py_ssize_t written, size
    cdef uint8_t* position
    cdef uint8_t* end
    cdef PyObject* item
    cdef int code
    cdef const Kind* kind
    cdef uint8_t state_change_tag = <uint8_t>protocol.tag_of[STATE_CHANGE]
    cdef int streak = STREAK if count - start > 1 else 0
    if limit < writer.used + FIXED_SIZE:
        return start
    reserve(writer, min(limit - writer.used, size_of_next(count - start)))
    position = writer_end(writer)
    # An event of FIXED_SIZE that begins at `end` or before fits the limit and the reserved memory.
    end = writer.start + min(limit, writer.capacity - WORD_SLACK) - FIXED_SIZE
    while index < count:
        item = events[index]
        if not is_event_at(item):
            break
        code = (<EventObject*>item).code
        kind = kinds[code]
        if protocol.tag_of[code] < 0:
            break
        if position > end:
            if position - writer.start > limit - FIXED_SIZE:
                break
            writer_advance(writer, position)
            reserve(writer, size_of_next(count - index))
            position = writer_end(writer)
            end = writer.start + min(limit, writer.capacity - WORD_SLACK) - FIXED_SIZE
        if kind.has_objects or kind.bound > FIXED_SIZE:
            size = size_bound(<Event>item)
            if position - writer.start > limit - size:
                break
            if position + size > end:
                writer_advance(writer, position)
                reserve(writer, size + FIXED_SIZE)
                position = writer_end(writer)
                end = writer.start + min(limit, writer.capacity - WORD_SLACK) - FIXED_SIZE
        elif code == STATE_CHANGE and streak >= STREAK and has_bmi2():
            written = put_records_bmi2(
                &position, end, events + index, count - index, kind.type, state_change_tag
            )
            index += written
            if written:
                continue
        position[0] = <uint8_t>protocol.tag_of[code]
        position = put_fields(position + 1, <Event>item, kind)
        streak = streak + 1 if code == STATE_CHANGE else 0
        index += 1
    writer_advance(writer, position)
    return index


cdef tuple split_event(Protocol protocol, Event event, Py_ssize_t limit):
    """Split an event that is a list into events of at most ``limit`` bytes each.

    :return: a tuple, which is empty if the event is not a list or one member exceeds the limit.
    """
    cdef const Kind* kind = kinds[code_of(event)]
    cdef Py_ssize_t per_piece
    if kind.count != 1 or kind.types[0] < FIELD_ACCOUNTS:
        return ()
    members = list_members(<PyObject*>event, 0)
    per_piece = (limit - 1 - BYTES_U32) // member_bytes(kind.types[0])
    if per_piece < 1:
        return ()
    return tuple(
        [
            type(event)(members[start : start + per_piece])
            for start in range(0, PyTuple_GET_SIZE(members), per_piece)
        ]
    )
