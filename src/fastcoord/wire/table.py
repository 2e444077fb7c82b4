"""The table of events and protocols: names, fields, types, and tags on the wire.

The event classes and the codec are built from this table when they are imported. ``make generate``
writes the stub and the tables of ``docs/wire.md`` from it. Tests and benchmarks take their samples
and data from it. To add an event kind, add an entry to ``KINDS`` and a tag to at least one
protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

REQUIRED: Final = object()
"""The value of ``Field.default`` for a field without a default."""

FIELD_TYPES = (
    "u16",
    "u32",
    "u64",
    "i64 or none",
    "bool",
    "str",
    "bytes",
    "list of u32",
    "list of cache items",
)
"""What a field can hold.

A ``bool`` takes no bytes: its kind has two adjacent tags, the first for true.
"""

MAX_KINDS = 63
"""A set of kinds is a 64-bit mask, and code 0 stands for no kind."""

MAX_FIELDS = 8


class Field(NamedTuple):
    """One field of an event kind."""

    name: str
    type: str
    """One of ``FIELD_TYPES``."""
    meaning: str
    """The text that follows the name of the field in the docstring."""
    default: Any = REQUIRED


class Kind(NamedTuple):
    """One kind of event."""

    name: str
    meaning: str
    """One sentence; the first line of the class's docstring."""
    fields: tuple[Field, ...] = ()
    """In the order of the arguments."""
    wire_order: tuple[str, ...] = ()
    """The names of the fields in the order of their bytes, if the arguments have another order."""

    @property
    def wire_fields(self) -> tuple[Field, ...]:
        """Return the fields in the order of their bytes."""
        by_name = {field.name: field for field in self.fields}
        return tuple(by_name[name] for name in self.wire_order) or self.fields


_ACCOUNT_ID = Field("account_id", "u32", "u32.")
_ACCOUNT_IDS = Field(
    "account_ids",
    "list of u32",
    "an iterable of u32, kept as a tuple. A list too long for one batch is split.",
)
_OBJECT = Field("object", "u16", "u16, an ``ObjectType`` if the number has a name.")
_REGISTRY_ID = Field("id", "u64", "u64.")

# The code of a kind is its position, from 1 on. The codec has special loops for the first kind.
KINDS: tuple[Kind, ...] = (
    Kind(
        "StateChange",
        "Objects of an account changed.",
        (
            _ACCOUNT_ID,
            Field("change_id", "u64", "u64, the account's change counter after the change."),
            Field("types", "u64", "u64, a bitmap of ``DataType``."),
        ),
        wire_order=("change_id", "types", "account_id"),
    ),
    Kind(
        "CalendarAlert",
        "A calendar alarm is due.",
        (
            _ACCOUNT_ID,
            Field("event_id", "u32", "u32."),
            Field(
                "recurrence_id",
                "i64 or none",
                "i64, or ``None``. 0 means ``None``, too, as on the wire.",
            ),
            Field("uid", "str", "the calendar event's UID."),
            Field("alert_id", "str", "the alarm's id."),
        ),
    ),
    Kind(
        "EmailPush",
        "An email arrived and a push is due.",
        (
            _ACCOUNT_ID,
            Field("email_id", "u32", "u32, the document id of the email."),
            Field("change_id", "u64", "u64."),
        ),
    ),
    Kind(
        "PushServerUpdate",
        "The push subscriptions of an account changed (Stalwart 0.16).",
        (_ACCOUNT_ID,),
    ),
    Kind(
        "RegistryInsert",
        "A registry object was added, for example a BlockedIp when an address was blocked.",
        (_OBJECT, _REGISTRY_ID),
    ),
    Kind("RegistryDelete", "A registry object was removed.", (_OBJECT, _REGISTRY_ID)),
    Kind("RegistryReload", "All registry objects of one type are to be read again.", (_OBJECT,)),
    Kind(
        "CacheInvalidate",
        "Cached objects are stale.",
        (
            Field(
                "items",
                "list of cache items",
                "an iterable of tuples, kept as a tuple. Each item is a name and an id, for example"
                ' ``("Domain", 5)``. Only ``("EmailNegative", id, local_part_hash)`` has a third'
                " member. All numbers are u32. A list too long for one batch is split.",
            ),
        ),
    ),
    Kind("CacheInvalidateAll", "Every cache is stale."),
    Kind("CacheInvalidateNegative", "Every cached answer that an object does not exist is stale."),
    Kind(
        "MtaQueueStatus",
        "The outgoing mail queue was started or stopped.",
        (Field("is_running", "bool", "a bool."),),
    ),
    Kind("QueueRefresh", "The outgoing mail queue is to be read again."),
    Kind("TaskQueueRefresh", "The task queue is to be read again (``stalwart-1.0``)."),
    Kind("IndexQueueRefresh", "The index queue is to be read again (``stalwart-1.0``)."),
    Kind(
        "InvalidateAccessTokens",
        "Access tokens of these accounts are no longer valid.",
        (_ACCOUNT_IDS,),
    ),
    Kind(
        "InvalidateGroupwareCache",
        "Cached calendars, contacts and files of these accounts are stale.",
        (_ACCOUNT_IDS,),
    ),
    Kind("ReloadSettings", "The settings are to be read again."),
    Kind("ReloadBlockedIps", "The blocked addresses are to be read again."),
    Kind(
        "ReloadPushServers",
        "The push subscriptions of an account changed (Stalwart 0.14 and 0.15).",
        (_ACCOUNT_ID,),
    ),
    Kind("ReloadSpamFilter", "The spam filter is to be read again (since Stalwart 0.15.0)."),
    Kind(
        "AppEvent",
        "An event that an application defines itself (``fastcoord-1`` only).",
        (
            Field("kind", "u16", "u16, a number of the application's choice."),
            Field("payload", "bytes", "bytes; ``bytearray`` and ``memoryview`` are copied.", b""),
        ),
    ),
)

