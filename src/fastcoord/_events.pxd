# cython: language_level=3
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
