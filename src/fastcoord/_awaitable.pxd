# cython: language_level=3
from cpython.object cimport PyObject

cdef extern from "Python.h":
    ctypedef PyObject* (*iternextfunc)(PyObject*) except NULL
    ctypedef int (*sendfunc)(PyObject*, PyObject*, PyObject**) except -1

cdef class Done:
    pass

cdef Done DONE

cdef class Waiter:
    cdef public bint _asyncio_future_blocking
    cdef bint is_cancelled
    cdef bint is_woken
    cdef object loop
    cdef object callback   # resumes the task; None while no task waits
    cdef object context

cdef int set_slots(type kind, iternextfunc iternext, sendfunc send) except -1
cdef raise_thrown(tuple arguments)
