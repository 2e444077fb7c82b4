# cython: language_level=3
from cpython.object cimport PyObject, PyTypeObject

from fastcoord.wire.kinds cimport Kind
from fastcoord.wire.pool cimport Pool

cdef Pool* pools                    # by code; it points to an array of the module

# Returns a new event in new memory. The caller must set its fields.
cdef PyObject* make_event(int code) except NULL
cdef void end_event(PyObject* item) noexcept  # the tp_dealloc of all event classes and no other
cdef int finish_kind(int code) except -1
cdef PyObject* construct(
    PyObject* type, PyObject* const* arguments, size_t flags, PyObject* keywords
) except NULL
cdef PyObject* construct_from_tuple(
    PyTypeObject* type, PyObject* arguments, PyObject* keywords
) except NULL
cdef int refuse_again(PyObject* item, PyObject* arguments, PyObject* keywords) except -1
