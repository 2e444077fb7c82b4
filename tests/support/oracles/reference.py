"""A slow and simple codec in pure Python: the oracle that the compiled codec is compared with.

It is written from the wire format, to be read, and shares no code with the compiled codec. A batch
is ``LEB128(node id)``, followed by events up to the end of the payload; an event is one tag byte
and its fields. Here an event is ``[type, fields]``, as in ``vectors/*.jsonl``.

The error offset for each kind of malformed payload:

========================================  ====================================================
what is wrong                             :attr:`MalformedBatch.offset`
========================================  ====================================================
an integer is cut off, longer than its    the first byte of that integer
width's limit, or overflows its width
a length or a count exceeds the rest      the first byte of that length or count
a string is not UTF-8                     the first byte of the string itself, after its length
the protocol has no such tag              the tag
a CacheInvalidate item has no such        the marker
marker
a byte is missing                         the end of the payload
========================================  ====================================================

A padded integer such as ``80 00`` is accepted within the number of bytes of its width. A count is
compared with the number of remaining bytes, divided by the minimum size of an item (1 for an
account id, 2 for an item of CacheInvalidate), before any item is read.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Event = list[Any]
"""``[type, {field: value, ...}]``."""

MAXIMUM_BYTES = {16: 3, 32: 5, 64: 10}
"""The maximum number of bytes of a LEB128 integer, by its number of bits."""


class MalformedBatch(ValueError):
    """The payload is no batch of the protocol.

    :ivar offset: the malformed byte, by the table above.
    :ivar decoded: the events before it.
    :ivar node_id: the sender, or ``None`` when the node id itself is malformed.
    """

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(f"{reason} at byte {offset}")
        self.reason = reason
        self.offset = offset
        self.decoded: list[Event] = []
        self.node_id: int | None = None


class Layout(NamedTuple):
    """The fields that follow a tag."""

    type: str
    fields: Mapping[str, str] = {}
    """Field name to kind of field, in wire order."""
    constants: Mapping[str, Any] = {}
    """Field values that the tag itself implies."""


CACHE_MARKERS = (
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

_COMMON = {
    0: Layout("StateChange", {"change_id": "u64", "types": "u64", "account_id": "u32"}),
    1: Layout(
        "CalendarAlert",
        {
            "account_id": "u32",
            "event_id": "u32",
            "recurrence_id": "i64 or none",
            "uid": "str",
            "alert_id": "str",
        },
    ),
    2: Layout("EmailPush", {"account_id": "u32", "email_id": "u32", "change_id": "u64"}),
}
_STALWART_0_15 = {
    **_COMMON,
    3: Layout("InvalidateAccessTokens", {"account_ids": "list of u32"}),
    4: Layout("InvalidateGroupwareCache", {"account_ids": "list of u32"}),
    5: Layout("ReloadSettings"),
    6: Layout("ReloadBlockedIps"),
    7: Layout("ReloadPushServers", {"account_id": "u32"}),
    8: Layout("ReloadSpamFilter"),
}
_STALWART_0_16 = {
    **_COMMON,
    3: Layout("PushServerUpdate", {"account_id": "u32"}),
    4: Layout("RegistryInsert", {"object": "u16", "id": "u64"}),
    5: Layout("RegistryDelete", {"object": "u16", "id": "u64"}),
    6: Layout("RegistryReload", {"object": "u16"}),
    7: Layout("CacheInvalidate", {"items": "list of cache items"}),
    8: Layout("CacheInvalidateAll"),
    9: Layout("CacheInvalidateNegative"),
    10: Layout("MtaQueueStatus", constants={"is_running": True}),
    11: Layout("MtaQueueStatus", constants={"is_running": False}),
    12: Layout("QueueRefresh"),
}
_STALWART_1_0 = {
    **_STALWART_0_16,
    13: Layout("TaskQueueRefresh"),
    14: Layout("IndexQueueRefresh"),
}
_FASTCOORD_1 = {
    **_STALWART_1_0,
    15: _STALWART_0_15[3],
    16: _STALWART_0_15[4],
    17: _STALWART_0_15[5],
    18: _STALWART_0_15[6],
    19: _STALWART_0_15[7],
    20: _STALWART_0_15[8],
    21: Layout("AppEvent", {"kind": "u16", "payload": "bytes"}),
}
PROTOCOLS: Mapping[str, Mapping[int, Layout]] = {
    "stalwart-0.15": _STALWART_0_15,
    "stalwart-0.16": _STALWART_0_16,
    "stalwart-1.0": _STALWART_1_0,
    "fastcoord-1": _FASTCOORD_1,
}


def event_types(protocol: str) -> set[str]:
    """Return the names of the events that a protocol can carry."""
    return {layout.type for layout in PROTOCOLS[protocol].values()}


def encode_batch(node_id: int, events: Sequence[Event], protocol: str) -> bytes:
    """Write a batch."""
    return encode_integer(node_id, 16) + b"".join(encode_event(event, protocol) for event in events)


def encode_event(event: Event, protocol: str) -> bytes:
    """Write one event: its tag and its fields."""
    event_type, values = event
    for tag, layout in PROTOCOLS[protocol].items():
        constants = {name: values.get(name) for name in layout.constants}
        if layout.type == event_type and constants == layout.constants:
            fields = [_encode_field(kind, values[name]) for name, kind in layout.fields.items()]
            return bytes([tag]) + b"".join(fields)
    raise LookupError(f"{protocol} has no {event_type}")


def encode_integer(value: int, bits: int) -> bytes:
    """Write an unsigned LEB128 integer in as few bytes as possible."""
    if not 0 <= value < 1 << bits:
        raise OverflowError(f"{value} does not fit into {bits} bits")
    written = bytearray()
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def _encode_field(kind: str, value: Any) -> bytes:
    if kind in ("u16", "u32", "u64"):
        return encode_integer(value, int(kind[1:]))
    if kind == "i64 or none":
        return encode_integer((value or 0) % (1 << 64), 64)
    if kind == "str":
        return _encode_bytes(value.encode("utf-8"))
    if kind == "bytes":
        return _encode_bytes(base64.b64decode(value))
    if kind == "list of u32":
        return encode_integer(len(value), 64) + b"".join(encode_integer(i, 32) for i in value)
    assert kind == "list of cache items"
    return encode_integer(len(value), 64) + b"".join(_encode_cache_item(item) for item in value)


def _encode_bytes(value: bytes) -> bytes:
    return encode_integer(len(value), 64) + value


def _encode_cache_item(item: Sequence[Any]) -> bytes:
    name, *numbers = item
    assert len(numbers) == (2 if name == "EmailNegative" else 1)
    marker = bytes([CACHE_MARKERS.index(name)])
    return marker + b"".join(encode_integer(number, 32) for number in numbers)


def decode_batch(payload: bytes, protocol: str) -> tuple[int, list[Event]]:
    """Read a batch.

    :return: the node id and the events.
    :raises MalformedBatch: the payload is malformed.
    """
    layouts = PROTOCOLS[protocol]
    reader = _Reader(payload)
    node_id: int | None = None
    events: list[Event] = []
    try:
        node_id = reader.integer(16)
        while reader.remaining():
            events.append(reader.event(layouts))
    except MalformedBatch as error:
        error.node_id = node_id
        error.decoded = events
        raise
    return node_id, events


class _Reader:
    """A payload and the position in it."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.position = 0

    def remaining(self) -> int:
        return len(self.payload) - self.position

    def event(self, layouts: Mapping[int, Layout]) -> Event:
        start = self.position
        layout = layouts.get(self.byte())
        if layout is None:
            raise MalformedBatch("unknown tag", start)
        values = {name: self.field(kind) for name, kind in layout.fields.items()}
        return [layout.type, {**values, **layout.constants}]

    def field(self, kind: str) -> Any:
        if kind in ("u16", "u32", "u64"):
            return self.integer(int(kind[1:]))
        if kind == "i64 or none":
            value = self.integer(64)
            return (value - (1 << 64) if value >= 1 << 63 else value) or None
        if kind == "str":
            return self.string()
        if kind == "bytes":
            return base64.b64encode(self.byte_string()).decode("ascii")
        if kind == "list of u32":
            return [self.integer(32) for _ in range(self.count(minimum_item_size=1))]
        assert kind == "list of cache items"
        return [self.cache_item() for _ in range(self.count(minimum_item_size=2))]

    def byte(self) -> int:
        if not self.remaining():
            raise MalformedBatch("the payload ends too early", self.position)
        value = self.payload[self.position]
        self.position += 1
        return value

    def integer(self, bits: int) -> int:
        start = self.position
        value = 0
        for index in range(MAXIMUM_BYTES[bits]):
            if not self.remaining():
                raise MalformedBatch("an integer is cut off", start)
            byte = self.byte()
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if value >= 1 << bits:
                    raise MalformedBatch("an integer overflows its width", start)
                return value
        raise MalformedBatch("an integer is too long", start)

    def count(self, minimum_item_size: int) -> int:
        start = self.position
        count = self.integer(64)
        if count > self.remaining() // minimum_item_size:
            raise MalformedBatch("a length or count exceeds what is left", start)
        return count

    def byte_string(self) -> bytes:
        length = self.count(minimum_item_size=1)
        start = self.position
        self.position += length
        return self.payload[start : self.position]

    def string(self) -> str:
        value = self.byte_string()
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            start = self.position - len(value)
            raise MalformedBatch("a string is not UTF-8", start) from None

    def cache_item(self) -> list[Any]:
        start = self.position
        marker = self.byte()
        if marker >= len(CACHE_MARKERS):
            raise MalformedBatch("unknown cache marker", start)
        name = CACHE_MARKERS[marker]
        numbers = [self.integer(32) for _ in range(2 if name == "EmailNegative" else 1)]
        return [name, *numbers]
