# cython: language_level=3, embedsignature=True, boundscheck=False, wraparound=False
"""Events to bytes and back, byte for byte as WIRE describes the four protocols.

Reading is strict: whatever is malformed stops at its offset and nothing is allocated on the word of
a length that the payload cannot hold. Writing cannot produce anything malformed, because events
check their fields when they are made.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from cpython.tuple cimport PyTuple_GET_SIZE, PyTuple_New, PyTuple_SET_ITEM
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int16_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastcoord._events cimport *
from fastcoord._wire cimport *

import collections.abc

from fastcoord._events import EVENT_TYPES
from fastcoord.errors import DecodeError, UnsupportedEvent

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object, Py_ssize_t*) except NULL
    const Py_ssize_t PY_SSIZE_T_MAX
    PyObject** PySequence_Fast_ITEMS(object) noexcept
    Py_ssize_t PySequence_Fast_GET_SIZE(object) noexcept

_STALWART_0_15 = (
    STATE_CHANGE,
    CALENDAR_ALERT,
    EMAIL_PUSH,
    INVALIDATE_ACCESS_TOKENS,
    INVALIDATE_GROUPWARE_CACHE,
    RELOAD_SETTINGS,
    RELOAD_BLOCKED_IPS,
    RELOAD_PUSH_SERVERS,
    RELOAD_SPAM_FILTER,
)
_STALWART_0_16 = (
    STATE_CHANGE,
    CALENDAR_ALERT,
    EMAIL_PUSH,
    PUSH_SERVER_UPDATE,
    REGISTRY_INSERT,
    REGISTRY_DELETE,
    REGISTRY_RELOAD,
    CACHE_INVALIDATE,
    CACHE_INVALIDATE_ALL,
    CACHE_INVALIDATE_NEGATIVE,
    MTA_QUEUE_STATUS,  # is_running is true
    MTA_QUEUE_STATUS,  # is_running is false
    QUEUE_REFRESH,
)
_STALWART_1_0 = (*_STALWART_0_16, TASK_QUEUE_REFRESH, INDEX_QUEUE_REFRESH)
_FASTCOORD_1 = (
    *_STALWART_1_0,
    INVALIDATE_ACCESS_TOKENS,
    INVALIDATE_GROUPWARE_CACHE,
    RELOAD_SETTINGS,
    RELOAD_BLOCKED_IPS,
    RELOAD_PUSH_SERVERS,
    RELOAD_SPAM_FILTER,
    APP_EVENT,
)


cdef class Protocol:
    def __init__(self, str name, codes):
        self.name = name
        for code in range(CODE_COUNT):
            self.tag_of[code] = -1
        for tag, code in enumerate(codes):
            self.code_of[tag] = code
            if self.tag_of[code] < 0:
                self.tag_of[code] = tag

    def refuse(self, Event event):
        """Raise the error that says why this event cannot be sent."""
        if event.code == UNMADE:
            raise TypeError(f"{type(event).__name__} was made by __new__ and has no fields")
        speakers = [name for name in PROTOCOLS if knows(<Protocol>_protocols[name], event)]
        raise UnsupportedEvent(
            f"{type(event).__name__} does not exist in the protocol {self.name};"
            f" {' and '.join(speakers)} {'has' if len(speakers) == 1 else 'have'} it"
            f" (cluster.protocol in the configuration)"
        )


cdef dict _protocols = {
    "stalwart-0.15": Protocol("stalwart-0.15", _STALWART_0_15),
    "stalwart-0.16": Protocol("stalwart-0.16", _STALWART_0_16),
    "stalwart-1.0": Protocol("stalwart-1.0", _STALWART_1_0),
    "fastcoord-1": Protocol("fastcoord-1", _FASTCOORD_1),
}
PROTOCOLS = tuple(_protocols)


cdef Protocol get_protocol(name):
    found = _protocols.get(name)
    if found is None:
        raise ValueError(f"there is no protocol {name!r}; there are {', '.join(PROTOCOLS)}")
    return <Protocol>found


cdef uint64_t kinds_mask(kinds) except? 0:
    """Give the set of event codes that a subscription lets through, one bit each."""
    cdef uint64_t mask = 0
    if kinds is None:
        return <uint64_t>0xffffffffffffffff
    if isinstance(kinds, type):
        kinds = (kinds,)
    for kind in kinds:
        if kind is Event:
            return <uint64_t>0xffffffffffffffff
        if kind not in EVENT_TYPES or kind is None:
            raise TypeError(
                f"kinds must hold event classes such as StateChange, not {kind!r:.60}"
            )
        mask |= <uint64_t>1 << <int>EVENT_TYPES.index(kind)
    if mask == 0:
        raise ValueError("kinds is empty: no event would ever arrive; leave it out for all of them")
    return mask


# ---------------------------------------------------------------------------------------- batches


cdef class Batch:
    """The events of one message, in their sender's order: an immutable sequence.

    :ivar node_id: the node that sent them.
    :ivar received_at: when they arrived, in seconds since the epoch; ``None`` when they did not
        come from a subscription.
    """

    def __init__(self, node_id, events, received_at=None):
        if not 0 <= node_id <= 0xffff:
            raise ValueError(f"node_id must be from 0 to 65535, not {node_id!r}")
        self.node_id = node_id
        self.events = tuple(events)
        self.received_at = received_at

    def __len__(self):
        return PyTuple_GET_SIZE(self.events)

    def __getitem__(self, index):
        return self.events[index]

    def __iter__(self):
        return iter(self.events)

    def __contains__(self, event):
        return event in self.events

    def __reversed__(self):
        return reversed(self.events)

    def index(self, event, *bounds):
        """Return the position of the first equal event; raise ValueError if there is none."""
        return self.events.index(event, *bounds)

    def count(self, event):
        """Return how many events of the batch are equal to this one."""
        return self.events.count(event)

    def __eq__(self, other):
        if not isinstance(other, Batch):
            return NotImplemented
        return self.node_id == other.node_id and self.events == (<Batch>other).events

    def __hash__(self):
        return hash((self.node_id, self.events))

    def __reduce__(self):
        return (Batch, (self.node_id, self.events, self.received_at))

    def __repr__(self):
        return f"Batch(node_id={self.node_id}, events={self.events!r})"


collections.abc.Sequence.register(Batch)


cdef Batch make_batch(uint16_t node_id, received_at, tuple events):
    cdef Batch batch = Batch.__new__(Batch)
    batch.node_id = node_id
    batch.received_at = received_at
    batch.events = events
    return batch


# ---------------------------------------------------------------------------------------- writing


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
        _state_change_record.tag = tag
        index += put_records_bmi2(
            &position, last, events + start, count - start, &_state_change_record
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


cdef Record _state_change_record


cdef describe_state_change():
    cdef StateChange sample = StateChange.__new__(StateChange)
    cdef char* base = <char*><PyObject*>sample
    _state_change_record.type = <void*>StateChange
    _state_change_record.code = STATE_CHANGE
    _state_change_record.code_at = <char*>&sample.code - base
    _state_change_record.first_at = <char*>&sample.change_id - base
    _state_change_record.second_at = <char*>&sample.types - base
    _state_change_record.third_at = <char*>&sample.account_id - base


describe_state_change()


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


cdef inline int encode_checked(Protocol tables, Writer* writer, object event) except -1:
    if not is_event(event):
        raise TypeError(f"not an event: {type(event).__name__} ({event!r:.60})")
    if not knows(tables, <Event>event):
        tables.refuse(<Event>event)
    return encode_event(tables, writer, <Event>event)


def encode_batch(events, *, node_id, protocol):
    """Encode events into the bytes of one message.

    :param events: an iterable of events.
    :param node_id: the sender, 0 to 65535.
    :param protocol: ``"stalwart-0.15"``, ``"stalwart-0.16"``, ``"stalwart-1.0"`` or
        ``"fastcoord-1"``.
    :return: the payload of a NATS message.
    :raises UnsupportedEvent: the protocol does not have one of the events.
    :raises TypeError: something among ``events`` is not an event.
    :raises ValueError: the node id is out of range, or there is no such protocol.
    """
    cdef Protocol tables = get_protocol(protocol)
    cdef Writer writer
    cdef Py_ssize_t index = 0
    cdef Py_ssize_t count
    if type(node_id) is not int and (
        not isinstance(node_id, int) or isinstance(node_id, bool)
    ):
        raise TypeError(f"node_id must be an integer, not {type(node_id).__name__}")
    if not 0 <= node_id <= 0xffff:
        raise ValueError(f"node_id must be from 0 to 65535, not {node_id}")
    writer.start = NULL
    writer.used = writer.capacity = 0
    try:
        reserve(&writer, BYTES_U16)
        writer_advance(&writer, put_uint(writer_end(&writer), <uint64_t>node_id))
        if type(events) is not list:
            events = tuple(events)
        # Nothing in between runs Python code, so that a list cannot change under way.
        count = PySequence_Fast_GET_SIZE(events)
        while index < count:
            index = encode_run(
                tables, &writer, PySequence_Fast_ITEMS(events), index, count, PY_SSIZE_T_MAX
            )
            if index < count:
                encode_checked(tables, &writer, <object>PySequence_Fast_ITEMS(events)[index])
                index += 1
        return PyBytes_FromStringAndSize(<char*>writer.start, writer.used)
    finally:
        writer_free(&writer)


# ---------------------------------------------------------------------------------------- reading


# Decoded events until their number is known; then they move, not copied, into a tuple.
cdef struct Vector:
    PyObject** start
    Py_ssize_t used
    Py_ssize_t room


cdef int vector_reserve(Vector* vector) except -1:
    """Make room for at least one more."""
    cdef Py_ssize_t room
    if vector.used == vector.room:
        room = vector.room * 4 if vector.room else 128
        grown = PyMem_Realloc(vector.start, room * sizeof(PyObject*))
        if grown == NULL:
            raise MemoryError(f"no memory for {room} events")
        vector.start = <PyObject**>grown
        vector.room = room
    return 0


cdef inline void vector_append(Vector* vector, object item) noexcept:
    Py_INCREF(item)
    vector.start[vector.used] = <PyObject*>item
    vector.used += 1


cdef tuple vector_take(Vector* vector):
    cdef tuple items = PyTuple_New(vector.used)
    # The tuple takes over the vector's references.
    if vector.used:
        memcpy(PySequence_Fast_ITEMS(items), vector.start, vector.used * sizeof(PyObject*))
    vector.used = 0
    return items


cdef void vector_free(Vector* vector) noexcept:
    cdef Py_ssize_t index
    for index in range(vector.used):
        Py_DECREF(<object>vector.start[index])
    PyMem_Free(vector.start)


cdef str read_text(Reader* reader):
    """Read a str; give None and leave the fault when it is malformed."""
    cdef Py_ssize_t size = 0
    cdef str text
    if not read_length(reader, &size, 1):
        return None
    try:
        text = PyUnicode_DecodeUTF8(<char*>reader.position, size, NULL)
    except UnicodeDecodeError:
        fail(reader, FAULT_TEXT, reader.position)
        return None
    reader.position += size
    return text


cdef tuple read_accounts(Reader* reader):
    cdef Py_ssize_t count = 0
    cdef Py_ssize_t index
    cdef uint64_t number = 0
    cdef tuple accounts
    if not read_length(reader, &count, 1):
        return None
    accounts = PyTuple_New(count)
    for index in range(count):
        if not read_u32(reader, &number):
            return None
        account = <object><uint32_t>number
        Py_INCREF(account)
        PyTuple_SET_ITEM(accounts, index, account)
    return accounts


cdef tuple read_items(Reader* reader):
    cdef Py_ssize_t count = 0
    cdef Py_ssize_t index
    cdef uint64_t first = 0
    cdef uint64_t second = 0
    cdef uint8_t marker
    cdef tuple items, item
    if not read_length(reader, &count, 2):
        return None
    items = PyTuple_New(count)
    for index in range(count):
        if remaining(reader) < 1:
            fail(reader, FAULT_TRUNCATED, reader.position)
            return None
        marker = reader.position[0]
        if marker >= ITEM_COUNT:
            fail(reader, FAULT_ITEM, reader.position)
            return None
        reader.position += 1
        if not read_u32(reader, &first):
            return None
        if marker == ITEM_EMAIL_NEGATIVE:
            if not read_u32(reader, &second):
                return None
            item = (ITEM_NAMES[marker], <uint32_t>first, <uint32_t>second)
        else:
            item = (ITEM_NAMES[marker], <uint32_t>first)
        Py_INCREF(item)
        PyTuple_SET_ITEM(items, index, item)
    return items


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
        event = new_state_change()
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
    event = new_state_change()
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
    event = new_email_push()
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
    event = CalendarAlert.__new__(CalendarAlert)
    event.code = CALENDAR_ALERT
    event.account_id = <uint32_t>account_id
    event.event_id = <uint32_t>event_id
    event.recurrence = <int64_t>recurrence_id
    event.uid = uid
    event.alert_id = alert_id
    return event


cdef Event decode_accounts(Reader* reader, int code):
    cdef AccountList event
    accounts = read_accounts(reader)
    if accounts is None:
        return None
    if code == INVALIDATE_ACCESS_TOKENS:
        event = InvalidateAccessTokens.__new__(InvalidateAccessTokens)
    else:
        event = InvalidateGroupwareCache.__new__(InvalidateGroupwareCache)
    event.code = code
    event.account_ids = accounts
    return event


cdef Event decode_account(Reader* reader, int code):
    cdef AccountEvent event
    cdef uint64_t account_id = 0
    if not read_u32(reader, &account_id):
        return None
    if code == RELOAD_PUSH_SERVERS:
        event = ReloadPushServers.__new__(ReloadPushServers)
    else:
        event = PushServerUpdate.__new__(PushServerUpdate)
    event.code = code
    event.account_id = <uint32_t>account_id
    return event


cdef Event decode_registry(Reader* reader, int code):
    cdef RegistryEntry event
    cdef uint64_t number = 0
    cdef uint64_t id = 0
    if not (read_u16(reader, &number) and read_u64(reader, &id)):
        return None
    if code == REGISTRY_INSERT:
        event = RegistryInsert.__new__(RegistryInsert)
    else:
        event = RegistryDelete.__new__(RegistryDelete)
    event.code = code
    event.object = <uint16_t>number
    event.id = id
    return event


cdef Event decode_registry_reload(Reader* reader):
    cdef RegistryReload event
    cdef uint64_t number = 0
    if not read_u16(reader, &number):
        return None
    event = RegistryReload.__new__(RegistryReload)
    event.code = REGISTRY_RELOAD
    event.object = <uint16_t>number
    return event


cdef Event decode_cache_invalidate(Reader* reader):
    cdef CacheInvalidate event
    items = read_items(reader)
    if items is None:
        return None
    event = CacheInvalidate.__new__(CacheInvalidate)
    event.code = CACHE_INVALIDATE
    event.items = items
    return event


cdef Event decode_app_event(Reader* reader):
    cdef AppEvent event
    cdef uint64_t kind = 0
    if not read_u16(reader, &kind):
        return None
    payload = read_bytes(reader)
    if payload is None:
        return None
    event = AppEvent.__new__(AppEvent)
    event.code = APP_EVENT
    event.kind = <uint16_t>kind
    event.payload = payload
    return event


# Events without fields are all alike, so each exists once. A list by code: a tuple could not hold
# None for the others and be indexed by code at the same time.
cdef list _signals = [None] * CODE_COUNT
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
    _signals[EVENT_TYPES.index(_kind)] = _kind()
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
    if code == EMAIL_PUSH:
        return decode_email_push(reader)
    if code == CALENDAR_ALERT:
        return decode_calendar_alert(reader)
    if code == INVALIDATE_ACCESS_TOKENS or code == INVALIDATE_GROUPWARE_CACHE:
        return decode_accounts(reader, code)
    if code == RELOAD_PUSH_SERVERS or code == PUSH_SERVER_UPDATE:
        return decode_account(reader, code)
    if code == REGISTRY_INSERT or code == REGISTRY_DELETE:
        return decode_registry(reader, code)
    if code == REGISTRY_RELOAD:
        return decode_registry_reload(reader)
    if code == CACHE_INVALIDATE:
        return decode_cache_invalidate(reader)
    if code == MTA_QUEUE_STATUS:
        return _queue_started if tag == protocol.tag_of[<int>MTA_QUEUE_STATUS] else _queue_stopped
    if code == APP_EVENT:
        return decode_app_event(reader)
    if code == UNMADE:
        reader.position = where
        fail(reader, FAULT_TAG, where)
        return None
    return <Event>_signals[code]


cdef Py_ssize_t decode_run(
    Protocol protocol, Reader* reader, PyObject** events, Py_ssize_t count
) except -1:
    """Read up to ``count`` consecutive StateChange, the way ``encode_run`` writes them.

    It gives how many were read, each a new reference in ``events``; what follows them, or what
    needs a closer look, is for ``decode_event``.
    """
    if not has_bmi2() or protocol.tag_of[<int>STATE_CHANGE] < 0:
        return 0
    _state_change_record.tag = <uint8_t>protocol.tag_of[<int>STATE_CHANGE]
    # An object of the pool is a StateChange that was: its code still stands.
    return take_records_bmi2(
        &reader.position,
        reader.end,
        events,
        count,
        &_state_change_record,
        state_changes.items,
        &state_changes.used,
    )


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


cdef bint skip_items(Reader* reader) noexcept nogil:
    cdef Py_ssize_t count = 0
    cdef uint64_t number = 0
    cdef uint8_t marker
    if not read_length(reader, &count, 2):
        return False
    while count > 0:
        if remaining(reader) < 1:
            return fail(reader, FAULT_TRUNCATED, reader.position)
        marker = reader.position[0]
        if marker >= ITEM_COUNT:
            return fail(reader, FAULT_ITEM, reader.position)
        reader.position += 1
        if not read_u32(reader, &number):
            return False
        if marker == ITEM_EMAIL_NEGATIVE and not read_u32(reader, &number):
            return False
        count -= 1
    return True


cdef bint skip_event(Protocol protocol, Reader* reader):
    """Step over one event, with every check of ``decode_event`` and no object made."""
    cdef const uint8_t* where = reader.position
    cdef int code = protocol.code_of[where[0]]
    cdef uint64_t number = 0
    cdef Py_ssize_t count = 0
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
    if code == EMAIL_PUSH:
        if (
            find_three(reader, &first, &second, &third)
            and first - reader.position < 4
            and second - first <= 4
            and third - second <= 9
        ):
            reader.position = third + 1
            return True
        return read_u32(reader, &number) and read_u32(reader, &number) and read_u64(reader, &number)
    if code == CALENDAR_ALERT:
        return (
            read_u32(reader, &number)
            and read_u32(reader, &number)
            and read_u64(reader, &number)
            and skip_text(reader)
            and skip_text(reader)
        )
    if code == INVALIDATE_ACCESS_TOKENS or code == INVALIDATE_GROUPWARE_CACHE:
        if not read_length(reader, &count, 1):
            return False
        while count > 0:
            if not read_u32(reader, &number):
                return False
            count -= 1
        return True
    if code == RELOAD_PUSH_SERVERS or code == PUSH_SERVER_UPDATE:
        return read_u32(reader, &number)
    if code == REGISTRY_INSERT or code == REGISTRY_DELETE:
        return read_u16(reader, &number) and read_u64(reader, &number)
    if code == REGISTRY_RELOAD:
        return read_u16(reader, &number)
    if code == CACHE_INVALIDATE:
        return skip_items(reader)
    if code == APP_EVENT:
        if not (read_u16(reader, &number) and read_length(reader, &count, 1)):
            return False
        reader.position += count
        return True
    if code == UNMADE:
        reader.position = where
        return fail(reader, FAULT_TAG, where)
    return True


cdef Py_ssize_t count_events(Protocol protocol, Reader* reader):
    """Count the well-formed events up to the end or the first fault.

    After a fault, ``position`` is where the malformed event starts.
    """
    cdef Py_ssize_t count = 0
    cdef const uint8_t* where
    while reader.position < reader.end:
        where = reader.position
        if not skip_event(protocol, reader):
            reader.position = where
            return count
        count += 1
    return count


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


def decode_batch(payload, *, protocol):
    """Decode the bytes of one message.

    :param payload: anything with a buffer: ``bytes``, ``bytearray``, ``memoryview``.
    :param protocol: ``"stalwart-0.15"``, ``"stalwart-0.16"``, ``"stalwart-1.0"`` or
        ``"fastcoord-1"``.
    :return: a ``Batch``.
    :raises DecodeError: the payload is malformed; its ``offset`` says where, its ``decoded`` holds
        the events before that.
    :raises ValueError: there is no such protocol.
    """
    cdef Protocol tables = get_protocol(protocol)
    cdef Reader reader
    cdef Py_buffer view
    cdef uint64_t node_id = 0
    cdef const uint8_t* event_at
    cdef Vector vector
    PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
    vector.start = NULL
    vector.used = vector.room = 0
    try:
        reader_init(&reader, <const uint8_t*>view.buf, view.len)
        if not read_u16(&reader, &node_id):
            raise DecodeError(
                explain(tables, &reader, NULL), reader.fault_at - reader.start, (), None
            )
        while reader.position < reader.end:
            vector_reserve(&vector)
            vector.used += decode_run(
                tables, &reader, vector.start + vector.used, vector.room - vector.used - 1
            )
            if reader.position == reader.end:
                break
            event_at = reader.position
            event = decode_event(tables, &reader)
            if event is None:
                raise DecodeError(
                    explain(tables, &reader, event_at),
                    reader.fault_at - reader.start,
                    vector_take(&vector),
                    node_id,
                )
            vector_append(&vector, event)
        return make_batch(<uint16_t>node_id, None, vector_take(&vector))
    finally:
        vector_free(&vector)
        PyBuffer_Release(&view)
