# cython: language_level=3, embedsignature=True
"""The event types: small immutable values whose fields are C integers where they can be.

An event checks its fields once, when it is made, so that encoding cannot fail later. WIRE names the
fields and their widths; the order of the arguments is the order in which one speaks of them.
"""

cimport cython
from cpython.long cimport PyLong_Check, PyLong_CheckExact
from cpython.exc cimport PyErr_Clear, PyErr_Occurred
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastcoord._wire cimport Record

cdef extern from "Python.h":
    unsigned long long PyLong_AsUnsignedLongLong(object) noexcept
    long long PyLong_AsLongLong(object) noexcept
    object PyNumber_Index(object)
    const char* PyUnicode_AsUTF8AndSize(object, Py_ssize_t*) except NULL

cdef enum:
    LARGEST_U16 = 0xffff

cdef uint64_t LARGEST_U32 = 0xffffffff
cdef uint64_t LARGEST_U64 = 0xffffffffffffffff
cdef uint64_t INVALID = 0xffffffffffffffff

ITEM_NAMES = (
    "AccessToken",
    "DavResources",
    "Domain",
    "Account",
    "DkimSignature",
    "Tenant",
    "Role",
    "List",
    "DomainLogo",
    "TenantLogo",
    "EmailNegative",
    "DomainNegative",
)
cdef dict ITEM_MARKERS = {name: marker for marker, name in enumerate(ITEM_NAMES)}


cdef refuse_type(Event event, str field, value, str wanted):
    raise TypeError(
        f"{type(event).__name__}.{field} must be {wanted}, not {type(value).__name__} ({value!r:.60})"
    )


cdef refuse_range(Event event, str field, value, lowest, largest):
    raise ValueError(
        f"{type(event).__name__}.{field} must be from {lowest} to {largest}, not {value!r:.60}"
    )


cdef object as_integer(Event event, str field, value):
    """Give the plain int behind an IntFlag, an IntEnum or anything with ``__index__``."""
    # True is an int to Python, but an account id of True is a mistake in every program.
    if isinstance(value, bool) or not (PyLong_Check(value) or hasattr(value, "__index__")):
        refuse_type(event, field, value, "an integer")
    return PyNumber_Index(value)


cdef inline uint64_t as_uint(Event event, str field, value, uint64_t largest) except? 0xffffffffffffffff:
    cdef unsigned long long number
    if not PyLong_CheckExact(value):
        value = as_integer(event, field, value)
    number = PyLong_AsUnsignedLongLong(value)
    if number == INVALID and PyErr_Occurred():
        PyErr_Clear()
        refuse_range(event, field, value, 0, largest)
    if number > largest:
        refuse_range(event, field, value, 0, largest)
    return number


cdef int64_t as_recurrence(Event event, value) except? -1:
    """Read a recurrence id; on the wire, and so in memory, 0 stands for none."""
    cdef str field = "recurrence_id"
    cdef long long number
    if value is None:
        return 0
    if not PyLong_CheckExact(value):
        value = as_integer(event, field, value)
    number = PyLong_AsLongLong(value)
    if number == -1 and PyErr_Occurred():
        PyErr_Clear()
        refuse_range(event, field, value, -(1 << 63), (1 << 63) - 1)
    return number


cdef str as_text(Event event, str field, value):
    cdef Py_ssize_t size
    if type(value) is not str:
        if not isinstance(value, str):
            refuse_type(event, field, value, "a str")
        value = str.__str__(value)
    try:
        PyUnicode_AsUTF8AndSize(value, &size)
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{type(event).__name__}.{field} has no UTF-8 form: character {error.start} is a lone"
            f" surrogate ({value[error.start]!r})"
        ) from None
    return value


cdef tuple as_accounts(Event event, value):
    cdef list accounts = []
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        refuse_type(event, "account_ids", value, "an iterable of integers")
    for account in value:
        accounts.append(as_uint(event, "account_ids", account, LARGEST_U32))
    return tuple(accounts)


