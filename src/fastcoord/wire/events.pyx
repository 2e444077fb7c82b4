# cython: language_level=3, embedsignature=True
"""The event types: small immutable values whose fields are C integers where they can be.

An event checks its fields once, when it is made, so that encoding cannot fail later. WIRE names the
fields and their widths; the order of the arguments is the order in which one speaks of them.
"""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastcoord.wire.fields cimport (
    LARGEST_U16,
    LARGEST_U32,
    LARGEST_U64,
    as_accounts,
    as_items,
    as_recurrence,
    as_text,
    as_uint,
    refuse_type,
    unpack_accounts,
    unpack_items,
)
from fastcoord.wire.pool cimport (
    LARGE_POOL_ROOM,
    SMALL_POOL_ROOM,
    Pool,
    destructor,
    pool_keep,
    set_to_none,
)

cdef inline int refuse_again(Event event) except -1:
    """Stand first in every ``__init__``: a second call would change a value that others hold.

    The code is set last, so that an event whose making failed stays unmade and cannot be sent.
    """
    if event.code != UNMADE:
        raise TypeError(f"{type(event).__name__} is immutable")
    return 0


cdef class Event:
    """The base of every event that travels between nodes.

    Events are immutable, hashable, comparable and picklable, take their fields by position or by
    keyword, and work with ``match``. Make one of the subclasses; this class alone is nothing.
    """

    __match_args__ = ()

    cdef tuple values(self):
        return ()

    def __repr__(self):
        fields = ", ".join(
            [
                f"{name}={value!r}"
                for name, value in zip(type(self).__match_args__, self.values())
            ]
        )
        return f"{type(self).__name__}({fields})"

    def __eq__(self, other):
        if type(self) is not type(other):
            return NotImplemented
        return self.values() == (<Event>other).values()

    def __hash__(self):
        return hash((self.code, self.values()))

    def __reduce__(self):
        return (type(self), self.values())

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self


@cython.final
cdef class StateChange(Event):
    """Objects of an account changed.

    :param account_id: u32.
    :param change_id: u64, the account's change counter after the change.
    :param types: u64, a bitmap of ``DataType``.
    """

    __match_args__ = ("account_id", "change_id", "types")

    def __init__(self, account_id, change_id, types):
        refuse_again(self)
        self.account_id = <uint32_t>as_uint(self, "account_id", account_id, LARGEST_U32)
        self.change_id = as_uint(self, "change_id", change_id, LARGEST_U64)
        self.types = as_uint(self, "types", types, LARGEST_U64)
        self.code = STATE_CHANGE

    cdef tuple values(self):
        return (self.account_id, self.change_id, self.types)


@cython.final
@cython.no_gc
cdef class CalendarAlert(Event):
    """A calendar alarm is due.

    :param account_id: u32.
    :param event_id: u32.
    :param recurrence_id: i64, or ``None``; 0 means none as well, as on the wire.
    :param uid: the calendar event's UID.
    :param alert_id: the alarm's id.
    """

    __match_args__ = ("account_id", "event_id", "recurrence_id", "uid", "alert_id")

    def __init__(self, account_id, event_id, recurrence_id, uid, alert_id):
        refuse_again(self)
        self.account_id = <uint32_t>as_uint(self, "account_id", account_id, LARGEST_U32)
        self.event_id = <uint32_t>as_uint(self, "event_id", event_id, LARGEST_U32)
        self.recurrence = as_recurrence(self, recurrence_id)
        self.uid = as_text(self, "uid", uid)
        self.alert_id = as_text(self, "alert_id", alert_id)
        self.code = CALENDAR_ALERT

    @property
    def recurrence_id(self):
        """The recurrence of a repeating event that is meant, or ``None``."""
        return self.recurrence if self.recurrence != 0 else None

    cdef tuple values(self):
        return (self.account_id, self.event_id, self.recurrence_id, self.uid, self.alert_id)


@cython.final
cdef class EmailPush(Event):
    """An email arrived and a push is due.

    :param account_id: u32.
    :param email_id: u32, the document id of the email.
    :param change_id: u64.
    """

    __match_args__ = ("account_id", "email_id", "change_id")

    def __init__(self, account_id, email_id, change_id):
        refuse_again(self)
        self.account_id = <uint32_t>as_uint(self, "account_id", account_id, LARGEST_U32)
        self.email_id = <uint32_t>as_uint(self, "email_id", email_id, LARGEST_U32)
        self.change_id = as_uint(self, "change_id", change_id, LARGEST_U64)
        self.code = EMAIL_PUSH

    cdef tuple values(self):
        return (self.account_id, self.email_id, self.change_id)


