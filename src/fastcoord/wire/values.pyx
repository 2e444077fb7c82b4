# cython: language_level=3, embedsignature=True, boundscheck=False, wraparound=False
"""Read the values of events."""

from cpython.bytes cimport PyBytes_CheckExact
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int64_t

from fastcoord.wire.fields cimport (
    FIELD_ACCOUNTS,
    FIELD_BYTES,
    FIELD_FLAG,
    FIELD_RECURRENCE,
    FIELD_TEXT,
    FIELD_U64,
    small_ints,
    unpack_accounts,
    unpack_items,
)
from fastcoord.wire.kinds cimport Access, EventObject, Field, Kind, kind_of, new_uint
from fastcoord.wire.pool cimport owned

cdef extern from "Python.h":
    # Returns NULL after an error, which get_attribute passes on without a traceback of its own.
    PyObject* generic_getattr "PyObject_GenericGetAttr"(PyObject*, PyObject*) noexcept
    PyObject* new_reference "Py_NewRef"(object) noexcept


cdef tuple list_members(PyObject* item, int slot):
    """Return the members of a list. A decoded list is packed until the first call."""
    cdef Field* field = &(<EventObject*>item).fields[slot]
    held = <object>field.object
    if not PyBytes_CheckExact(held):
        return <tuple>held
    if kind_of(item).types[slot] == FIELD_ACCOUNTS:
        members = unpack_accounts(<bytes>held)
    else:
        members = unpack_items(<bytes>held)
    # Creating tuples may have run the garbage collector, and so a finalizer that unpacked this
    # field.
    if field.object == <PyObject*>held:
        Py_INCREF(members)
        field.object = <PyObject*>members
        Py_DECREF(held)  # the reference of the field, not that of this function
    return members


cdef object field_value(PyObject* item, int slot):
    cdef Field field = (<EventObject*>item).fields[slot]
    cdef int kind = kind_of(item).types[slot]
    if kind <= FIELD_U64:
        return owned(new_uint(field.number, &small_ints[0]))
    elif kind == FIELD_TEXT or kind == FIELD_BYTES:
        return <object>field.object
    elif kind == FIELD_FLAG:
        return field.number != 0
    elif kind == FIELD_RECURRENCE:
        return <int64_t>field.number if field.number != 0 else None
    return list_members(item, slot)


cdef tuple all_values(PyObject* item):
    """Return the values of all fields, in the order of the arguments."""
    cdef const Kind* kind = kind_of(item)
    return tuple([field_value(item, kind.slots[argument]) for argument in range(kind.count)])


cdef PyObject* get_attribute(PyObject* item, PyObject* name) except NULL:
    """The tp_getattro of all kinds.

    Attribute names in Python code are interned, like the names of the fields. So comparing
    identities finds the field.
    """
    cdef const Access* access = &kind_of(item).access[0]
    while access.name != NULL:
        if access.name == name:
            if access.is_uint:
                # NULL after an error, without a traceback of this function.
                return new_uint((<EventObject*>item).fields[access.slot].number, &small_ints[0])
            return get_field(item, <void*><Py_ssize_t>access.slot)
        access += 1
    return generic_getattr(item, name)


cdef PyObject* get_field(PyObject* item, void* slot) except NULL:
    """The getter of the descriptors of all kinds, for callers that do not use tp_getattro."""
    return new_reference(field_value(item, <int><Py_ssize_t>slot))
