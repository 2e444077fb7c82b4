# The names that another Cython package may cimport. examples/cython_consumer uses them.
#
# `get_protocol` returns the tables of a protocol by its name. `encode` and `decode` take these
# tables instead of the name. `Batch.events` is a tuple of the events.
#
# The numbers of an event can be read from its memory. Call `code_of_class` once for an event class
# and `slot_of_field` once for each field. If `code_of(event)` is the code of the class, then
# `number_at(event, slot)` returns the number without a check. Other fields are read as attributes.
from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport uint64_t

from fastcoord._codec cimport Batch, decode, encode
from fastcoord.wire.events cimport Event, code_of, content
from fastcoord.wire.fields cimport FIELD_TEXT
from fastcoord.wire.kinds cimport CODE_COUNT, kinds
from fastcoord.wire.protocol cimport Protocol, get_protocol


cdef inline int code_of_class(kind) except -1:
    """Return the code of an event class."""
    cdef int code
    for code in range(1, CODE_COUNT):
        if kinds[code] != NULL and kinds[code].type == <PyTypeObject*>kind:
            return code
    raise TypeError(f"not an event class: {kind!r}")


cdef inline int slot_of_field(kind, str name) except -1:
    """Return the slot in which events of a class store a number, a flag or a recurrence."""
    cdef int code = code_of_class(kind)
    cdef int argument, slot
    for argument in range(kinds[code].count):
        if <str>kinds[code].names[argument] == name:
            slot = kinds[code].slots[argument]
            if kinds[code].types[slot] >= FIELD_TEXT:
                raise TypeError(f"{kind.__name__}.{name} is not a number: read the attribute")
            return slot
    raise AttributeError(f"{kind.__name__} has no field {name!r}")


cdef inline uint64_t number_at(Event event, int slot) noexcept:
    """Return the number in a slot of an event. The slot must belong to the event's class."""
    return content(event).fields[slot].number
