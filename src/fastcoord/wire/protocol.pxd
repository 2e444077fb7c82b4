# cython: language_level=3
from libc.stdint cimport int16_t, uint8_t, uint64_t

from fastcoord.wire.events cimport Event, code_of
from fastcoord.wire.kinds cimport CODE_COUNT

cdef extern from *:
    const uint64_t ALL_KINDS "UINT64_MAX"

cdef class Protocol:
    cdef readonly str name
    cdef uint8_t code_of_tag[256]    # NO_KIND where the protocol has no such tag
    cdef int16_t tag_of[CODE_COUNT]  # by code: the first tag of the kind, or -1 if there is none

cdef inline bint knows(Protocol protocol, Event event) noexcept:
    return protocol.tag_of[code_of(event)] >= 0

cdef Protocol get_protocol(name)
cdef uint64_t kinds_mask(kinds) except? 0