@cython.no_gc
cdef class ListEvent(Event):
    """An event that is a list: of one decoded, the members are made when somebody reads them."""


@cython.no_gc
cdef class AccountList(ListEvent):
    __match_args__ = ("account_ids",)

    @property
    def account_ids(self):
        """The accounts, a tuple of integers."""
        if self.members is None:
            self.members = () if self.packed is None else unpack_accounts(self.packed, self.count)
        return self.members

    cdef tuple values(self):
        return (self.account_ids,)


@cython.final
@cython.no_gc
cdef class InvalidateAccessTokens(AccountList):
    """Access tokens of these accounts are no longer valid.

    :param account_ids: an iterable of u32, kept as a tuple. A list too long for one batch is split.
    """

    def __init__(self, account_ids):
        refuse_again(self)
        self.members = as_accounts(self, account_ids)
        self.code = INVALIDATE_ACCESS_TOKENS


@cython.final
@cython.no_gc
cdef class InvalidateGroupwareCache(AccountList):
    """Cached calendars, contacts and files of these accounts are stale.

    :param account_ids: an iterable of u32, kept as a tuple. A list too long for one batch is split.
    """

    def __init__(self, account_ids):
        refuse_again(self)
        self.members = as_accounts(self, account_ids)
        self.code = INVALIDATE_GROUPWARE_CACHE


cdef class AccountEvent(Event):
    __match_args__ = ("account_id",)

    cdef tuple values(self):
        return (self.account_id,)


@cython.final
cdef class ReloadPushServers(AccountEvent):
    """The push subscriptions of an account changed (Stalwart 0.14 and 0.15).

    :param account_id: u32.
    """

    def __init__(self, account_id):
        refuse_again(self)
        self.account_id = <uint32_t>as_uint(self, "account_id", account_id, LARGEST_U32)
        self.code = RELOAD_PUSH_SERVERS


@cython.final
cdef class PushServerUpdate(AccountEvent):
    """The push subscriptions of an account changed (Stalwart 0.16).

    :param account_id: u32.
    """

    def __init__(self, account_id):
        refuse_again(self)
        self.account_id = <uint32_t>as_uint(self, "account_id", account_id, LARGEST_U32)
        self.code = PUSH_SERVER_UPDATE


cdef class RegistryEntry(Event):
    __match_args__ = ("object", "id")

    cdef tuple values(self):
        return (self.object, self.id)


@cython.final
cdef class RegistryInsert(RegistryEntry):
    """A registry object was added; "an address was blocked" is an insert of a BlockedIp.

    :param object: u16, an ``ObjectType`` where it has a name.
    :param id: u64.
    """

    def __init__(self, object, id):
        refuse_again(self)
        self.object = <uint16_t>as_uint(self, "object", object, LARGEST_U16)
        self.id = as_uint(self, "id", id, LARGEST_U64)
        self.code = REGISTRY_INSERT


@cython.final
cdef class RegistryDelete(RegistryEntry):
    """A registry object was removed.

    :param object: u16, an ``ObjectType`` where it has a name.
    :param id: u64.
    """

    def __init__(self, object, id):
        refuse_again(self)
        self.object = <uint16_t>as_uint(self, "object", object, LARGEST_U16)
        self.id = as_uint(self, "id", id, LARGEST_U64)
        self.code = REGISTRY_DELETE


@cython.final
cdef class RegistryReload(Event):
    """All registry objects of one type are to be read again.

    :param object: u16, an ``ObjectType`` where it has a name.
    """

    __match_args__ = ("object",)

    def __init__(self, object):
        refuse_again(self)
        self.object = <uint16_t>as_uint(self, "object", object, LARGEST_U16)
        self.code = REGISTRY_RELOAD

    cdef tuple values(self):
        return (self.object,)


