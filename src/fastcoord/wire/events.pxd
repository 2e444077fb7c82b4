# cython: language_level=3
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastcoord.wire.pool cimport Pool, destructor, owned, pool_take
from fastcoord.wire.primitives cimport Record

# What an event is, independent of any protocol. Zero means: made by __new__ and never initialised.
cdef enum Code:
    UNMADE = 0
    STATE_CHANGE
    CALENDAR_ALERT
    EMAIL_PUSH
    PUSH_SERVER_UPDATE
    REGISTRY_INSERT
    REGISTRY_DELETE
    REGISTRY_RELOAD
    CACHE_INVALIDATE
    CACHE_INVALIDATE_ALL
    CACHE_INVALIDATE_NEGATIVE
    MTA_QUEUE_STATUS
    QUEUE_REFRESH
    TASK_QUEUE_REFRESH
    INDEX_QUEUE_REFRESH
    INVALIDATE_ACCESS_TOKENS
    INVALIDATE_GROUPWARE_CACHE
    RELOAD_SETTINGS
    RELOAD_BLOCKED_IPS
    RELOAD_PUSH_SERVERS
    RELOAD_SPAM_FILTER
    APP_EVENT
    CODE_COUNT

cdef class Event:
    cdef uint8_t code
    cdef tuple values(self)

cdef class StateChange(Event):
    cdef readonly uint64_t change_id
    cdef readonly uint64_t types
    cdef readonly uint32_t account_id

cdef class CalendarAlert(Event):
    cdef readonly uint32_t account_id
    cdef readonly uint32_t event_id
    cdef int64_t recurrence
    cdef readonly str uid
    cdef readonly str alert_id

cdef class EmailPush(Event):
    cdef readonly uint64_t change_id
    cdef readonly uint32_t account_id
    cdef readonly uint32_t email_id

cdef class ListEvent(Event):
    cdef tuple members    # None when only `packed` is there
    cdef bytes packed     # the members as they travel, in their shortest form, or None
    cdef uint32_t count   # of them, where they are packed

cdef class AccountList(ListEvent):
    pass

cdef class InvalidateAccessTokens(AccountList):
    pass

cdef class InvalidateGroupwareCache(AccountList):
    pass

cdef class AccountEvent(Event):
    cdef readonly uint32_t account_id

cdef class ReloadPushServers(AccountEvent):
    pass

cdef class PushServerUpdate(AccountEvent):
    pass

cdef class RegistryEntry(Event):
    cdef readonly uint64_t id
    cdef readonly uint16_t object

cdef class RegistryInsert(RegistryEntry):
    pass

cdef class RegistryDelete(RegistryEntry):
    pass

cdef class RegistryReload(Event):
    cdef readonly uint16_t object

cdef class CacheInvalidate(ListEvent):
    pass

cdef class MtaQueueStatus(Event):
    cdef readonly bint is_running

cdef class Signal(Event):
    pass

cdef class ReloadSettings(Signal):
    pass

cdef class ReloadBlockedIps(Signal):
    pass

cdef class ReloadSpamFilter(Signal):
    pass

cdef class CacheInvalidateAll(Signal):
    pass

cdef class CacheInvalidateNegative(Signal):
    pass

cdef class QueueRefresh(Signal):
    pass

cdef class TaskQueueRefresh(Signal):
    pass

cdef class IndexQueueRefresh(Signal):
    pass

cdef class AppEvent(Event):
    cdef readonly bytes payload
    cdef readonly uint16_t kind

cdef extern from "Python.h":
    ctypedef struct TypeWithEnd "PyTypeObject":
        destructor tp_dealloc
    TypeWithEnd* type_of "Py_TYPE"(object) noexcept
    TypeWithEnd* type_at "Py_TYPE"(PyObject*) noexcept

cdef Record state_change_record
cdef Pool* pools              # by code
cdef destructor end_event     # of all event classes, and of no other
cdef PyObject* (*make_event)(int code) except NULL

cdef inline object new_event(int code):
    """Give an event whose fields, ``code`` among them, are to be set."""
    cdef PyObject* item = pool_take(&pools[code])
    return owned(item if item != NULL else make_event(code))

cdef inline bint is_event_at(PyObject* value) noexcept:
    return type_at(value).tp_dealloc == end_event

cdef inline bint is_event(object value):
    # A stranger that is made to look like an event takes the long way.
    return type_of(value).tp_dealloc == end_event or isinstance(value, Event)
