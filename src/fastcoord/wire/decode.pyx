# cython: language_level=3, embedsignature=True, boundscheck=False, wraparound=False
"""Bytes to events: whatever is malformed stops at its offset.

Nothing is allocated on the word of a length that the payload cannot hold.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastcoord.wire.events cimport *
from fastcoord.wire.fields cimport LARGEST_U32, unpack_accounts, unpack_items
from fastcoord.wire.protocol cimport Protocol
from fastcoord.wire.scan cimport skip_accounts, skip_items
from fastcoord.wire.primitives cimport *

from fastcoord.wire.events import EVENT_TYPES

cdef extern from "Python.h":
    str PyUnicode_New(Py_ssize_t size, Py_UCS4 largest)
    void* PyUnicode_DATA(object) noexcept


cdef str read_text(Reader* reader):
    """Read a str; give None and leave the fault when it is malformed."""
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


cdef Event decode_state_change(Reader* reader):
    cdef uint64_t change_id = 0
    cdef uint64_t types = 0
    cdef uint64_t account_id = 0
    cdef const uint8_t* first
    cdef const uint8_t* second
    cdef const uint8_t* third
    cdef StateChange event
    # Of 8, 8 and 4 bytes no integer can be too large, so nothing is left to check.
    if (
        find_three(reader, &first, &second, &third)
        and first - reader.position < 8
        and second - first <= 8
        and third - second <= 4
    ):
        event = <StateChange>new_event(STATE_CHANGE)
        event.code = STATE_CHANGE
        fold_three(
            reader.position, first, second, third, &event.change_id, &event.types, &account_id
        )
        event.account_id = <uint32_t>account_id
        reader.position = third + 1
        return event
    if not (
        read_u64(reader, &change_id) and read_u64(reader, &types) and read_u32(reader, &account_id)
    ):
        return None
    event = <StateChange>new_event(STATE_CHANGE)
    event.code = STATE_CHANGE
    event.change_id = change_id
    event.types = types
    event.account_id = <uint32_t>account_id
    return event


cdef Event decode_email_push(Reader* reader):
    cdef uint64_t account_id = 0
    cdef uint64_t email_id = 0
    cdef uint64_t change_id = 0
    cdef const uint8_t* first
    cdef const uint8_t* second
    cdef const uint8_t* third
    cdef EmailPush event
    if (
        find_three(reader, &first, &second, &third)
        and first - reader.position < 4
        and second - first <= 4
        and third - second <= 8
    ):
        fold_three(reader.position, first, second, third, &account_id, &email_id, &change_id)
        reader.position = third + 1
    elif not (
        read_u32(reader, &account_id) and read_u32(reader, &email_id) and read_u64(reader, &change_id)
    ):
        return None
    event = <EmailPush>new_event(EMAIL_PUSH)
    event.code = EMAIL_PUSH
    event.account_id = <uint32_t>account_id
    event.email_id = <uint32_t>email_id
    event.change_id = change_id
    return event


cdef Event decode_calendar_alert(Reader* reader):
    cdef uint64_t account_id = 0
    cdef uint64_t event_id = 0
    cdef uint64_t recurrence_id = 0
    cdef CalendarAlert event
    if not (
        read_u32(reader, &account_id)
        and read_u32(reader, &event_id)
        and read_u64(reader, &recurrence_id)
    ):
        return None
    uid = read_text(reader)
    if uid is None:
        return None
    alert_id = read_text(reader)
    if alert_id is None:
        return None
    event = <CalendarAlert>new_event(CALENDAR_ALERT)
    event.code = CALENDAR_ALERT
    event.account_id = <uint32_t>account_id
    event.event_id = <uint32_t>event_id
    event.recurrence = <int64_t>recurrence_id
    event.uid = uid
    event.alert_id = alert_id
    return event


cdef Event decode_list(Reader* reader, int code):
    """Check a list of integers or items and keep its bytes; who reads it has it unpacked then."""
    cdef Py_ssize_t count = 0
    cdef bint is_shortest = True
    cdef const uint8_t* first
    cdef ListEvent event
    if not read_length(reader, &count, 2 if code == CACHE_INVALIDATE else 1):
        return None
    first = reader.position
    if code == CACHE_INVALIDATE:
        if not skip_items(reader, count, &is_shortest):
            return None
    elif not skip_accounts(reader, count, &is_shortest):
        return None
    event = <ListEvent>new_event(code)
    event.code = code
    event.count = <uint32_t>count
    event.packed = PyBytes_FromStringAndSize(<char*>first, reader.position - first)
    if not is_shortest or <uint64_t>count > LARGEST_U32:
        # Bytes are kept only in the form in which this event would be written.
        if code == CACHE_INVALIDATE:
            event.members = unpack_items(event.packed, count)
        else:
            event.members = unpack_accounts(event.packed, count)
        event.packed = None
    return event


cdef Event decode_account(Reader* reader, int code):
    cdef AccountEvent event
    cdef uint64_t account_id = 0
    if not read_u32(reader, &account_id):
        return None
    event = <AccountEvent>new_event(code)
    event.code = code
    event.account_id = <uint32_t>account_id
    return event


cdef Event decode_registry(Reader* reader, int code):
    cdef RegistryEntry event
    cdef uint64_t number = 0
    cdef uint64_t id = 0
    if not (read_u16(reader, &number) and read_u64(reader, &id)):
        return None
    event = <RegistryEntry>new_event(code)
    event.code = code
    event.object = <uint16_t>number
    event.id = id
    return event


cdef Event decode_registry_reload(Reader* reader):
    cdef RegistryReload event
    cdef uint64_t number = 0
    if not read_u16(reader, &number):
        return None
    event = <RegistryReload>new_event(REGISTRY_RELOAD)
    event.code = REGISTRY_RELOAD
    event.object = <uint16_t>number
    return event


cdef Event decode_app_event(Reader* reader):
    cdef AppEvent event
    cdef uint64_t kind = 0
    if not read_u16(reader, &kind):
        return None
    payload = read_bytes(reader)
    if payload is None:
        return None
    event = <AppEvent>new_event(APP_EVENT)
    event.code = APP_EVENT
    event.kind = <uint16_t>kind
    event.payload = payload
    return event


# Events without fields are all alike, so each exists once, for ever.
cdef PyObject* signals[CODE_COUNT]
for _kind in (
    ReloadSettings,
    ReloadBlockedIps,
    ReloadSpamFilter,
    CacheInvalidateAll,
    CacheInvalidateNegative,
    QueueRefresh,
    TaskQueueRefresh,
    IndexQueueRefresh,
):
    _signal = _kind()
    Py_INCREF(_signal)
    signals[EVENT_TYPES.index(_kind)] = <PyObject*>_signal
cdef Event _queue_started = MtaQueueStatus(True)
cdef Event _queue_stopped = MtaQueueStatus(False)


cdef Event decode_event(Protocol protocol, Reader* reader):
    """Read one event; give None and leave the fault when it is malformed."""
    cdef const uint8_t* where = reader.position
    cdef uint8_t tag = where[0]
    cdef int code = protocol.code_of[tag]
    reader.position += 1
    if code == STATE_CHANGE:
        return decode_state_change(reader)
    elif code == EMAIL_PUSH:
        return decode_email_push(reader)
    elif code == CALENDAR_ALERT:
        return decode_calendar_alert(reader)
    elif (
        code == INVALIDATE_ACCESS_TOKENS
        or code == INVALIDATE_GROUPWARE_CACHE
        or code == CACHE_INVALIDATE
    ):
        return decode_list(reader, code)
    elif code == RELOAD_PUSH_SERVERS or code == PUSH_SERVER_UPDATE:
        return decode_account(reader, code)
    elif code == REGISTRY_INSERT or code == REGISTRY_DELETE:
        return decode_registry(reader, code)
    elif code == REGISTRY_RELOAD:
        return decode_registry_reload(reader)
    elif code == MTA_QUEUE_STATUS:
        return _queue_started if tag == protocol.tag_of[<int>MTA_QUEUE_STATUS] else _queue_stopped
    elif code == APP_EVENT:
        return decode_app_event(reader)
    elif code == UNMADE:
        reader.position = where
        fail(reader, FAULT_TAG, where)
        return None
    return <Event>signals[code]


cdef Py_ssize_t decode_run(
    Protocol protocol, Reader* reader, PyObject** events, Py_ssize_t count, uint64_t mask
) except -1:
    """Read up to ``count`` consecutive events of the kinds in ``mask``.

    It gives how many were read, each a new reference in ``events``. It stops at an event of another
    kind and at a malformed one, with the position at its start. When there is no memory, nothing of the
    run was read.
    """
    cdef const uint8_t* start = reader.position
    cdef Py_ssize_t done = 0
    cdef Py_ssize_t taken
    cdef const uint8_t* where
    cdef int code
    cdef Event event
    state_change_record.tag = <uint8_t>protocol.tag_of[<int>STATE_CHANGE]
    while done < count and reader.position < reader.end:
        where = reader.position
        code = protocol.code_of[where[0]]
        if not mask >> code & 1:
            break
        if code == STATE_CHANGE and has_bmi2():
            taken = take_records_bmi2(
                &reader.position,
                reader.end,
                events + done,
                count - done,
                &state_change_record,
                pools[<int>STATE_CHANGE].items,
                &pools[<int>STATE_CHANGE].used,
            )
            done += taken
            if taken:
                continue
        try:
            event = decode_event(protocol, reader)
        except:
            reader.position = start
            while done > 0:
                done -= 1
                Py_DECREF(<object>events[done])
                events[done] = NULL
            raise
        if event is None:
            reader.position = where
            break
        Py_INCREF(event)
        events[done] = <PyObject*>event
        done += 1
    return done


cdef dict _reasons = {
    FAULT_TRUNCATED: "the payload ends inside it",
    FAULT_OVERLONG: "an integer runs on longer than its width allows",
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
    kind = EVENT_TYPES[protocol.code_of[event_at[0]]]
    return f"malformed {kind.__name__} at byte {offset}: {_reasons[reader.fault]}"
