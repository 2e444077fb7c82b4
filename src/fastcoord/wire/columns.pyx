# cython: language_level=3, embedsignature=True, boundscheck=False, wraparound=False
"""Copy the numbers of events to columns, so that a program can compute with them without a loop."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.object cimport PyObject, PyTypeObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport uint64_t

from fastcoord.wire.events cimport is_event_at
from fastcoord.wire.fields cimport FIELD_FLAG, FIELD_U64, shown
from fastcoord.wire.kinds cimport CODE_COUNT, FIELD_COUNT, EventObject, Kind, kinds

cdef const Kind* kind_with_columns(cls) except NULL:
    """Return the kind of a class; raise TypeError if a field of it does not fit a u64."""
    cdef int code = 1
    cdef int slot
    while code < CODE_COUNT and kinds[code] != NULL:
        if kinds[code].type == <PyTypeObject*>cls:
            break
        code += 1
    else:
        raise TypeError(f"kind must be an event class such as StateChange, not {shown(cls)}")
    for slot in range(kinds[code].count):
        if kinds[code].types[slot] > FIELD_U64 and kinds[code].types[slot] != FIELD_FLAG:
            raise TypeError(
                f"{cls.__name__} has no columns: a field is neither an unsigned integer nor a bool"
            )
    return kinds[code]


cdef dict columns_of(tuple events, cls):
    """Return one column for each field of a kind, by the field's name.

    Events of other kinds, and instances of the program's classes, are left out.
    """
    cdef const Kind* kind = kind_with_columns(cls)
    cdef Py_ssize_t count = PyTuple_GET_SIZE(events)
    cdef Py_ssize_t index
    cdef Py_ssize_t found = 0
    cdef uint64_t* targets[FIELD_COUNT]
    cdef PyObject* item
    cdef int argument, slot
    columns = []
    for argument in range(kind.count):
        column = PyBytes_FromStringAndSize(NULL, count * sizeof(uint64_t))
        columns.append(column)
        targets[kind.slots[argument]] = <uint64_t*>PyBytes_AS_STRING(column)
    for index in range(count):
        item = <PyObject*>PyTuple_GET_ITEM(events, index)
        if is_event_at(item) and (<EventObject*>item).code == kind.code:
            for slot in range(kind.count):
                targets[slot][found] = (<EventObject*>item).fields[slot].number
            found += 1
    return {
        <object>kind.names[argument]: memoryview(columns[argument])[
            : found * <Py_ssize_t>sizeof(uint64_t)
        ].cast("Q")
        for argument in range(kind.count)
    }