@cython.final
@cython.no_gc
cdef class CacheInvalidate(ListEvent):
    """Cached objects are stale.

    :param items: an iterable of tuples, kept as a tuple: a name and an id, for example
        ``("Domain", 5)``; ``("EmailNegative", id, local_part_hash)`` has a third member. Ids are
        u32. A list too long for one batch is split.
    """

    __match_args__ = ("items",)

    def __init__(self, items):
        refuse_again(self)
        self.members = as_items(self, items)
        self.code = CACHE_INVALIDATE

    @property
    def items(self):
        """What is stale, a tuple of tuples."""
        if self.members is None:
            self.members = () if self.packed is None else unpack_items(self.packed, self.count)
        return self.members

    cdef tuple values(self):
        return (self.items,)


@cython.final
cdef class MtaQueueStatus(Event):
    """The outgoing mail queue was started or stopped.

    :param is_running: a bool.
    """

    __match_args__ = ("is_running",)

    def __init__(self, is_running):
        refuse_again(self)
        if not isinstance(is_running, bool):
            refuse_type(self, "is_running", is_running, "a bool")
        self.is_running = is_running
        self.code = MTA_QUEUE_STATUS

    cdef tuple values(self):
        return (self.is_running,)


cdef class Signal(Event):
    pass


@cython.final
cdef class ReloadSettings(Signal):
    """The settings are to be read again."""

    def __init__(self):
        refuse_again(self)
        self.code = RELOAD_SETTINGS


@cython.final
cdef class ReloadBlockedIps(Signal):
    """The blocked addresses are to be read again."""

    def __init__(self):
        refuse_again(self)
        self.code = RELOAD_BLOCKED_IPS


@cython.final
cdef class ReloadSpamFilter(Signal):
    """The spam filter is to be read again (since Stalwart 0.15.0)."""

    def __init__(self):
        refuse_again(self)
        self.code = RELOAD_SPAM_FILTER


@cython.final
cdef class CacheInvalidateAll(Signal):
    """Every cache is stale."""

    def __init__(self):
        refuse_again(self)
        self.code = CACHE_INVALIDATE_ALL


@cython.final
cdef class CacheInvalidateNegative(Signal):
    """Every cached "there is no such thing" is stale."""

    def __init__(self):
        refuse_again(self)
        self.code = CACHE_INVALIDATE_NEGATIVE


@cython.final
cdef class QueueRefresh(Signal):
    """The outgoing mail queue is to be read again."""

    def __init__(self):
        refuse_again(self)
        self.code = QUEUE_REFRESH


@cython.final
cdef class TaskQueueRefresh(Signal):
    """The task queue is to be read again (``stalwart-1.0``)."""

    def __init__(self):
        refuse_again(self)
        self.code = TASK_QUEUE_REFRESH


@cython.final
cdef class IndexQueueRefresh(Signal):
    """The index queue is to be read again (``stalwart-1.0``)."""

    def __init__(self):
        refuse_again(self)
        self.code = INDEX_QUEUE_REFRESH


@cython.final
@cython.no_gc
cdef class AppEvent(Event):
    """An event that an application defines itself (``fastcoord-1`` only).

    :param kind: u16, the application's own numbering.
    :param payload: bytes; ``bytearray`` and ``memoryview`` are copied.
    """

    __match_args__ = ("kind", "payload")

    def __init__(self, kind, payload=b""):
        refuse_again(self)
        self.kind = <uint16_t>as_uint(self, "kind", kind, LARGEST_U16)
        if not isinstance(payload, (bytes, bytearray, memoryview)):
            refuse_type(self, "payload", payload, "bytes")
        # By way of a view: bytes() of a subclass may give the subclass again.
        self.payload = payload if type(payload) is bytes else bytes(memoryview(payload))
        self.code = APP_EVENT

    cdef tuple values(self):
        return (self.kind, self.payload)


# By code, for the tables of the codec.
EVENT_TYPES = (
    None,
    StateChange,
    CalendarAlert,
    EmailPush,
    PushServerUpdate,
    RegistryInsert,
    RegistryDelete,
    RegistryReload,
    CacheInvalidate,
    CacheInvalidateAll,
    CacheInvalidateNegative,
    MtaQueueStatus,
    QueueRefresh,
    TaskQueueRefresh,
    IndexQueueRefresh,
    InvalidateAccessTokens,
    InvalidateGroupwareCache,
    ReloadSettings,
    ReloadBlockedIps,
    ReloadPushServers,
    ReloadSpamFilter,
    AppEvent,
)


