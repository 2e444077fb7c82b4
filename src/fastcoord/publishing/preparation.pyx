# cython: language_level=3, embedsignature=True
"""Check the events of one call of ``publish``, and split those that are too large for a batch."""

from fastcoord.wire.encode cimport FIXED_SIZE, encode_event, size_bound, split_event
from fastcoord.wire.events cimport Event, code_of, is_event
from fastcoord.wire.kinds cimport STATE_CHANGE
from fastcoord.wire.primitives cimport Writer, writer_free
from fastcoord.wire.protocol cimport Protocol, knows
from fastcoord.wire.typed cimport as_app_event

from fastcoord.errors import EventTooLarge
from fastcoord.events import Notice
from fastcoord.wire.typed import class_of


cdef tuple prepare_events(Protocol protocol, Py_ssize_t max_size, tuple events):
    """Check events that are to be published together, and split those that are too large.

    :param max_size: the most bytes of one event.
    :return: a tuple of the events, in which the pieces of a large event replace the event.
    :raises TypeError: something is not an event.
    :raises UnsupportedEvent: the protocol does not have one of the events.
    :raises EventTooLarge: an event does not fit into a batch and cannot be split.
    """
    cdef bint all_fit = True
    # StateChange is by far the most frequent event.
    cdef bint fits_state_change = protocol.tag_of[STATE_CHANGE] >= 0 and max_size >= FIXED_SIZE
    for event in events:
        if not is_event(event):
            return prepare_events(protocol, max_size, convert(protocol, events))
        if fits_state_change and code_of(<Event>event) == STATE_CHANGE:
            continue
        check(protocol, event)
        if size_bound(<Event>event) > max_size:
            all_fit = False
    if all_fit:
        return events
    fitting = []
    for event in events:
        fitting.extend(split(protocol, <Event>event, max_size))
    return tuple(fitting)


cdef int check(Protocol protocol, object event) except -1:
    """Raise an error unless this is an event that the protocol has."""
    if not is_event(event):
        if isinstance(event, type) and (issubclass(event, Event) or class_of(event)):
            arguments = "..." if getattr(event, "__match_args__", ()) else ""
            raise TypeError(
                f"only events can be published, and {event.__name__} is a class of events: write"
                f" {event.__name__}({arguments})"
            )
        cls = event if isinstance(event, type) else type(event)
        if issubclass(cls, Notice):
            raise TypeError(
                f"only events can be published, and {cls.__name__} is a notice: subscriptions"
                " deliver notices, and no node sends them"
            )
        if isinstance(event, (list, tuple)):
            hint = "; publish_many takes lists"
        elif hasattr(event, "__struct_fields__") or hasattr(event, "__dataclass_fields__"):
            hint = ": decorate the class with @fastcoord.event(kind=...)"
        else:
            hint = ""
        raise TypeError(
            f"only events can be published, such as StateChange, not {type(event).__name__}"
            f" ({event!r:.60}){hint}"
        )
    if not knows(protocol, <Event>event):
        protocol.refuse(<Event>event)
    return 0


cdef tuple convert(Protocol protocol, tuple events):
    """Replace instances of the program's event classes by their ``AppEvent``."""
    converted = []
    for event in events:
        if not is_event(event):
            converted_event = as_app_event(event, protocol)
            if converted_event is None:
                check(protocol, event)
            event = converted_event
        converted.append(event)
    return tuple(converted)


cdef tuple split(Protocol protocol, Event event, Py_ssize_t max_size):
    """Return a tuple of the event or, if it is too large for a batch, of its pieces."""
    cdef Writer scratch  # owned by this call; the first ``reserve`` allocates its buffer
    cdef Py_ssize_t size
    scratch.start = NULL
    scratch.used = scratch.capacity = 0
    try:
        encode_event(protocol, &scratch, event)
        size = scratch.used
    finally:
        writer_free(&scratch)
    if size <= max_size:
        return (event,)
    pieces = split_event(protocol, event, max_size)
    if not pieces:
        raise EventTooLarge(
            f"{type(event).__name__} takes {size} bytes, and a batch holds {max_size}: raise"
            " capacity.batch-bytes, or the server's max_payload if that is the lower one"
        )
    return pieces