_STALWART_0_15 = (
    "StateChange",
    "CalendarAlert",
    "EmailPush",
    "InvalidateAccessTokens",
    "InvalidateGroupwareCache",
    "ReloadSettings",
    "ReloadBlockedIps",
    "ReloadPushServers",
    "ReloadSpamFilter",
)
_STALWART_0_16 = (
    "StateChange",
    "CalendarAlert",
    "EmailPush",
    "PushServerUpdate",
    "RegistryInsert",
    "RegistryDelete",
    "RegistryReload",
    "CacheInvalidate",
    "CacheInvalidateAll",
    "CacheInvalidateNegative",
    "MtaQueueStatus",
    "MtaQueueStatus",
    "QueueRefresh",
)
_STALWART_1_0 = (*_STALWART_0_16, "TaskQueueRefresh", "IndexQueueRefresh")

TAGS: Mapping[str, tuple[str, ...]] = {
    "stalwart-0.15": _STALWART_0_15,
    "stalwart-0.16": _STALWART_0_16,
    "stalwart-1.0": _STALWART_1_0,
    "fastcoord-1": (
        *_STALWART_1_0,
        "InvalidateAccessTokens",
        "InvalidateGroupwareCache",
        "ReloadSettings",
        "ReloadBlockedIps",
        "ReloadPushServers",
        "ReloadSpamFilter",
        "AppEvent",
    ),
}
"""The kinds of each protocol, by tag."""

PROTOCOLS = tuple(TAGS)
"""The names of the protocols that a node can use."""

CACHE_ITEMS = (
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
"""The items of CacheInvalidate, by marker. EmailNegative has a second id."""


def check_table() -> None:
    """Raise an error if the codec cannot represent the table.

    :raises ImportError: an entry is wrong; the message names the entry.
    """
    names = [kind.name for kind in KINDS]
    if len(KINDS) > MAX_KINDS:
        raise ImportError(
            f"the table of events has {len(KINDS)} kinds; a 64-bit set of kinds holds {MAX_KINDS}"
        )
    if len(set(names)) < len(names):
        raise ImportError("the table of events has two kinds of one name")
    for kind in KINDS:
        types = [field.type for field in kind.fields]
        if len(types) > MAX_FIELDS or not set(types) <= set(FIELD_TYPES):
            raise ImportError(
                f"{kind.name} must have at most {MAX_FIELDS} fields, of the types {FIELD_TYPES}"
            )
        if kind.wire_order and sorted(kind.wire_order) != sorted(f.name for f in kind.fields):
            raise ImportError(f"{kind.name}.wire_order must name each field once")
        if types.count("bool") > 1:
            raise ImportError(f"{kind.name} has two fields in its tag")
    for protocol, tags in TAGS.items():
        if len(tags) > 256 or not set(tags) <= set(names):
            raise ImportError(f"{protocol} must have at most 256 tags, all of kinds of the table")
        for kind in KINDS:
            wanted = 2 if any(field.type == "bool" for field in kind.fields) else 1
            found = [tag for tag, name in enumerate(tags) if name == kind.name]
            if found and found != list(range(found[0], found[0] + wanted)):
                raise ImportError(
                    f"{protocol} must have {kind.name} at {wanted} adjacent tags, not at {found}"
                )


check_table()
