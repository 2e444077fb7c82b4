# cython: language_level=3, embedsignature=True, binding=False, embedsignature.format=clinic
"""The publishing methods of a node, compiled so that a call needs no Python frame."""

cimport cython

from fastcoord._awaitable cimport DONE
from fastcoord.publishing.batcher cimport Batcher
from fastcoord.publishing.node_state cimport NodeState
from fastcoord.wire.events cimport is_event

cdef extern from "Python.h":
    unsigned long PyThread_get_thread_ident() noexcept

cdef enum:
    # A call lets the event loop run once this many bytes were sealed since the last flush.
    BYTES_PER_ITERATION = 64 * 1024


# The default of ``event``. It is not None, so that ``publish(None)`` differs from ``publish()``.
cdef object NOTHING = object()


cdef class Publisher:
    """The publishing methods of a node.

    :param state: stores what has ended the node.
    :param batcher: encodes the events.
    :param sender: has three methods. ``publish_rest(prepared, done)`` returns a coroutine that
        waits until the events from index ``done`` on are accepted. ``yield_to_loop()`` returns a
        coroutine that lets the event loop run one iteration. ``check_caller()`` raises
        ``WrongLoop`` if the call comes from another event loop or thread.
    """

    cdef Batcher batcher
    cdef NodeState state
    cdef object sender

    def __init__(self, NodeState state not None, Batcher batcher not None, sender not None):
        self.state = state
        self.batcher = batcher
        self.sender = sender

    cdef int check_initialized(self) except -1:
        # If only ``__new__`` was called, the attributes are None. Compiled code does not check for
        # None and would crash when it calls their methods.
        if self.sender is None:
            raise RuntimeError("this node was not initialized: use fastcoord.connect")
        return 0

    cdef int check_caller(self) except -1:
        # Comparing threads costs a nanosecond. Looking up the running loop costs more than the rest
        # of ``publish``. So the loop is looked up only once per flush, or if the thread differs.
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

    # ``event`` is a parameter of its own so that a call with one event creates no tuple.
    @cython.embedsignature(False)
    def publish(self, event=NOTHING, /, *others):
        """publish($self, *events)
        --

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
        self.check_initialized()
        self.check_caller()
        if not others and not self.state.is_blocked and self.batcher.add_one(event):
            if self.batcher.bytes_since_flush >= BYTES_PER_ITERATION:
                return self.sender.yield_to_loop()
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
        self.check_initialized()
        self.check_caller()
        if is_event(events):
            raise TypeError(
                f"publish_many takes a list of events, not one {type(events).__name__}: use publish"
            )
        # Copy the list, because the caller may change it while this call waits for capacity.
        return self.accept(tuple(events))

    @cython.embedsignature(False)
    def publish_nowait(self, event=NOTHING, /, *others):
        """publish_nowait($self, *events)
        --

        Publish events without waiting, from any thread.

        The state of the connection never makes this call fail. When ``capacity.client`` is used up,
        the oldest batch that was not sent is discarded. It is counted in ``stats().discarded``, and
        the peers receive ``Missed`` with the cause ``"discarded"``.

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