# ------------------------------------------------------------------------------------------ pools

cdef extern from "Python.h":
    ctypedef struct FullType "PyTypeObject"
    ctypedef PyObject* (*newfunc)(FullType*, PyObject*, PyObject*)
    ctypedef struct FullType "PyTypeObject":
        destructor tp_dealloc
        newfunc tp_new
        Py_ssize_t tp_basicsize
    FullType* full_type "Py_TYPE"(PyObject*) noexcept

# By code: the class, where its objects' references lie in them (0 for none), and how an object was
# freed before its class was given `end`.
cdef struct Kind:
    FullType* type
    Py_ssize_t references[2]
    destructor free_one

cdef Kind kinds[CODE_COUNT]
cdef Pool all_pools[CODE_COUNT]
cdef PyObject* pool_memory[LARGE_POOL_ROOM + CODE_COUNT * SMALL_POOL_ROOM + 1]
cdef Py_ssize_t code_at = 0
cdef tuple no_arguments = ()


cdef void end(PyObject* item) noexcept:
    """Keep the memory of an event that nobody holds any more, or give it back."""
    cdef int code = (<uint8_t*>item + code_at)[0]
    cdef int index
    if code != UNMADE and pool_keep(&all_pools[code], item):
        for index in range(2):
            if kinds[code].references[index] == 0:
                break
            set_to_none(<PyObject**>(<char*>item + kinds[code].references[index]))
        return
    if code == UNMADE:
        # Its making failed, so that it does not know itself what it is.
        for code in range(1, <int>CODE_COUNT):
            if kinds[code].type == full_type(item):
                break
    kinds[code].free_one(item)


cdef PyObject* make(int code) except NULL:
    """Make an event of a kind in new memory; its fields are to be set."""
    return kinds[code].type.tp_new(kinds[code].type, <PyObject*>no_arguments, NULL)


# How a StateChange lies in memory, for the loops that write and read runs of them.
cdef describe_state_change():
    cdef StateChange sample = StateChange.__new__(StateChange)
    cdef char* base = <char*><PyObject*>sample
    state_change_record.type = <void*>StateChange
    state_change_record.code = STATE_CHANGE
    state_change_record.code_at = <char*>&sample.code - base
    state_change_record.first_at = <char*>&sample.change_id - base
    state_change_record.second_at = <char*>&sample.types - base
    state_change_record.third_at = <char*>&sample.account_id - base


cdef Py_ssize_t place_of(Event event, value) except -1:
    """Find where in an event the only reference to a value lies."""
    cdef char* base = <char*><PyObject*>event
    cdef Py_ssize_t place = full_type(<PyObject*>event).tp_basicsize - sizeof(PyObject*)
    while (<PyObject**>(base + place))[0] != <PyObject*>value:
        place -= sizeof(PyObject*)
    return place


cdef describe_kinds():
    global code_at
    cdef int code
    cdef ListEvent members
    cdef PyObject** room = pool_memory
    code_at = state_change_record.code_at
    text, other = "a text that is met nowhere else", "and another"
    alert = CalendarAlert(0, 0, None, text, other)
    kinds[<int>CALENDAR_ALERT].references = [place_of(alert, text), place_of(alert, other)]
    for members in (
        InvalidateAccessTokens([1]), InvalidateGroupwareCache([1]), CacheInvalidate([("Domain", 1)])
    ):
        members.packed = b"bytes that are met nowhere else"
        kinds[<int>members.code].references = [
            place_of(members, members.members), place_of(members, members.packed)
        ]
    app = AppEvent(0, b"a payload that is met nowhere else")
    kinds[<int>APP_EVENT].references[0] = place_of(app, app.payload)
    for code in range(1, <int>CODE_COUNT):
        all_pools[code].items = room
        all_pools[code].room = LARGE_POOL_ROOM if code == STATE_CHANGE else SMALL_POOL_ROOM
        room += all_pools[code].room
        # Every one of these classes is final, so that an object's memory can wait as it is.
        kinds[code].type = <FullType*><PyObject*>EVENT_TYPES[code]
        kinds[code].free_one = kinds[code].type.tp_dealloc
    for code in range(1, <int>CODE_COUNT):
        kinds[code].type.tp_dealloc = end


describe_state_change()
describe_kinds()
pools = &all_pools[0]
end_event = end
make_event = make
