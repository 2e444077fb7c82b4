# cython: language_level=3
from libc.stdint cimport int16_t, uint8_t, uint64_t

from fastcoord.wire.events cimport CODE_COUNT, Event

cdef extern from *:
    """
    #define FASTCOORD_ALL_KINDS 0xffffffffffffffffull
    """
    const uint64_t ALL_KINDS "FASTCOORD_ALL_KINDS"

cdef class Protocol:
    cdef readonly str name
    cdef uint8_t code_of[256]        # by tag; UNMADE where the protocol has no such tag
    cdef int16_t tag_of[CODE_COUNT]  # by code; -1 where the protocol has no such event

cdef inline bint knows(Protocol protocol, Event event) noexcept:
    return event.code < CODE_COUNT and protocol.tag_of[event.code] >= 0

cdef Protocol get_protocol(name)
cdef uint64_t kinds_mask(kinds) except? 0
