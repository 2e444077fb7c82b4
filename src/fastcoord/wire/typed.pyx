# cython: language_level=3, embedsignature=True, binding=False, embedsignature.format=clinic
"""The classes of a program that are sent as ``AppEvent``, and their conversion.

Decoding a payload may run Python code of the program, such as ``__post_init__``.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport uint8_t, uint64_t

from fastcoord.wire.construction cimport make_event, pools
from fastcoord.wire.decode cimport decode_event
from fastcoord.wire.events cimport Event
from fastcoord.wire.kinds cimport EventObject, Field
from fastcoord.wire.pool cimport owned, pool_take
from fastcoord.wire.primitives cimport Reader, read_length, read_u16
from fastcoord.wire.protocol cimport Protocol

from fastcoord.errors import UnsupportedEvent
from fastcoord.wire.events import EVENT_TYPES, AppEvent
from fastcoord.wire.table import TAGS

cdef int APP_EVENT = EVENT_TYPES.index(AppEvent)
if AppEvent.__match_args__ != ("kind", "payload"):
    raise ImportError("the table of events and typed.pyx disagree")

# Each instance finds its class by type. A class that was replaced, for example because its module
# was reloaded, stays in the first one, so that its instances can still be published.
cdef dict classes_by_type = {}
cdef dict classes_by_kind = {}
cdef Py_ssize_t class_count = 0
registered_count = &class_count


cdef class TypedClass:
    """A class whose instances are sent as ``AppEvent`` of one kind.

    :param type: the class.
    :param kind: the kind of the ``AppEvent``.
    :param encode: called with an instance; returns the payload.
    :param make_decoder: called without arguments; returns a function that is called with a payload
        and returns the instance.
    :param on_first_mismatch: called with this object and the exception, at the first payload that
        does not fit the class.
    """

    def __init__(self, type, int kind, *, encode, make_decoder, on_first_mismatch):
        self.type = type
        self.kind = kind
        self.encode = encode
        self.make_decoder = make_decoder
        self.on_first_mismatch = on_first_mismatch

    cdef object instance(self, bytes payload):
        if self.decode is None:
            self.decode = self.make_decoder()
        return self.decode(payload)


cdef class TypedKinds:
    """The classes and ``AppEvent`` among the kinds that a subscription delivers."""


cdef int app_event_code() noexcept:
    return APP_EVENT


def register(TypedClass found not None):
    """Add a class, or replace the one that was registered for its kind."""
    global class_count
    classes_by_type[found.type] = found
    classes_by_kind[found.kind] = found
    class_count = len(classes_by_kind)


def forget_kind(int kind):
    """Deliver the events of a kind as ``AppEvent`` again."""
    global class_count
    classes_by_kind.pop(kind, None)
    class_count = len(classes_by_kind)


def registered():
    """Return the registered classes."""
    return list(classes_by_kind.values())


def class_of(kind):
    """Return the ``TypedClass`` of a class; ``None`` if it is not registered."""
    return classes_by_type.get(kind) if isinstance(kind, type) else None


def class_of_kind(int kind):
    """Return the ``TypedClass`` of a kind of ``AppEvent``; ``None`` if there is none."""
    return classes_by_kind.get(kind)


cdef Event as_app_event(object value, Protocol protocol):
    """Return the ``AppEvent`` of an instance of a registered class; None for any other object.

    :raises UnsupportedEvent: the protocol does not have ``AppEvent``.
    """
    found = classes_by_type.get(type(value))
    if found is None:
        return None
    if protocol.tag_of[APP_EVENT] < 0:
        names = [name for name, kinds in TAGS.items() if "AppEvent" in kinds]
        raise UnsupportedEvent(
            f"{type(value).__name__} is sent as AppEvent, which does not exist in the protocol"
            f" {protocol.name}; {' and '.join(names)} has it (cluster.protocol in the configuration)"
        )
    return new_app_event((<TypedClass>found).kind, (<TypedClass>found).encode(value))


cdef Event new_app_event(uint64_t kind, bytes payload):
    """Make an ``AppEvent`` of values that need no check."""
    cdef PyObject* item = pool_take(&pools[APP_EVENT])
    cdef Field* fields
    if item == NULL:
        item = make_event(APP_EVENT)
    fields = (<EventObject*>item).fields
    fields[0].number = kind
    Py_INCREF(payload)
    fields[1].object = <PyObject*>payload
    return <Event>owned(item)


def split_typed(kinds):
    """Separate registered classes from event classes.

    :param kinds: a list of classes, or ``None`` for all.
    :return: a ``TypedKinds``, or ``None`` if no AppEvent is delivered as an instance of a class;
        and the list of event classes without the registered ones.
    """
    cdef TypedKinds typed = TypedKinds.__new__(TypedKinds)
    if kinds is None:
        typed.has_others = True
        return typed, None
    if isinstance(kinds, type):
        kinds = [kinds]
    others = []
    found = {}
    for kind in kinds:
        known = class_of(kind)
        if known is None:
            others.append(kind)
        else:
            found[(<TypedClass>known).kind] = known
    if Event in others:
        typed.has_others = True
        return typed, None
    if not found:
        return None, others
    typed.by_kind = found
    typed.has_others = AppEvent in others
    return typed, others


cdef object take_app_event(
    Protocol protocol, Reader* reader, TypedKinds kinds, uint64_t* mismatched
):
    """Read the AppEvent at the reader, which a scan has checked.

    If this raises an exception, nothing was read.

    :param mismatched: incremented if the payload does not fit its class.
    :return: an instance, an ``AppEvent``, or None if the kind is not delivered. In the last case
        nothing was read.
    """
    cdef const uint8_t* where = reader.position
    cdef uint64_t kind = 0
    cdef Py_ssize_t size = 0
    cdef TypedClass found
    cdef dict by_kind = kinds.by_kind
    reader.position += 1
    read_u16(reader, &kind)
    if by_kind is None:
        by_kind = classes_by_kind
    found = by_kind.get(kind)
    if found is None:
        reader.position = where
        return owned(decode_event(protocol, reader)) if kinds.has_others else None
    read_length(reader, &size, 1)
    payload = PyBytes_FromStringAndSize(<char*>reader.position, size)
    reader.position += size
    try:
        try:
            return found.instance(payload)
        except MemoryError:
            raise
        except Exception as error:
            # Set first: if the function raises, the next call delivers the event without it.
            if not found.is_reported:
                found.is_reported = True
                found.on_first_mismatch(found, error)
            event = new_app_event(kind, payload)
            mismatched[0] += 1
            return event
    except BaseException:
        # For example the KeyboardInterrupt of a signal handler.
        reader.position = where
        raise
