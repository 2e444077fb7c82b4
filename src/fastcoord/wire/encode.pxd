# cython: language_level=3
from cpython.object cimport PyObject

from fastcoord.wire.events cimport Event
from fastcoord.wire.protocol cimport Protocol
from fastcoord.wire.primitives cimport Writer

cdef enum:
    # The bytes that are reserved for an event without objects. A tag, two u64 and two u32 take 31.
    FIXED_SIZE = 32

cdef Py_ssize_t size_bound(Event event) except -1
cdef int encode_event(Protocol protocol, Writer* writer, Event event) except -1
cdef Py_ssize_t encode_run(
    Protocol protocol,
    Writer* writer,
    PyObject** events,
    Py_ssize_t start,
    Py_ssize_t count,
    Py_ssize_t limit,
) except -1
cdef tuple split_event(Protocol protocol, Event event, Py_ssize_t limit)
