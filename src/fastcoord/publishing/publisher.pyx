# cython: language_level=3, embedsignature=True, binding=False, embedsignature.format=clinic
"""The publishing methods of a node, compiled so that a call needs no Python frame."""

cimport cython

from fastcoord._awaitable cimport DONE
from fastcoord.publishing.publisher_base cimport (
    NOTHING,
    PublisherBase,
    check_initialized,
    events_of,
)

cdef extern from "Python.h":
    unsigned long PyThread_get_thread_ident() noexcept

cdef enum:
    # A call lets the event loop run once this many bytes were sealed since the last flush.
    BYTES_PER_ITERATION = 64 * 1024


cdef class Publisher(PublisherBase):
    """The publishing methods of a node.

    :param state: stores what has ended the node.
    :param batcher: encodes the events.
    :param owner: has three methods. ``publish_rest(prepared, done)`` returns a coroutine that
        waits until the events from index ``done`` on are accepted. ``yield_to_loop()`` returns a
        coroutine that lets the event loop run one iteration. ``check_caller()`` raises
        ``WrongLoop`` if the call comes from another event loop or thread.
    """

    cdef int check_caller(self) except -1:
        # Comparing threads costs a nanosecond. Looking up the running loop costs more than the rest
        # of ``publish``. So the loop is looked up only once per flush, or if the thread differs.
        if (
            not self.batcher.is_flush_scheduled
            or self.state.thread != PyThread_get_thread_ident()
        ):
            self.owner.check_caller()
        return 0

    cdef object accept(self, tuple events):
        cdef Py_ssize_t done
        cdef bint must_wait
        cdef tuple prepared = self.add(events, &done, &must_wait)
        if must_wait:
            return self.owner.publish_rest(prepared, done)
        if self.batcher.bytes_since_flush >= BYTES_PER_ITERATION:
            return self.owner.yield_to_loop()
        return DONE

    # ``event`` is a parameter of its own so that a call with one event creates no tuple.
    @cython.embedsignature(False)
    def publish(self, event=NOTHING, /, *others):
        """publish($self, *events)\n--\n
        Publish events to every other node; wait while ``capacity.client`` is used up.

        The events are accepted in their order. If there is capacity, they are accepted as soon as
        this call returns. Otherwise they are accepted when the await ends. Accepted events are kept
        until the server has confirmed them. After a reconnect they are sent again.

        :param events: any events that the protocol has. If one of them is refused, none is sent.
        :raises UnsupportedEvent: the protocol does not have such an event.
        :raises EventTooLarge: an event does not fit into a batch and cannot be split.
        :raises TypeError: something is not an event.
        :raises PermissionDenied: the server does not permit this node to publish.
        :raises ConnectionLost: the connection is lost, and reconnecting was given up.
        :raises NodeClosed: the node was closed.
        :raises WrongLoop: the call comes from another event loop or thread.
        """
        check_initialized(self)
        self.check_caller()
        if not others and not self.state.is_blocked and self.batcher.add_one(event):
            if self.batcher.bytes_since_flush >= BYTES_PER_ITERATION:
                return self.owner.yield_to_loop()
            return DONE
        return self.accept(others if event is NOTHING else (event, *others))

    def publish_many(self, events):
        """Publish a list of events, like ``publish(*events)`` but without unpacking the list.

        :param events: an iterable of events.
        :raises UnsupportedEvent: the protocol does not have such an event.
        :raises EventTooLarge: an event does not fit into a batch and cannot be split.
        :raises TypeError: something is not an event.
        :raises PermissionDenied: the server does not permit this node to publish.
        :raises ConnectionLost: the connection is lost, and reconnecting was given up.
        :raises NodeClosed: the node was closed.
        :raises WrongLoop: the call comes from another event loop or thread.
        """
        check_initialized(self)
        self.check_caller()
        return self.accept(events_of(events))
