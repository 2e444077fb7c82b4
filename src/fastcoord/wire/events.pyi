"""Generated from ``table.py`` by ``make generate``."""

from collections.abc import Iterable, Sequence
from typing import ClassVar, final

from typing_extensions import Self

EVENT_TYPES: tuple[type[Event] | None, ...]

_CacheItem = tuple[str, int] | tuple[str, int, int]

class Event:
    __match_args__: ClassVar[tuple[str, ...]]
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, memo: object) -> Self: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class StateChange(Event):
    def __new__(cls, account_id: int, change_id: int, types: int) -> Self: ...
    @property
    def account_id(self) -> int: ...
    @property
    def change_id(self) -> int: ...
    @property
    def types(self) -> int: ...

@final
class CalendarAlert(Event):
    def __new__(
        cls,
        account_id: int,
        event_id: int,
        recurrence_id: int | None,
        uid: str,
        alert_id: str,
    ) -> Self: ...
    @property
    def account_id(self) -> int: ...
    @property
    def event_id(self) -> int: ...
    @property
    def recurrence_id(self) -> int | None: ...
    @property
    def uid(self) -> str: ...
    @property
    def alert_id(self) -> str: ...

@final
class EmailPush(Event):
    def __new__(cls, account_id: int, email_id: int, change_id: int) -> Self: ...
    @property
    def account_id(self) -> int: ...
    @property
    def email_id(self) -> int: ...
    @property
    def change_id(self) -> int: ...

@final
class PushServerUpdate(Event):
    def __new__(cls, account_id: int) -> Self: ...
    @property
    def account_id(self) -> int: ...

@final
class RegistryInsert(Event):
    def __new__(cls, object: int, id: int) -> Self: ...
    @property
    def object(self) -> int: ...
    @property
    def id(self) -> int: ...

@final
class RegistryDelete(Event):
    def __new__(cls, object: int, id: int) -> Self: ...
    @property
    def object(self) -> int: ...
    @property
    def id(self) -> int: ...

@final
class RegistryReload(Event):
    def __new__(cls, object: int) -> Self: ...
    @property
    def object(self) -> int: ...

@final
class CacheInvalidate(Event):
    def __new__(cls, items: Iterable[_CacheItem | Sequence[str | int]]) -> Self: ...
    @property
    def items(self) -> tuple[_CacheItem, ...]: ...

@final
class CacheInvalidateAll(Event):
    def __new__(cls) -> Self: ...

@final
class CacheInvalidateNegative(Event):
    def __new__(cls) -> Self: ...

@final
class MtaQueueStatus(Event):
    def __new__(cls, is_running: bool) -> Self: ...
    @property
    def is_running(self) -> bool: ...

@final
class QueueRefresh(Event):
    def __new__(cls) -> Self: ...

@final
class TaskQueueRefresh(Event):
    def __new__(cls) -> Self: ...

@final
class IndexQueueRefresh(Event):
    def __new__(cls) -> Self: ...

@final
class InvalidateAccessTokens(Event):
    def __new__(cls, account_ids: Iterable[int]) -> Self: ...
    @property
    def account_ids(self) -> tuple[int, ...]: ...

@final
class InvalidateGroupwareCache(Event):
    def __new__(cls, account_ids: Iterable[int]) -> Self: ...
    @property
    def account_ids(self) -> tuple[int, ...]: ...

@final
class ReloadSettings(Event):
    def __new__(cls) -> Self: ...

@final
class ReloadBlockedIps(Event):
    def __new__(cls) -> Self: ...

@final
class ReloadPushServers(Event):
    def __new__(cls, account_id: int) -> Self: ...
    @property
    def account_id(self) -> int: ...

@final
class ReloadSpamFilter(Event):
    def __new__(cls) -> Self: ...

@final
class AppEvent(Event):
    def __new__(cls, kind: int, payload: bytes | bytearray | memoryview = b"") -> Self: ...
    @property
    def kind(self) -> int: ...
    @property
    def payload(self) -> bytes: ...

__all__ = [
    "AppEvent",
    "CacheInvalidate",
    "CacheInvalidateAll",
    "CacheInvalidateNegative",
    "CalendarAlert",
    "EmailPush",
    "Event",
    "IndexQueueRefresh",
    "InvalidateAccessTokens",
    "InvalidateGroupwareCache",
    "MtaQueueStatus",
    "PushServerUpdate",
    "QueueRefresh",
    "RegistryDelete",
    "RegistryInsert",
    "RegistryReload",
    "ReloadBlockedIps",
    "ReloadPushServers",
    "ReloadSettings",
    "ReloadSpamFilter",
    "StateChange",
    "TaskQueueRefresh",
]
