# cython: language_level=3
cdef class NodeState:
    cdef readonly object ended
    cdef readonly object refused
    cdef readonly bint is_closed
    cdef readonly bint is_blocked
    cdef readonly Py_ssize_t waiting
    cdef readonly unsigned long thread
