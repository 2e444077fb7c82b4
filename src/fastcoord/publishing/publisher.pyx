# cython: language_level=3, embedsignature=True, binding=False, embedsignature.format=clinic
"""The publishing methods of a node: from the call to the batcher without a Python frame between."""

cimport cython

from fastcoord._awaitable cimport DONE
from fastcoord.publishing.batcher cimport Batcher
from fastcoord.publishing.node_state cimport NodeState
from fastcoord.wire.events cimport is_event

cdef enum:
    # A task that publishes without waiting yields to the event loop after so many sealed bytes.
    BYTES_PER_ITERATION = 64 * 1024


cdef object NOTHING = object()


cdef class Publisher:
    """The publishing methods of a node.

    A subclass sets it up with ``_attach``. The sender has the methods
    ``publish_rest(prepared, done)``, which returns a coroutine for the events that did not fit, and
    ``yield_to_loop()``, which returns one that runs one iteration of the event loop.
    """

    cdef Batcher batcher
    cdef NodeState state
    cdef object sender

    def _attach(self, NodeState state not None, Batcher batcher not None, sender not None):
        self.state = state
        self.batcher = batcher
        self.sender = sender

    cdef int check_attached(self) except -1:
        # Made by `__new__` alone, all three are None, and the fast paths must not run.
        if self.sender is None:
            raise RuntimeError("this node was never set up: fastcoord.connect makes nodes")
        return 0

    cdef object accept(self, tuple events):
        cdef tuple prepared
        cdef Py_ssize_t done = 0
        if self.state.is_blocked:
            self.state.check()
            return self.sender.publish_rest(self.batcher.prepare(events), 0)
        prepared = self.batcher.prepare_members(events)
        done = self.batcher.add_members(prepared, 0)
        if done < len(prepared):
            return self.sender.publish_rest(prepared, done)
        if self.batcher.bytes_since_flush >= BYTES_PER_ITERATION:
            return self.sender.yield_to_loop()
        return DONE

    # With one argument of its own a function is called without a tuple of them being made.
    @cython.embedsignature(False)
    def publish(self, event=NOTHING, /, *others):
        """publish($self, *events)
        --

        Publish events to every other node, waiting for room when the outgoing side is full.

        The events are accepted, in their order, before this returns to the caller or, when there
        is no room, before the await ends. What is accepted is kept until the server has confirmed
        it, and sent again after a reconnect.

        :param events: any events that the protocol has. If one of them is refused, none is sent.
        :raises UnsupportedEvent: the protocol does not have such an event.
        :raises EventTooLarge: an event does not fit into a batch and cannot be split.
        :raises TypeError: something is not an event.
        :raises ConnectionLost: the connection is gone for good.
        :raises NodeClosed: the node was closed.
        """
        self.check_attached()
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
        :raises ConnectionLost: the connection is gone for good.
        :raises NodeClosed: the node was closed.
        """
        self.check_attached()
        if is_event(events):
            raise TypeError(
                f"publish_many takes a list of events, not one {type(events).__name__}: use publish"
            )
        # A tuple: while this waits for room, the caller may change a list.
        return self.accept(tuple(events))

    @cython.embedsignature(False)
    def publish_nowait(self, event=NOTHING, /, *others):
        """publish_nowait($self, *events)
        --

        Publish events without waiting, from any thread; never fails because of the bus.

        When the outgoing side is full the oldest unsent batch makes room. It is counted in
        ``stats().discarded``, and the peers hear ``Missed`` with the cause ``"discarded"``.

        :raises UnsupportedEvent: the protocol does not have such an event.
        :raises EventTooLarge: an event does not fit into a batch and cannot be split.
        :raises TypeError: something is not an event.
        :raises NodeClosed: the node was closed.
        """
        self.check_attached()
        if self.state.is_closed:
            self.state.check()
        if not others and self.batcher.add_one(event):
            return
        self.batcher.add_always(
            self.batcher.prepare(others if event is NOTHING else (event, *others))
        )
