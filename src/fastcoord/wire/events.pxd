# cython: language_level=3
from cpython.object cimport PyObject

from fastcoord.wire.construction cimport end_event
from fastcoord.wire.kinds cimport EventObject
from fastcoord.wire.pool cimport destructor

cdef class Event:
    pass

cdef extern from "Python.h":
    ctypedef struct TypeWithEnd "PyTypeObject":
        destructor tp_dealloc
    TypeWithEnd* type_with_end_at "Py_TYPE"(PyObject*) noexcept

cdef inline EventObject* content(Event event) noexcept:
    return <EventObject*><PyObject*>event

cdef inline int code_of(Event event) noexcept:
    return content(event).code

cdef inline bint is_event_at(PyObject* value) noexcept:
    return type_with_end_at(value).tp_dealloc == end_event

cdef inline bint is_event(value) noexcept:
    return is_event_at(<PyObject*>value)
