from collections.abc import Iterable, Sequence
from typing import ClassVar, final

from typing_extensions import disjoint_base

EVENT_TYPES: tuple[type[Event] | None, ...]

_CacheItem = tuple[str, int] | tuple[str, int, int]

@disjoint_base
class Event:
    __match_args__: ClassVar[tuple[str, ...]]
    def __copy__(self) -> Event: ...
    def __deepcopy__(self, memo: object) -> Event: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@disjoint_base
class ListEvent(Event): ...

class AccountList(ListEvent):
    @property
    def account_ids(self) -> tuple[int, ...]: ...

@disjoint_base
class AccountEvent(Event):
    @property
    def account_id(self) -> int: ...

@disjoint_base
class RegistryEntry(Event):
    @property
    def object(self) -> int: ...
    @property
    def id(self) -> int: ...

class Signal(Event): ...

@final
class StateChange(Event):
    def __init__(self, account_id: int, change_id: int, types: int) -> None: ...
    @property
    def account_id(self) -> int: ...
    @property
    def change_id(self) -> int: ...
    @property
    def types(self) -> int: ...

@final
class CalendarAlert(Event):
    def __init__(
        self,
        account_id: int,
        event_id: int,
        recurrence_id: int | None,
        uid: str,
        alert_id: str,
    ) -> None: ...
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
    def __init__(self, account_id: int, email_id: int, change_id: int) -> None: ...
    @property
    def account_id(self) -> int: ...
    @property
    def email_id(self) -> int: ...
    @property
    def change_id(self) -> int: ...

@final
class InvalidateAccessTokens(AccountList):
    def __init__(self, account_ids: Iterable[int]) -> None: ...

@final
class InvalidateGroupwareCache(AccountList):
    def __init__(self, account_ids: Iterable[int]) -> None: ...

@final
class ReloadPushServers(AccountEvent):
    def __init__(self, account_id: int) -> None: ...

@final
class PushServerUpdate(AccountEvent):
    def __init__(self, account_id: int) -> None: ...

@final
class RegistryInsert(RegistryEntry):
    def __init__(self, object: int, id: int) -> None: ...

@final
class RegistryDelete(RegistryEntry):
    def __init__(self, object: int, id: int) -> None: ...

@final
class RegistryReload(Event):
    def __init__(self, object: int) -> None: ...
    @property
    def object(self) -> int: ...

@final
class CacheInvalidate(ListEvent):
    def __init__(self, items: Iterable[_CacheItem | Sequence[str | int]]) -> None: ...
    @property
    def items(self) -> tuple[_CacheItem, ...]: ...

@final
class MtaQueueStatus(Event):
    def __init__(self, is_running: bool) -> None: ...
    @property
    def is_running(self) -> bool: ...

@final
class ReloadSettings(Signal):
    def __init__(self) -> None: ...

@final
class ReloadBlockedIps(Signal):
    def __init__(self) -> None: ...

@final
class ReloadSpamFilter(Signal):
    def __init__(self) -> None: ...

@final
class CacheInvalidateAll(Signal):
    def __init__(self) -> None: ...

@final
class CacheInvalidateNegative(Signal):
    def __init__(self) -> None: ...

@final
class QueueRefresh(Signal):
    def __init__(self) -> None: ...

@final
class TaskQueueRefresh(Signal):
    def __init__(self) -> None: ...

@final
class IndexQueueRefresh(Signal):
    def __init__(self) -> None: ...

@final
class AppEvent(Event):
    def __init__(self, kind: int, payload: bytes | bytearray | memoryview = b"") -> None: ...
    @property
    def kind(self) -> int: ...
    @property
    def payload(self) -> bytes: ...
