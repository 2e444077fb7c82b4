# cython: language_level=3, embedsignature=True, binding=False, embedsignature.format=clinic
"""The publishing methods of a node: a call reaches the batcher without a Python frame in between."""

cimport cython

from fastcoord._awaitable cimport DONE
from fastcoord.publishing.batcher cimport Batcher
from fastcoord.publishing.node_state cimport NodeState
from fastcoord.wire.events cimport is_event

cdef extern from "Python.h":
    unsigned long PyThread_get_thread_ident() noexcept

cdef enum:
    # A task that publishes without waiting yields to the event loop after so many sealed bytes.
    BYTES_PER_ITERATION = 64 * 1024


# The default of ``event``: tells ``publish()`` from ``publish(None)``.
cdef object NOTHING = object()


cdef class Publisher:
    """The publishing methods of a node.

    :param state: stores what has ended the node.
    :param batcher: encodes the events.
    :param sender: has the methods ``publish_rest(prepared, done)``, which returns a coroutine that
        waits until the events from index ``done`` on are accepted, ``yield_to_loop()``, which
        returns a coroutine that runs one iteration of the event loop, and ``check_caller()``, which
        raises ``WrongLoop``.
    """

    cdef Batcher batcher
    cdef NodeState state
    cdef object sender

    def __init__(self, NodeState state not None, Batcher batcher not None, sender not None):
        self.state = state
        self.batcher = batcher
        self.sender = sender

    cdef int check_initialized(self) except -1:
        # ``__new__`` alone leaves the attributes None, and compiled code would call None's methods.
        if self.sender is None:
            raise RuntimeError("this node was not initialized: use fastcoord.connect")
        return 0

    cdef int check_caller(self) except -1:
        # Comparing threads costs a nanosecond, asking for the running loop more than the rest of
        # ``publish``: that is done once per flush.
        if (
            not self.batcher.is_flush_scheduled
            or self.state.thread != PyThread_get_thread_ident()
        ):
            self.sender.check_caller()
        return 0

    cdef object accept(self, tuple events):
        cdef tuple prepared
        cdef Py_ssize_t done = 0
        if self.state.is_blocked:
            self.state.check_publishing()
            return self.sender.publish_rest(self.batcher.prepare(events), 0)
        prepared = self.batcher.prepare_tuple(events)
        done = self.batcher.add_tuple(prepared, 0)
        if done < len(prepared):
            return self.sender.publish_rest(prepared, done)
        if self.batcher.bytes_since_flush >= BYTES_PER_ITERATION:
            return self.sender.yield_to_loop()
        return DONE

    # One positional argument beside ``*others``: a call with one event creates no tuple.
    @cython.embedsignature(False)
    def publish(self, event=NOTHING, /, *others):
        """publish($self, *events)
        --

        Publish events to every other node; wait while ``capacity.client`` is used up.

        The events are accepted, in their order, before this call returns or, if it has to wait,
        before the await ends. Accepted events are kept until the server has confirmed them, and
        sent again after a reconnect.

        :param events: any events that the protocol has. If one of them is refused, none is sent.
        :raises UnsupportedEvent: the protocol does not have such an event.
        :raises EventTooLarge: an event does not fit into a batch and cannot be split.
        :raises TypeError: something is not an event.
        :raises PermissionDenied: the server does not permit this node to publish.
        :raises ConnectionLost: the connection is gone for good.
        :raises NodeClosed: the node was closed.
        :raises WrongLoop: the call comes from another event loop or thread.
        """
        self.check_initialized()
        self.check_caller()
        if not others and not self.state.is_blocked and self.batcher.add_one(event):
            if self.batcher.bytes_since_flush >= BYTES_PER_ITERATION:
                return self.sender.yield_to_loop()
            return DONE
        return self.accept(others if event is NOTHING else (event, *others))

    def publish_many(self, events):
        """Publish a list of events; like ``publish(*events)``, without unpacking.

        :param events: an iterable of events.
        :raises UnsupportedEvent: the protocol does not have such an event.
        :raises EventTooLarge: an event does not fit into a batch and cannot be split.
        :raises TypeError: something is not an event.
        :raises PermissionDenied: the server does not permit this node to publish.
        :raises ConnectionLost: the connection is gone for good.
        :raises NodeClosed: the node was closed.
        :raises WrongLoop: the call comes from another event loop or thread.
        """
        self.check_initialized()
        self.check_caller()
        if is_event(events):
            raise TypeError(
                f"publish_many takes a list of events, not one {type(events).__name__}: use publish"
            )
        # A tuple: the caller may change its list while this call waits for capacity.
        return self.accept(tuple(events))

    @cython.embedsignature(False)
    def publish_nowait(self, event=NOTHING, /, *others):
        """publish_nowait($self, *events)
        --

        Publish events without waiting, from any thread; never fails because of the bus.

        When ``capacity.client`` is used up, the oldest batch that was not sent is discarded. It is
        counted in ``stats().discarded``, and the peers receive ``Missed`` with the cause
        ``"discarded"``.

        :raises UnsupportedEvent: the protocol does not have such an event.
        :raises EventTooLarge: an event does not fit into a batch and cannot be split.
        :raises TypeError: something is not an event.
        :raises NodeClosed: the node was closed, or this process is a forked child.
        """
        self.check_initialized()
        if self.state.is_closed:
            self.state.check()
        if not others and self.batcher.add_one(event):
            return
        self.batcher.add_always(
            self.batcher.prepare(others if event is NOTHING else (event, *others))
        )
