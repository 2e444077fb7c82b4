# cython: language_level=3, embedsignature=True, boundscheck=False, wraparound=False
"""Events to bytes; nothing malformed can come of it, because events check their fields when made."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from fastcoord._events cimport *
from fastcoord._protocol cimport Protocol
from fastcoord._wire cimport *

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object, Py_ssize_t*) except NULL


cdef Py_ssize_t size_bound(Event event) except -1:
    """Give a number of bytes that the event does not exceed; cheap, and exact enough to reserve."""
    cdef Py_ssize_t uid_size, alert_size
    if event.code == CALENDAR_ALERT:
        PyUnicode_AsUTF8AndSize((<CalendarAlert>event).uid, &uid_size)
        PyUnicode_AsUTF8AndSize((<CalendarAlert>event).alert_id, &alert_size)
        return FIXED_SIZE + 2 * BYTES_U64 + uid_size + alert_size
    if event.code == INVALIDATE_ACCESS_TOKENS or event.code == INVALIDATE_GROUPWARE_CACHE:
        return FIXED_SIZE + BYTES_U32 * PyTuple_GET_SIZE((<AccountList>event).account_ids)
    if event.code == CACHE_INVALIDATE:
        return FIXED_SIZE + (1 + 2 * BYTES_U32) * PyTuple_GET_SIZE((<CacheInvalidate>event).items)
    if event.code == APP_EVENT:
        return FIXED_SIZE + PyBytes_GET_SIZE((<AppEvent>event).payload)
    return FIXED_SIZE


cdef uint8_t* put_text(uint8_t* position, str text) except NULL:
    cdef Py_ssize_t size
    cdef const char* content = PyUnicode_AsUTF8AndSize(text, &size)
    return put_bytes(put_uint(position, <uint64_t>size), content, size)


cdef uint8_t* put_item(uint8_t* position, tuple item) except NULL:
    cdef int marker = 0
    name = item[0]
    # Found by identity: items hold the names of ITEM_NAMES itself.
    while ITEM_NAMES[marker] is not name:
        marker += 1
    position[0] = <uint8_t>marker
    position = put_uint(position + 1, <uint32_t>item[1])
    if marker == ITEM_EMAIL_NEGATIVE:
        position = put_uint(position, <uint32_t>item[2])
    return position


cdef int encode_event(Protocol protocol, Writer* writer, Event event) except -1:
    """Append one event that the protocol is known to have."""
    cdef int code = event.code
    cdef uint8_t tag = <uint8_t>protocol.tag_of[code]
    cdef uint8_t* position
    if code == STATE_CHANGE:
        reserve(writer, FIXED_SIZE)
        position = writer_end(writer)
        position[0] = tag
        position = put_three(
            position + 1,
            (<StateChange>event).change_id,
            (<StateChange>event).types,
            (<StateChange>event).account_id,
        )
        writer_advance(writer, position)
        return 0
    reserve(writer, size_bound(event))
    position = writer_end(writer)
    if code == MTA_QUEUE_STATUS and not (<MtaQueueStatus>event).is_running:
        tag += 1
    position[0] = tag
    writer_advance(writer, put_fields(position + 1, event, code))
    return 0


cdef Py_ssize_t encode_run(
    Protocol protocol,
    Writer* writer,
    PyObject** events,
    Py_ssize_t start,
    Py_ssize_t count,
    Py_ssize_t limit,
) except -1:
    """Append events from ``start`` on, for as long as they are StateChange and surely fit.

    Nearly all traffic is made of them, so this loop keeps its position in a register and calls
    nothing. It gives the index of the event at which it stopped, which may be ``start`` itself.
    """
    cdef Py_ssize_t index = start
    cdef uint8_t tag = <uint8_t>protocol.tag_of[<int>STATE_CHANGE]
    cdef uint8_t* position
    cdef uint8_t* last
    cdef PyObject* item
    if protocol.tag_of[<int>STATE_CHANGE] < 0 or limit < writer.used + FIXED_SIZE:
        return start
    reserve(writer, min(limit - writer.used, (count - start) * FIXED_SIZE))
    position = writer_end(writer)
    # Up to here an event can begin and fit, both within the limit and within what is reserved.
    last = writer.start + min(limit, writer.capacity - WORD_SLACK) - FIXED_SIZE
    if has_bmi2():
        state_change_record.tag = tag
        index += put_records_bmi2(
            &position, last, events + start, count - start, &state_change_record
        )
    while index < count and position <= last:
        item = events[index]
        if not is_state_change(item) or (<StateChange>item).code != STATE_CHANGE:
            break
        position[0] = tag
        position = put_three(
            position + 1,
            (<StateChange>item).change_id,
            (<StateChange>item).types,
            (<StateChange>item).account_id,
        )
        index += 1
    writer_advance(writer, position)
    return index


cdef uint8_t* put_fields(uint8_t* position, Event event, int code) except NULL:
    """Write the fields of an event, for which room is reserved."""
    cdef Py_ssize_t index
    cdef tuple members
    if code == EMAIL_PUSH:
        position = put_three(
            position,
            (<EmailPush>event).account_id,
            (<EmailPush>event).email_id,
            (<EmailPush>event).change_id,
        )
    elif code == CALENDAR_ALERT:
        position = put_uint(position, (<CalendarAlert>event).account_id)
        position = put_uint(position, (<CalendarAlert>event).event_id)
        position = put_uint(position, <uint64_t>(<CalendarAlert>event).recurrence)
        position = put_text(position, (<CalendarAlert>event).uid)
        position = put_text(position, (<CalendarAlert>event).alert_id)
    elif code == INVALIDATE_ACCESS_TOKENS or code == INVALIDATE_GROUPWARE_CACHE:
        members = (<AccountList>event).account_ids
        position = put_uint(position, <uint64_t>PyTuple_GET_SIZE(members))
        for index in range(PyTuple_GET_SIZE(members)):
            position = put_uint(position, <uint32_t>members[index])
    elif code == CACHE_INVALIDATE:
        members = (<CacheInvalidate>event).items
        position = put_uint(position, <uint64_t>PyTuple_GET_SIZE(members))
        for index in range(PyTuple_GET_SIZE(members)):
            position = put_item(position, <tuple>members[index])
    elif code == RELOAD_PUSH_SERVERS or code == PUSH_SERVER_UPDATE:
        position = put_uint(position, (<AccountEvent>event).account_id)
    elif code == REGISTRY_INSERT or code == REGISTRY_DELETE:
        position = put_uint(position, (<RegistryEntry>event).object)
        position = put_uint(position, (<RegistryEntry>event).id)
    elif code == REGISTRY_RELOAD:
        position = put_uint(position, (<RegistryReload>event).object)
    elif code == APP_EVENT:
        position = put_uint(position, (<AppEvent>event).kind)
        position = put_uint(position, <uint64_t>PyBytes_GET_SIZE((<AppEvent>event).payload))
        position = put_bytes(
            position,
            PyBytes_AS_STRING((<AppEvent>event).payload),
            PyBytes_GET_SIZE((<AppEvent>event).payload),
        )
    return position


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
