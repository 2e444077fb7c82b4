# cython: language_level=3
from cpython.object cimport PyObject

cdef extern from "Python.h":
    ctypedef PyObject* (*iternextfunc)(PyObject*) except NULL
    ctypedef int (*sendfunc)(PyObject*, PyObject*, PyObject**) except -1

cdef class Done:
    pass

cdef Done DONE

cdef int set_slots(type kind, iternextfunc iternext, sendfunc send) except -1
