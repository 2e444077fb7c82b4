"""Sample events of every kind, with the minimum and maximum of their fields."""

from __future__ import annotations

from fastcoord import (
    AppEvent,
    CacheInvalidate,
    CacheInvalidateAll,
    CacheInvalidateNegative,
    CalendarAlert,
    DataType,
    EmailPush,
    Event,
    IndexQueueRefresh,
    InvalidateAccessTokens,
    InvalidateGroupwareCache,
    MtaQueueStatus,
    ObjectType,
    PushServerUpdate,
    QueueRefresh,
    RegistryDelete,
    RegistryInsert,
    RegistryReload,
    ReloadBlockedIps,
    ReloadPushServers,
    ReloadSettings,
    ReloadSpamFilter,
    StateChange,
    TaskQueueRefresh,
)
from support.oracles import reference

U32, U64 = (1 << 32) - 1, (1 << 64) - 1

EVERY_KIND: tuple[Event, ...] = (
    StateChange(account_id=7, change_id=42, types=DataType.EMAIL | DataType.MAILBOX),
    StateChange(account_id=U32, change_id=U64, types=U64),
    CalendarAlert(account_id=1, event_id=2, recurrence_id=None, uid="", alert_id=""),
    CalendarAlert(
        account_id=U32, event_id=U32, recurrence_id=-1, uid="Besprechung – 会議", alert_id="\r\n\0"
    ),
    EmailPush(account_id=3, email_id=4, change_id=5),
    InvalidateAccessTokens(account_ids=()),
    InvalidateAccessTokens(account_ids=(1, 128, U32)),
    InvalidateGroupwareCache(account_ids=(9,)),
    ReloadSettings(),
    ReloadBlockedIps(),
    ReloadPushServers(account_id=11),
    ReloadSpamFilter(),
    PushServerUpdate(account_id=12),
    RegistryInsert(object=ObjectType.BLOCKED_IP, id=1),
    RegistryDelete(object=65535, id=U64),
    RegistryReload(object=0),
    CacheInvalidate(items=(("Domain", 5), ("EmailNegative", 5, 9), ("DomainNegative", 0))),
    CacheInvalidateAll(),
    CacheInvalidateNegative(),
    MtaQueueStatus(is_running=True),
    MtaQueueStatus(is_running=False),
    QueueRefresh(),
    TaskQueueRefresh(),
    IndexQueueRefresh(),
    AppEvent(kind=65535, payload=b"\x00\xff\r\nPING\r\n"),
    AppEvent(kind=0, payload=b""),
)


def samples(protocol: str) -> list[Event]:
    """Return the samples that a protocol can carry, which include every kind it has."""
    known = reference.event_types(protocol)
    chosen = [event for event in EVERY_KIND if type(event).__name__ in known]
    assert {type(event).__name__ for event in chosen} == known
    return chosen
