# cython: language_level=3
"""Keep the memory of freed objects for new objects of the same class."""

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
    # Returns the object of a C pointer and takes over the reference that the pointer owned.
    object owned "fastcoord_owned"(PyObject*)
