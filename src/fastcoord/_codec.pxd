# cython: language_level=3
from cpython.object cimport PyObject
from libc.stdint cimport int16_t, uint8_t, uint16_t, uint64_t

from fastcoord._events cimport CODE_COUNT, Event
from fastcoord._wire cimport Reader, Writer

cdef enum:
    # No event with fixed fields takes more: a tag, two u64 and two u32.
    FIXED_SIZE = 32

cdef class Protocol:
    cdef readonly str name
    cdef uint8_t code_of[256]        # by tag; UNMADE where the protocol has no such tag
    cdef int16_t tag_of[CODE_COUNT]  # by code; -1 where the protocol has no such event

cdef class Batch:
    cdef readonly object received_at
    cdef tuple events
    cdef readonly uint16_t node_id

cdef inline bint knows(Protocol protocol, Event event) noexcept:
    return event.code < CODE_COUNT and protocol.tag_of[event.code] >= 0

cdef Protocol get_protocol(name)
cdef Batch make_batch(uint16_t node_id, received_at, tuple events)
cdef uint64_t kinds_mask(kinds) except? 0

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

cdef Event decode_event(Protocol protocol, Reader* reader)
cdef Py_ssize_t decode_run(
    Protocol protocol, Reader* reader, PyObject** events, Py_ssize_t count
) except -1
cdef bint skip_event(Protocol protocol, Reader* reader)
cdef Py_ssize_t count_events(Protocol protocol, Reader* reader)
cdef str explain(Protocol protocol, Reader* reader, const uint8_t* event_at)
