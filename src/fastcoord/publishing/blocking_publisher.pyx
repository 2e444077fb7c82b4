# cython: language_level=3, embedsignature=True, binding=False, embedsignature.format=clinic
"""The publishing methods of a blocking node, which any thread may call.

Encoding an event runs under the GIL and calls no Python code, so threads need no lock and an event
needs no call into the event loop's thread. Only a call that has to wait calls the loop.
"""

cimport cython

from fastcoord.publishing.publisher_base cimport (
    NOTHING,
    PublisherBase,
    check_initialized,
    events_of,
)

cdef enum:
    # A call lets the event loop's thread run once this many bytes were sealed since the last flush.
    BYTES_PER_ITERATION = 1024 * 1024


cdef class BlockingPublisher(PublisherBase):
    """The publishing methods of a blocking node.

    :param state: stores what has ended the node.
    :param batcher: encodes the events.
    :param owner: has three methods. ``publish_rest(prepared, done, timeout)`` waits until the
        events from index ``done`` on are accepted. ``yield_to_loop()`` waits until the event loop
        has run one iteration. ``limit_of(timeout)`` checks a timeout and returns it as a float.
    """

    cdef int accept(self, tuple events, timeout) except -1:
        cdef Py_ssize_t done
        cdef bint must_wait
        cdef tuple prepared = self.add(events, &done, &must_wait)
        if must_wait:
            self.owner.publish_rest(prepared, done, timeout)
        elif self.batcher.bytes_since_flush >= BYTES_PER_ITERATION:
            self.owner.yield_to_loop()
        return 0

    # ``event`` is a parameter of its own so that a call with one event creates no tuple.
    @cython.embedsignature(False)
    def publish(self, event=NOTHING, /, *others, timeout=None):
        """publish($self, *events, timeout=None)\n--\n
        Publish events to every other node; wait while ``capacity.client`` is used up.

        The events are accepted in their order. Accepted events are kept until the server has
        confirmed them. After a reconnect they are sent again.

        :param events: any events that the protocol has. If one of them is refused, none is sent.
        :param timeout: the limit of the wait, in seconds; ``None`` for no limit.
        :raises RequestTimeout: the wait exceeded the timeout. Of several events, the first ones may
            have been accepted.
        :raises UnsupportedEvent: the protocol does not have such an event.
        :raises EventTooLarge: an event does not fit into a batch and cannot be split.
        :raises TypeError: something is not an event, or ``timeout`` is not a number.
        :raises ValueError: ``timeout`` is negative.
        :raises PermissionDenied: the server does not permit this node to publish.
        :raises ConnectionLost: the connection is lost, and reconnecting was given up.
        :raises NodeClosed: the node was closed, or this process is a forked child.
        """
        check_initialized(self)
        if timeout is not None:
            timeout = self.owner.limit_of(timeout)
        if not others and not self.state.is_blocked and self.batcher.add_one(event):
            if self.batcher.bytes_since_flush >= BYTES_PER_ITERATION:
                self.owner.yield_to_loop()
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
        :raises TypeError: something is not an event, or ``timeout`` is not a number.
        :raises ValueError: ``timeout`` is negative.
        :raises PermissionDenied: the server does not permit this node to publish.
        :raises ConnectionLost: the connection is lost, and reconnecting was given up.
        :raises NodeClosed: the node was closed, or this process is a forked child.
        """
        check_initialized(self)
        if timeout is not None:
            timeout = self.owner.limit_of(timeout)
        self.accept(events_of(events), timeout)
