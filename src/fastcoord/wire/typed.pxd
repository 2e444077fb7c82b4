# cython: language_level=3
from libc.stdint cimport uint64_t

from fastcoord.wire.events cimport Event
from fastcoord.wire.primitives cimport Reader
from fastcoord.wire.protocol cimport Protocol

cdef class TypedClass:
    cdef readonly object type          # the class
    cdef readonly int kind             # of the AppEvent
    cdef bint is_reported              # whether a payload that does not fit was reported
    cdef object encode                 # returns the payload of an instance
    cdef object make_decoder           # returns `decode`; called at the first payload
    cdef object decode                 # returns the instance of a payload; None before the first
    cdef object on_first_mismatch      # called with this object and the error

    cdef object instance(self, bytes payload)

# The classes that a subscription delivers instead of AppEvent.
cdef class TypedKinds:
    cdef dict by_kind                  # None for all registered classes
    cdef bint has_others               # whether AppEvents of other kinds are delivered

cdef int app_event_code() noexcept
cdef Py_ssize_t* registered_count    # how many classes are registered
cdef Event as_app_event(object value, Protocol protocol)
cdef object take_app_event(
    Protocol protocol, Reader* reader, TypedKinds kinds, uint64_t* mismatched
)
