# cython: language_level=3
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

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

# The markers of CacheInvalidate's items, as WIRE numbers them.
cdef enum:
    ITEM_EMAIL_NEGATIVE = 10
    ITEM_COUNT = 12

cdef tuple ITEM_NAMES

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

cdef class AccountList(Event):
    cdef readonly tuple account_ids

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

cdef class CacheInvalidate(Event):
    cdef readonly tuple items

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

# Events die as fast as they are made. Memory of the two that make up nearly all traffic goes back
# to a pool when they do, and a decoder takes it from there, type and method table in place.
cdef extern from *:
    """
    #ifndef FASTCOORD_POOL_H
    #define FASTCOORD_POOL_H
    #if defined(FASTCOORD_POOL_ROOM)
    /* chosen by whoever builds */
    #elif defined(__SANITIZE_ADDRESS__)
    #define FASTCOORD_POOL_ROOM 0   /* the sanitizer is to see every lifetime as it is */
    #else
    #define FASTCOORD_POOL_ROOM 8192
    #endif
    typedef struct {
        Py_ssize_t used;
        destructor free_one;
        PyObject* items[FASTCOORD_POOL_ROOM + 1];
    } FastcoordPool;
    static inline int fastcoord_pool_keep(FastcoordPool* pool, PyObject* item) {
        if (pool->used >= FASTCOORD_POOL_ROOM) return 0;
        pool->items[pool->used++] = item;
        return 1;
    }
    static inline PyObject* fastcoord_pool_take(FastcoordPool* pool) {
        PyObject* item;
        if (pool->used == 0) return NULL;
        item = pool->items[--pool->used];
    #ifdef Py_REF_DEBUG
        _Py_NewReference(item);
    #else
        Py_SET_REFCNT(item, 1);
    #endif
        return item;
    }
    #endif
    """
    ctypedef void (*destructor)(PyObject*)
    ctypedef struct Pool "FastcoordPool":
        Py_ssize_t used
        destructor free_one
        PyObject** items
    bint pool_keep "fastcoord_pool_keep"(Pool* pool, PyObject* item) noexcept
    PyObject* pool_take "fastcoord_pool_take"(Pool* pool) noexcept

cdef extern from "Python.h":
    ctypedef struct TypeWithBase "PyTypeObject":
        TypeWithBase* tp_base
    TypeWithBase* type_of "Py_TYPE"(object) noexcept
    TypeWithBase* type_at "Py_TYPE"(PyObject*) noexcept

from fastcoord._wire cimport Record

cdef Record state_change_record
cdef Pool* state_changes
cdef Pool* email_pushes

cdef extern from *:
    """
    #define fastcoord_owned(item) (item)
    """
    # Takes over the reference that a C pointer stands for.
    object owned "fastcoord_owned"(PyObject*)

cdef inline StateChange new_state_change():
    cdef PyObject* item = pool_take(state_changes)
    if item != NULL:
        return <StateChange>owned(item)
    return StateChange.__new__(StateChange)

cdef inline EmailPush new_email_push():
    cdef PyObject* item = pool_take(email_pushes)
    if item != NULL:
        return <EmailPush>owned(item)
    return EmailPush.__new__(EmailPush)

cdef inline bint is_state_change(PyObject* value) noexcept:
    return type_at(value) == <TypeWithBase*>StateChange

cdef inline bint is_event(object value):
    # Most event classes stand directly below Event; the rest, and strangers, take the long way.
    return type_of(value).tp_base == <TypeWithBase*>Event or isinstance(value, Event)
