from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

from typing_extensions import Buffer, disjoint_base

from fastcoord.wire.event_classes import Publishable
from fastcoord.wire.events import Event

@disjoint_base
class Batch(Sequence[Event]):
    """An immutable sequence of the events of one message, in the sender's order.

    :ivar node_id: the node that sent the events.
    :ivar received_at: when the message arrived, in seconds since the epoch; ``None`` if the batch
        does not come from a subscription.
    :ivar sequence: the stream sequence of the message; ``None`` without a stream.
    """
    def __init__(
        self,
        node_id: int,
        events: Iterable[Event],
        received_at: float | None = None,
        sequence: int | None = None,
    ) -> None: ...
    @property
    def node_id(self) -> int: ...
    @property
    def received_at(self) -> float | None: ...
    @property
    def sequence(self) -> int | None: ...
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
        """Return how many events of the batch are equal to ``event``."""
    def columns(self, kind: type[Event]) -> dict[str, memoryview]:
        """Return the fields of all events of one kind as columns, for example for NumPy.

        ``numpy.asarray`` uses the memory of a column without a copy.

        :param kind: an event class whose fields are all unsigned integers or bools, such as
            ``StateChange``. Events of other kinds are left out.
        :return: a read-only ``memoryview`` of u64 for each field, by its name, with an item for
            each event in the order of the batch; a bool is 0 or 1.
        :raises TypeError: ``kind`` is not such a class.
        """
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

def encode_batch(events: Iterable[Publishable], *, node_id: int, protocol: str) -> bytes:
    """Encode events into the bytes of one message.

    :param events: an iterable of events, instances of the program's event classes included.
    :param node_id: the sender, 0 to 65535.
    :param protocol: the name of a protocol, such as ``"stalwart-0.16"`` or ``"fastcoord-1"``.
    :return: the payload of a NATS message.
    :raises UnsupportedEvent: the protocol does not have one of the events.
    :raises TypeError: an item of ``events`` is not an event.
    :raises ValueError: the node id is out of range, or the protocol is unknown.
    """

def decode_batch(payload: Buffer, *, protocol: str) -> Batch:
    """Decode the bytes of one message.

    Instances of the program's event classes stay ``AppEvent``: a subscription converts them.

    :param payload: an object with a buffer, such as ``bytes``, ``bytearray`` or ``memoryview``.
    :param protocol: the name of a protocol, such as ``"stalwart-0.16"`` or ``"fastcoord-1"``.
    :return: a ``Batch``.
    :raises DecodeError: the payload is malformed. ``offset`` of the exception is the position of
        the error; ``decoded`` holds the events before it.
    :raises ValueError: the protocol is unknown.
    """
