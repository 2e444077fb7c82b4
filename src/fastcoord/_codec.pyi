from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

from typing_extensions import Buffer, disjoint_base

from fastcoord.wire.events import Event

@disjoint_base
class Batch(Sequence[Event]):
    """The events of one message, in their sender's order: an immutable sequence.

    :ivar node_id: the node that sent them.
    :ivar received_at: when they arrived, in seconds since the epoch; ``None`` when they did not
        come from a subscription.
    """
    def __init__(
        self, node_id: int, events: Iterable[Event], received_at: float | None = None
    ) -> None: ...
    @property
    def node_id(self) -> int: ...
    @property
    def received_at(self) -> float | None: ...
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, index: int, /) -> Event: ...
    @overload
    def __getitem__(self, index: slice, /) -> tuple[Event, ...]: ...
    def __iter__(self) -> Iterator[Event]: ...
    def __contains__(self, event: object, /) -> bool: ...
    def __reversed__(self) -> Iterator[Event]: ...
    def index(self, event: Any, *bounds: int) -> int:
        """Return the position of the first equal event; raise ValueError if there is none."""
    def count(self, event: Any) -> int:
        """Return how many events of the batch are equal to this one."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

def encode_batch(events: Iterable[Event], *, node_id: int, protocol: str) -> bytes:
    """Encode events into the bytes of one message.

    :param events: an iterable of events.
    :param node_id: the sender, 0 to 65535.
    :param protocol: the name of a protocol, such as ``"stalwart-0.16"`` or ``"fastcoord-1"``.
    :return: the payload of a NATS message.
    :raises UnsupportedEvent: the protocol does not have one of the events.
    :raises TypeError: something among ``events`` is not an event.
    :raises ValueError: the node id is out of range, or there is no such protocol.
    """

def decode_batch(payload: Buffer, *, protocol: str) -> Batch:
    """Decode the bytes of one message.

    :param payload: anything with a buffer: ``bytes``, ``bytearray``, ``memoryview``.
    :param protocol: the name of a protocol, such as ``"stalwart-0.16"`` or ``"fastcoord-1"``.
    :return: a ``Batch``.
    :raises DecodeError: the payload is malformed; its ``offset`` says where, its ``decoded`` holds
        the events before that.
    :raises ValueError: there is no such protocol.
    """
