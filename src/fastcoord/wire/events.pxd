# cython: language_level=3
from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport uint8_t, uint64_t

from fastcoord.wire.pool cimport Pool, destructor, owned, pool_take

# MAX_KINDS and MAX_FIELDS of the table, and the codes of the kinds that have code of their own.
cdef enum:
    NO_KIND = 0
    STATE_CHANGE = 1
    CODE_COUNT = 64
    FIELD_COUNT = 8

cdef extern from "fastcoord/wire/event.h":
    ctypedef union Field "FastcoordField":
        uint64_t number
        PyObject* object
    ctypedef struct EventObject "FastcoordEvent":
        uint8_t code
        Field* fields
    void type_init "fastcoord_type_init"(PyTypeObject* type) noexcept
    bint small_uint "fastcoord_small_uint"(PyObject* value, uint64_t* number) noexcept
    uint64_t u32_of "fastcoord_u32_of"(PyObject* value) noexcept
    PyObject* new_uint "fastcoord_new_uint"(uint64_t number) except NULL

# How the values of a kind are stored and written. Index `slot` is the position among the bytes of the wire
# and in memory, index `argument` the position among the arguments.
cdef struct Kind:
    PyTypeObject* type
    PyObject* signal                    # the only event of a kind without fields, or NULL; owned
    int count
    bint has_objects
    bint has_uints_only
    bint has_numbers_only               # integers of any type, no flag
    bint has_three_numbers
    Py_ssize_t bound                    # bytes that all but its objects take at most, the tag included
    uint8_t types[FIELD_COUNT]          # a FieldType, by slot
    uint64_t largest[FIELD_COUNT]       # of a number, by slot
    uint8_t most_bytes[FIELD_COUNT]     # of a number, by slot
    uint8_t safe_bytes[FIELD_COUNT]     # so many bytes cannot exceed the width, by slot
    uint8_t slots[FIELD_COUNT]          # by argument
    # Owned, for ever. Names are interned.
    PyObject* names[FIELD_COUNT]        # by argument
    PyObject* slot_names[FIELD_COUNT]   # by slot
    PyObject* defaults[FIELD_COUNT]     # by argument, NULL where there is none

cdef class Event:
    pass

# A module may not export an array, so these point to the arrays of the module, by code.
cdef const Kind* kinds
cdef Pool* pools
cdef destructor end_event           # of all event classes, and of no other
# Gives a new event in new memory; its fields are to be set.
cdef PyObject* (*make_event)(int code) except NULL
cdef tuple list_members(Event event, int slot)
cdef void drop_fields(const Kind* kind, Field* fields) noexcept

cdef extern from "Python.h":
    ctypedef struct TypeWithEnd "PyTypeObject":
        destructor tp_dealloc
    TypeWithEnd* type_at "Py_TYPE"(PyObject*) noexcept

cdef inline EventObject* content(Event event) noexcept:
    return <EventObject*><PyObject*>event

cdef inline int code_of(Event event) noexcept:
    return content(event).code

cdef inline bint is_event_at(PyObject* value) noexcept:
    return type_at(value).tp_dealloc == end_event

cdef inline bint is_event(value) noexcept:
    return is_event_at(<PyObject*>value)
