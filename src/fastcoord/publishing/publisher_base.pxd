# cython: language_level=3
from fastcoord.publishing.batcher cimport Batcher
from fastcoord.publishing.node_state cimport NodeState
from fastcoord.wire.events cimport is_event

# The default of the parameter ``event``. It is not None, so that ``publish(None)`` differs from
# ``publish()``.
cdef object NOTHING

cdef class PublisherBase:
    cdef Batcher batcher
    cdef NodeState state
    cdef object owner

    cdef tuple add(self, tuple events, Py_ssize_t* done, bint* must_wait)

cdef inline int check_initialized(PublisherBase publisher) except -1:
    # If only ``__new__`` was called, the attributes are None. Compiled code does not check for None
    # and would crash when it calls their methods.
    if publisher.owner is None:
        raise RuntimeError("this node was not initialized: use connect")
    return 0

cdef inline tuple events_of(events):
    """Copy a list of events, because the caller may change it while a call waits for capacity."""
    if is_event(events):
        raise TypeError(
            f"publish_many takes a list of events, not one {type(events).__name__}: use publish"
        )
    return tuple(events)
