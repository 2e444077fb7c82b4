# cython: language_level=3
from fastcoord.wire.protocol cimport Protocol
from fastcoord.wire.primitives cimport Reader

# Sets `is_shortest` to False if an integer takes more bytes than it needs.
cdef bint skip_list(Reader* reader, int type, bint* is_shortest) noexcept nogil
cdef bint skip_event(Protocol protocol, Reader* reader) except -1
cdef Py_ssize_t count_events(Protocol protocol, Reader* reader) except -1
