# cython: language_level=3, embedsignature=True, binding=False, embedsignature.format=clinic
"""Where programs publish: from the call to the batcher without a Python frame in between."""

cimport cython

from fastcoord._awaitable cimport DONE
from fastcoord._batcher cimport Batcher
from fastcoord._events cimport is_event

cdef enum:
    BYTES_PER_TURN = 64 * 1024   # sealed by one task before the loop has to turn


cdef object NOTHING = object()


cdef class Outlet:
    """The end of a node that programs publish into, without a Python frame in between.

    A subclass sets it up with ``_publish_through``. The owner has the methods
    ``publish_rest(prepared, done)``, which gives a coroutine for what did not fit,
    ``turn_round()``, which gives one that lets the loop turn, and ``refuse()``, which raises when
    nothing may be published any more.
    """

    cdef Batcher batcher
    cdef object owner
    cdef public bint _is_blocked   # somebody waits for room, or it has ended
    cdef public bint _is_closed

    def __cinit__(self):
        # What was never set up has nothing to publish through.
        self._is_blocked = self._is_closed = True

    def _publish_through(self, Batcher batcher, owner):
        self.batcher = batcher
        self.owner = owner
        self._is_blocked = self._is_closed = False

    cdef int refuse(self) except -1:
        if self.owner is None:
            raise RuntimeError("this node was never set up: fastcoord.connect makes nodes")
        self.owner.refuse()
        return 0

    cdef object accept(self, tuple events):
        cdef tuple prepared
        cdef Py_ssize_t done = 0
        if self._is_blocked:
            self.refuse()
            return self.owner.publish_rest(self.batcher.prepare(events), 0)
        prepared = self.batcher.prepare_members(events)
        done = self.batcher.add_members(prepared, 0)
        if done < len(prepared):
            return self.owner.publish_rest(prepared, done)
        if self.batcher.turn_bytes >= BYTES_PER_TURN:
            return self.owner.turn_round()
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
        if not others and not self._is_blocked and self.batcher.add_one(event):
            if self.batcher.turn_bytes >= BYTES_PER_TURN:
                return self.owner.turn_round()
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
        if self._is_closed:
            self.refuse()
        if not others and self.batcher.add_one(event):
            return
        self.batcher.add_always(
            self.batcher.prepare(others if event is NOTHING else (event, *others))
        )
