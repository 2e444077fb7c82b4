# cython: language_level=3
from cpython.object cimport PyObject

cdef tuple list_members(PyObject* item, int slot)
cdef tuple all_values(PyObject* item)
cdef PyObject* get_attribute(PyObject* item, PyObject* name) except NULL
cdef PyObject* get_field(PyObject* item, void* slot) except NULL
