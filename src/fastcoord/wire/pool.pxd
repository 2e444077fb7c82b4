# cython: language_level=3
"""Memory of objects that are gone, kept for the next ones of their class."""

from cpython.object cimport PyObject

cdef extern from "fastcoord/wire/pool.h":
    ctypedef void (*destructor)(PyObject*)
    ctypedef struct Pool "FastcoordPool":
        Py_ssize_t used
        Py_ssize_t capacity
        PyObject** items
    enum:
        LARGE_POOL_CAPACITY "FASTCOORD_POOL_CAPACITY"
        SMALL_POOL_CAPACITY "FASTCOORD_SMALL_POOL_CAPACITY"
    bint pool_keep "fastcoord_pool_keep"(Pool* pool, PyObject* item) noexcept
    PyObject* pool_take "fastcoord_pool_take"(Pool* pool) noexcept
    # Takes over the reference that a C pointer stands for.
    object owned "fastcoord_owned"(PyObject*)
