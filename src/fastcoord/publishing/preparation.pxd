# cython: language_level=3
from fastcoord.wire.protocol cimport Protocol

cdef tuple prepare_events(Protocol protocol, Py_ssize_t max_size, tuple events)
