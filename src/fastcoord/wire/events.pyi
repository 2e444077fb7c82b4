"""Generated from ``table.py`` by ``make generate``."""

from collections.abc import Iterable
from typing import ClassVar, final

from typing_extensions import Self

EVENT_TYPES: tuple[type[Event] | None, ...]

_CacheItem = tuple[str, int] | tuple[str, int, int]

class Event:
    """The base class of all events, which nodes send to each other.

    Events are immutable, hashable, comparable and picklable, take their fields by position or by
    keyword, and work with ``match``. Only its subclasses have instances.
    """

    __match_args__: ClassVar[tuple[str, ...]]
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, memo: object) -> Self: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class StateChange(Event):
    """Objects of an account changed.

    :param account_id: u32.
    :param change_id: u64, the account's change counter after the change.
    :param types: u64, a bitmap of ``DataType``.
    """

    def __new__(cls, account_id: int, change_id: int, types: int) -> Self: ...
    @property
    def account_id(self) -> int: ...
    @property
    def change_id(self) -> int: ...
    @property
    def types(self) -> int: ...

@final
class CalendarAlert(Event):
    """A calendar alarm is due.

    :param account_id: u32.
    :param event_id: u32.
    :param recurrence_id: i64, or ``None``. 0 means ``None``, too, as on the wire.
    :param uid: the calendar event's UID.
    :param alert_id: the alarm's id.
    """

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
    """An email arrived and a push is due.

    :param account_id: u32.
    :param email_id: u32, the document id of the email.
    :param change_id: u64.
    """

    def __new__(cls, account_id: int, email_id: int, change_id: int) -> Self: ...
    @property
    def account_id(self) -> int: ...
    @property
    def email_id(self) -> int: ...
    @property
    def change_id(self) -> int: ...

@final
class PushServerUpdate(Event):
    """The push subscriptions of an account changed (Stalwart 0.16).

    :param account_id: u32.
    """

    def __new__(cls, account_id: int) -> Self: ...
    @property
    def account_id(self) -> int: ...

@final
class RegistryInsert(Event):
    """A registry object was added, for example a BlockedIp when an address was blocked.

    :param object: u16, an ``ObjectType`` if the number has a name.
    :param id: u64.
    """

    def __new__(cls, object: int, id: int) -> Self: ...
    @property
    def object(self) -> int: ...
    @property
    def id(self) -> int: ...

@final
class RegistryDelete(Event):
    """A registry object was removed.

    :param object: u16, an ``ObjectType`` if the number has a name.
    :param id: u64.
    """

    def __new__(cls, object: int, id: int) -> Self: ...
    @property
    def object(self) -> int: ...
    @property
    def id(self) -> int: ...

@final
class RegistryReload(Event):
    """All registry objects of one type are to be read again.

    :param object: u16, an ``ObjectType`` if the number has a name.
    """

    def __new__(cls, object: int) -> Self: ...
    @property
    def object(self) -> int: ...

@final
class CacheInvalidate(Event):
    """Cached objects are stale.

    :param items: an iterable of tuples, kept as a tuple. Each item is a name and an id, for example
        ``("Domain", 5)``. Only ``("EmailNegative", id, local_part_hash)`` has a third member. All
        numbers are u32. A list too long for one batch is split.
    """

    def __new__(cls, items: Iterable[_CacheItem | list[str | int]]) -> Self: ...
    @property
    def items(self) -> tuple[_CacheItem, ...]: ...

@final
class CacheInvalidateAll(Event):
    """Every cache is stale."""

    def __new__(cls) -> Self: ...

@final
class CacheInvalidateNegative(Event):
    """Every cached answer that an object does not exist is stale."""

    def __new__(cls) -> Self: ...

@final
class MtaQueueStatus(Event):
    """The outgoing mail queue was started or stopped.

    :param is_running: a bool.
    """

    def __new__(cls, is_running: bool) -> Self: ...
    @property
    def is_running(self) -> bool: ...

@final
class QueueRefresh(Event):
    """The outgoing mail queue is to be read again."""

    def __new__(cls) -> Self: ...

@final
class TaskQueueRefresh(Event):
    """The task queue is to be read again (``stalwart-1.0``)."""

    def __new__(cls) -> Self: ...

@final
class IndexQueueRefresh(Event):
    """The index queue is to be read again (``stalwart-1.0``)."""

    def __new__(cls) -> Self: ...

@final
class InvalidateAccessTokens(Event):
    """Access tokens of these accounts are no longer valid.

    :param account_ids: an iterable of u32, kept as a tuple. A list too long for one batch is split.
    """

    def __new__(cls, account_ids: Iterable[int]) -> Self: ...
    @property
    def account_ids(self) -> tuple[int, ...]: ...

@final
class InvalidateGroupwareCache(Event):
    """Cached calendars, contacts and files of these accounts are stale.

    :param account_ids: an iterable of u32, kept as a tuple. A list too long for one batch is split.
    """

    def __new__(cls, account_ids: Iterable[int]) -> Self: ...
    @property
    def account_ids(self) -> tuple[int, ...]: ...

@final
class ReloadSettings(Event):
    """The settings are to be read again."""

    def __new__(cls) -> Self: ...

@final
class ReloadBlockedIps(Event):
    """The blocked addresses are to be read again."""

    def __new__(cls) -> Self: ...

@final
class ReloadPushServers(Event):
    """The push subscriptions of an account changed (Stalwart 0.14 and 0.15).

    :param account_id: u32.
    """

    def __new__(cls, account_id: int) -> Self: ...
    @property
    def account_id(self) -> int: ...

@final
class ReloadSpamFilter(Event):
    """The spam filter is to be read again (since Stalwart 0.15.0)."""

    def __new__(cls) -> Self: ...

@final
class AppEvent(Event):
    """An event that an application defines itself (``fastcoord-1`` only).

    :param kind: u16, a number of the application's choice.
    :param payload: bytes; ``bytearray`` and ``memoryview`` are copied.
    """

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