cdef tuple as_item(Event event, Py_ssize_t index, item):
    cdef str field = f"items[{index}]"
    cdef uint64_t marker
    if isinstance(item, str) or not isinstance(item, (tuple, list)) or len(item) < 2:
        refuse_type(event, field, item, 'a tuple such as ("Domain", 5)')
    name = item[0]
    if not isinstance(name, str) or name not in ITEM_MARKERS:
        raise ValueError(
            f"{type(event).__name__}.{field} has no item {name!r:.60}; it must be one of"
            f" {', '.join(ITEM_NAMES)}"
        )
    marker = ITEM_MARKERS[name]
    if len(item) != (3 if marker == ITEM_EMAIL_NEGATIVE else 2):
        wanted = (
            '("EmailNegative", id, local_part_hash)'
            if marker == ITEM_EMAIL_NEGATIVE
            else f'("{name}", id)'
        )
        raise ValueError(f"{type(event).__name__}.{field} must be {wanted}, not {item!r:.60}")
    first = as_uint(event, field, item[1], LARGEST_U32)
    name = ITEM_NAMES[marker]
    if marker == ITEM_EMAIL_NEGATIVE:
        return (name, first, as_uint(event, field, item[2], LARGEST_U32))
    return (name, first)


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
cdef class AccountList(Event):
    __match_args__ = ("account_ids",)

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
        self.account_ids = as_accounts(self, account_ids)
        self.code = INVALIDATE_ACCESS_TOKENS


@cython.final
@cython.no_gc
cdef class InvalidateGroupwareCache(AccountList):
    """Cached calendars, contacts and files of these accounts are stale.

    :param account_ids: an iterable of u32, kept as a tuple. A list too long for one batch is split.
    """

    def __init__(self, account_ids):
        refuse_again(self)
        self.account_ids = as_accounts(self, account_ids)
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
cdef class CacheInvalidate(Event):
    """Cached objects are stale.

    :param items: an iterable of tuples, kept as a tuple: a name and an id, for example
        ``("Domain", 5)``; ``("EmailNegative", id, local_part_hash)`` has a third member. Ids are
        u32. A list too long for one batch is split.
    """

    __match_args__ = ("items",)

    def __init__(self, items):
        refuse_again(self)
        if isinstance(items, (str, bytes)) or not hasattr(items, "__iter__"):
            refuse_type(self, "items", items, 'an iterable of tuples such as ("Domain", 5)')
        self.items = tuple([as_item(self, index, item) for index, item in enumerate(items)])
        self.code = CACHE_INVALIDATE

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
        self.payload = payload if type(payload) is bytes else bytes(payload)
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

cdef extern from *:
    """
    static FastcoordPool fastcoord_state_changes, fastcoord_email_pushes;
    static void fastcoord_end_state_change(PyObject* item) {
        if (!fastcoord_pool_keep(&fastcoord_state_changes, item))
            fastcoord_state_changes.free_one(item);
    }
    static void fastcoord_end_email_push(PyObject* item) {
        if (!fastcoord_pool_keep(&fastcoord_email_pushes, item))
            fastcoord_email_pushes.free_one(item);
    }
    """
    Pool pool_of_state_changes "fastcoord_state_changes"
    Pool pool_of_email_pushes "fastcoord_email_pushes"
    void end_state_change "fastcoord_end_state_change"(PyObject*) noexcept
    void end_email_push "fastcoord_end_email_push"(PyObject*) noexcept

cdef extern from "Python.h":
    ctypedef struct DeallocType "PyTypeObject":
        destructor tp_dealloc

state_changes = &pool_of_state_changes
email_pushes = &pool_of_email_pushes
# Both classes are final and hold no objects, so that an instance's memory can wait as it is.
state_changes.free_one = (<DeallocType*>StateChange).tp_dealloc
email_pushes.free_one = (<DeallocType*>EmailPush).tp_dealloc
(<DeallocType*>StateChange).tp_dealloc = end_state_change
(<DeallocType*>EmailPush).tp_dealloc = end_email_push


# The loops that write and read runs of StateChange need to know how one lies in memory.
cdef describe_state_change():
    cdef StateChange sample = StateChange.__new__(StateChange)
    cdef char* base = <char*><PyObject*>sample
    state_change_record.type = <void*>StateChange
    state_change_record.code = STATE_CHANGE
    state_change_record.code_at = <char*>&sample.code - base
    state_change_record.first_at = <char*>&sample.change_id - base
    state_change_record.second_at = <char*>&sample.types - base
    state_change_record.third_at = <char*>&sample.account_id - base


describe_state_change()
