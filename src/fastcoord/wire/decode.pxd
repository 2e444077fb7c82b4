# cython: language_level=3
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint64_t

from fastcoord.wire.protocol cimport Protocol
from fastcoord.wire.primitives cimport Reader

cdef PyObject* decode_event(Protocol protocol, Reader* reader) except? NULL
cdef Py_ssize_t decode_run(
    Protocol protocol, Reader* reader, PyObject** events, Py_ssize_t count, uint64_t mask
) except -1
cdef str explain(Protocol protocol, Reader* reader, const uint8_t* event_at)
