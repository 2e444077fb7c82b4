# cython: language_level=3, embedsignature=True, binding=False, embedsignature.format=clinic
"""The publishing methods of a blocking node, which any thread may call.

Encoding an event runs under the GIL and calls no Python code, so threads need no lock and an event
needs no call into the event loop's thread. Only a call that has to wait calls the loop.
"""

cimport cython

from fastcoord.publishing.batcher cimport Batcher
from fastcoord.publishing.node_state cimport NodeState
from fastcoord.wire.events cimport is_event

cdef enum:
    # A call lets the event loop's thread run once this many bytes were sealed since the last flush.
    BYTES_PER_ITERATION = 1024 * 1024


# The default of ``event``. It is not None, so that ``publish(None)`` differs from ``publish()``.
cdef object NOTHING = object()


cdef class BlockingPublisher:
    """The publishing methods of a blocking node.

    :param state: stores what has ended the node.
    :param batcher: encodes the events.
    :param waits: has two methods. ``publish_rest(prepared, done, timeout)`` waits until the events
        from index ``done`` on are accepted. ``yield_to_loop()`` waits until the event loop has run
        one iteration.
    """

    cdef Batcher batcher
    cdef NodeState state
    cdef object waits

    def __init__(self, NodeState state not None, Batcher batcher not None, waits not None):
        self.state = state
        self.batcher = batcher
        self.waits = waits

    cdef int check_initialized(self) except -1:
        # If only ``__new__`` was called, the attributes are None. Compiled code does not check for
        # None and would crash when it calls their methods.
        if self.waits is None:
            raise RuntimeError("this node was not initialized: use fastcoord.blocking.connect")
        return 0

    cdef int accept(self, tuple events, timeout) except -1:
        cdef tuple prepared
        cdef Py_ssize_t done = 0
        if self.state.is_blocked:
            self.state.check_publishing()
            self.waits.publish_rest(self.batcher.prepare(events), 0, timeout)
            return 0
        prepared = self.batcher.prepare_tuple(events)
        done = self.batcher.add_tuple(prepared, 0)
        if done < len(prepared):
            self.waits.publish_rest(prepared, done, timeout)
        elif self.batcher.bytes_since_flush >= BYTES_PER_ITERATION:
            self.waits.yield_to_loop()
        return 0

    # ``event`` is a parameter of its own so that a call with one event creates no tuple.
    @cython.embedsignature(False)
    def publish(self, event=NOTHING, /, *others, timeout=None):
        """publish($self, *events, timeout=None)
        --

        Publish events to every other node; wait while ``capacity.client`` is used up.

        The events are accepted in their order. Accepted events are kept until the server has
        confirmed them. After a reconnect they are sent again.

        :param events: any events that the protocol has. If one of them is refused, none is sent.
        :param timeout: the limit of the wait, in seconds; ``None`` for no limit.
        :raises RequestTimeout: the wait exceeded the timeout. Of several events, the first ones may
            have been accepted.
        :raises UnsupportedEvent: the protocol does not have such an event.
        :raises EventTooLarge: an event does not fit into a batch and cannot be split.
        :raises TypeError: something is not an event.
        :raises PermissionDenied: the server does not permit this node to publish.
        :raises ConnectionLost: the connection is lost, and reconnecting was given up.
        :raises NodeClosed: the node was closed, or this process is a forked child.
        """
        self.check_initialized()
        if not others and not self.state.is_blocked and self.batcher.add_one(event):
            if self.batcher.bytes_since_flush >= BYTES_PER_ITERATION:
                self.waits.yield_to_loop()
            return
        self.accept(others if event is NOTHING else (event, *others), timeout)

    def publish_many(self, events, *, timeout=None):
        """Publish a list of events, like ``publish(*events)`` but without unpacking the list.

        :param events: an iterable of events.
        :param timeout: the limit of the wait, in seconds; ``None`` for no limit.
        :raises RequestTimeout: the wait exceeded the timeout. Of several events, the first ones may
            have been accepted.
        :raises UnsupportedEvent: the protocol does not have such an event.
        :raises EventTooLarge: an event does not fit into a batch and cannot be split.
        :raises TypeError: something is not an event.
        :raises PermissionDenied: the server does not permit this node to publish.
        :raises ConnectionLost: the connection is lost, and reconnecting was given up.
        :raises NodeClosed: the node was closed, or this process is a forked child.
        """
        self.check_initialized()
        if is_event(events):
            raise TypeError(
                f"publish_many takes a list of events, not one {type(events).__name__}: use publish"
            )
        # Copy the list, because the caller may change it while this call waits for capacity.
        self.accept(tuple(events), timeout)

    @cython.embedsignature(False)
    def publish_nowait(self, event=NOTHING, /, *others):
        """publish_nowait($self, *events)
        --

        Publish events without waiting.

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
