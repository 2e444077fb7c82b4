# cython: language_level=3, embedsignature=True, boundscheck=False, wraparound=False
"""Events to bytes; nothing malformed can come of it, because events check their fields when made."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from fastcoord.wire.events cimport *
from fastcoord.wire.fields cimport ITEM_EMAIL_NEGATIVE, item_names
from fastcoord.wire.protocol cimport Protocol
from fastcoord.wire.primitives cimport *

# The kinds whose size is not fixed, a bit each.
cdef uint32_t LISTS = (
    1 << <int>CALENDAR_ALERT
    | 1 << <int>INVALIDATE_ACCESS_TOKENS
    | 1 << <int>INVALIDATE_GROUPWARE_CACHE
    | 1 << <int>CACHE_INVALIDATE
    | 1 << <int>APP_EVENT
)

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object) noexcept
    void* PyUnicode_DATA(object) noexcept
    PyObject* PyTuple_GET_ITEM(object, Py_ssize_t) noexcept  # borrowed
    const char* PyUnicode_AsUTF8AndSize(object, Py_ssize_t*) except NULL


cdef extern from *:
    """
    /* The value of an int that is known to be a u32; mostly it lies in the object as it is. */
    static inline uint32_t fastcoord_u32_of(PyObject* number) {
    #if PY_VERSION_HEX >= 0x030C0000
        if (PyUnstable_Long_IsCompact((PyLongObject*)number))
            return (uint32_t)PyUnstable_Long_CompactValue((PyLongObject*)number);
    #else
        if (Py_SIZE(number) == 1) return (uint32_t)((PyLongObject*)number)->ob_digit[0];
    #endif
        return (uint32_t)PyLong_AsUnsignedLong(number);
    }
    """
    uint32_t u32_of "fastcoord_u32_of"(PyObject* number) noexcept

cdef enum:
    STREAK = 3   # StateChange in a row after which more of them are likely


cdef inline bint has_lists(int code) noexcept:
    """Whether an event of this kind may take more than ``FIXED_SIZE``."""
    return LISTS >> code & 1


cdef inline const char* text_of(str text, Py_ssize_t* size) except NULL:
    """Give the UTF-8 form of a text; that of ASCII, as nearly every one is, lies in it as it is."""
    if PyUnicode_IS_COMPACT_ASCII(text):
        size[0] = PyUnicode_GET_LENGTH(text)
        return <const char*>PyUnicode_DATA(text)
    return PyUnicode_AsUTF8AndSize(text, size)


cdef Py_ssize_t size_bound(Event event) except -1:
    """Give a number of bytes that the event does not exceed; cheap, and exact enough to reserve."""
    cdef Py_ssize_t uid_size, alert_size
    if event.code == CALENDAR_ALERT:
        text_of((<CalendarAlert>event).uid, &uid_size)
        text_of((<CalendarAlert>event).alert_id, &alert_size)
        return FIXED_SIZE + 2 * BYTES_U64 + uid_size + alert_size
    if event.code == INVALIDATE_ACCESS_TOKENS or event.code == INVALIDATE_GROUPWARE_CACHE:
        return list_bound(<ListEvent>event, BYTES_U32)
    if event.code == CACHE_INVALIDATE:
        return list_bound(<ListEvent>event, 1 + 2 * BYTES_U32)
    if event.code == APP_EVENT:
        return FIXED_SIZE + PyBytes_GET_SIZE((<AppEvent>event).payload)
    return FIXED_SIZE


cdef inline Py_ssize_t list_bound(ListEvent event, Py_ssize_t largest) noexcept:
    if event.packed is not None:
        return FIXED_SIZE + PyBytes_GET_SIZE(event.packed)
    return FIXED_SIZE + largest * PyTuple_GET_SIZE(event.members)


cdef inline uint8_t* put_text(uint8_t* position, str text) except NULL:
    cdef Py_ssize_t size
    cdef const char* content = text_of(text, &size)
    return put_bytes(put_uint(position, <uint64_t>size), content, size)


cdef inline uint8_t* put_member(uint8_t* position, tuple members, Py_ssize_t index) noexcept:
    """Write an integer of a tuple that holds nothing but u32."""
    return put_uint(position, u32_of(PyTuple_GET_ITEM(members, index)))


cdef uint8_t* put_item(uint8_t* position, tuple item) noexcept:
    cdef int marker = 0
    cdef PyObject* name = PyTuple_GET_ITEM(item, 0)
    # Found by identity: items hold these very names.
    while item_names[marker] != name:
        marker += 1
    position[0] = <uint8_t>marker
    position = put_member(position + 1, item, 1)
    if marker == ITEM_EMAIL_NEGATIVE:
        position = put_member(position, item, 2)
    return position


cdef inline uint8_t* put_integers(uint8_t* position, Event event, int code) noexcept:
    """Write the fields of an event that has nothing but integers, for which room is reserved."""
    if code == STATE_CHANGE:
        return put_three(
            position,
            (<StateChange>event).change_id,
            (<StateChange>event).types,
            (<StateChange>event).account_id,
        )
    elif code == EMAIL_PUSH:
        return put_three(
            position,
            (<EmailPush>event).account_id,
            (<EmailPush>event).email_id,
            (<EmailPush>event).change_id,
        )
    elif code == RELOAD_PUSH_SERVERS or code == PUSH_SERVER_UPDATE:
        return put_uint(position, (<AccountEvent>event).account_id)
    elif code == REGISTRY_INSERT or code == REGISTRY_DELETE:
        position = put_uint(position, (<RegistryEntry>event).object)
        return put_uint(position, (<RegistryEntry>event).id)
    elif code == REGISTRY_RELOAD:
        return put_uint(position, (<RegistryReload>event).object)
    elif code == MTA_QUEUE_STATUS:
        # One kind with two tags, its field being in the tag.
        if not (<MtaQueueStatus>event).is_running:
            (position - 1)[0] += 1
    return position


cdef uint8_t* put_lists(uint8_t* position, Event event, int code) except NULL:
    """Write the fields of an event with texts or lists, for which room is reserved."""
    if code == CALENDAR_ALERT:
        position = put_uint(position, (<CalendarAlert>event).account_id)
        position = put_uint(position, (<CalendarAlert>event).event_id)
        position = put_uint(position, <uint64_t>(<CalendarAlert>event).recurrence)
        position = put_text(position, (<CalendarAlert>event).uid)
        position = put_text(position, (<CalendarAlert>event).alert_id)
    elif code == APP_EVENT:
        position = put_uint(position, (<AppEvent>event).kind)
        position = put_uint(position, <uint64_t>PyBytes_GET_SIZE((<AppEvent>event).payload))
        position = put_bytes(
            position,
            PyBytes_AS_STRING((<AppEvent>event).payload),
            PyBytes_GET_SIZE((<AppEvent>event).payload),
        )
    else:
        position = put_members(position, <ListEvent>event)
    return position


cdef uint8_t* put_members(uint8_t* position, ListEvent event) noexcept:
    cdef Py_ssize_t index
    cdef Py_ssize_t count
    if event.packed is not None:
        position = put_uint(position, event.count)
        return put_bytes(
            position, PyBytes_AS_STRING(event.packed), PyBytes_GET_SIZE(event.packed)
        )
    count = PyTuple_GET_SIZE(event.members)
    position = put_uint(position, <uint64_t>count)
    if event.code == CACHE_INVALIDATE:
        for index in range(count):
            position = put_item(position, <tuple><object>PyTuple_GET_ITEM(event.members, index))
    else:
        for index in range(count):
            position = put_member(position, event.members, index)
    return position


cdef inline uint8_t* put_fields(uint8_t* position, Event event, int code) except NULL:
    """Write the fields of an event behind its tag; room is reserved."""
    return put_lists(position, event, code) if has_lists(code) else put_integers(position, event, code)


cdef int encode_event(Protocol protocol, Writer* writer, Event event) except -1:
    """Append one event that the protocol is known to have."""
    cdef uint8_t* position
    reserve(writer, size_bound(event))
    position = writer_end(writer)
    position[0] = <uint8_t>protocol.tag_of[event.code]
    writer_advance(writer, put_fields(position + 1, event, event.code))
    return 0


cdef Py_ssize_t encode_run(
    Protocol protocol,
    Writer* writer,
    PyObject** events,
    Py_ssize_t start,
    Py_ssize_t count,
    Py_ssize_t limit,
) except -1:
    """Append events from ``start`` on, for as long as the protocol has them and they surely fit.

    Nearly all traffic is StateChange, so runs of them are written by a loop of their own, which
    keeps its position in a register and calls nothing. It gives the index of the event at which it
    stopped, which may be ``start`` itself.
    """
    cdef Py_ssize_t index = start
    cdef Py_ssize_t done, size
    cdef uint8_t* position
    cdef uint8_t* end
    cdef PyObject* item
    cdef int code
    cdef int streak = STREAK if count - start > 1 else 0
    if limit < writer.used + FIXED_SIZE:
        return start
    reserve(writer, min(limit - writer.used, (count - start) * FIXED_SIZE))
    position = writer_end(writer)
    # An event that begins here at the latest and has no list fits the limit and what is reserved.
    end = writer.start + min(limit, writer.capacity - WORD_SLACK) - FIXED_SIZE
    state_change_record.tag = <uint8_t>protocol.tag_of[<int>STATE_CHANGE]
    while index < count:
        item = events[index]
        if not is_event_at(item):
            break
        code = (<Event>item).code
        if protocol.tag_of[code] < 0:
            break
        if position > end:
            if writer.start + limit - FIXED_SIZE < position:
                break
            writer_advance(writer, position)
            reserve(writer, (count - index) * FIXED_SIZE)
            position = writer_end(writer)
            end = writer.start + min(limit, writer.capacity - WORD_SLACK) - FIXED_SIZE
        if has_lists(code):
            size = size_bound(<Event>item)
            if writer.start + limit < position + size:
                break
            if position + size > end:
                writer_advance(writer, position)
                reserve(writer, size + FIXED_SIZE)
                position = writer_end(writer)
                end = writer.start + min(limit, writer.capacity - WORD_SLACK) - FIXED_SIZE
        elif code == STATE_CHANGE and streak >= STREAK and has_bmi2():
            done = put_records_bmi2(
                &position, end, events + index, count - index, &state_change_record
            )
            index += done
            if done:
                continue
        position[0] = <uint8_t>protocol.tag_of[code]
        position = put_fields(position + 1, <Event>item, code)
        streak = streak + 1 if code == STATE_CHANGE else 0
        index += 1
    writer_advance(writer, position)
    return index


cdef tuple split_event(Protocol protocol, Event event, Py_ssize_t limit):
    """Cut an event that is a list into events of at most ``limit`` bytes each.

    Gives an empty tuple for an event that is not a list, and for a limit below one member.
    """
    cdef Py_ssize_t per_piece
    if event.code == INVALIDATE_ACCESS_TOKENS or event.code == INVALIDATE_GROUPWARE_CACHE:
        members = (<AccountList>event).account_ids
        per_piece = (limit - 1 - BYTES_U32) // BYTES_U32
    elif event.code == CACHE_INVALIDATE:
        members = (<CacheInvalidate>event).items
        per_piece = (limit - 1 - BYTES_U32) // (1 + 2 * BYTES_U32)
    else:
        return ()
    if per_piece < 1:
        return ()
    return tuple(
        [
            type(event)(members[start : start + per_piece])
            for start in range(0, PyTuple_GET_SIZE(members), per_piece)
        ]
    )
