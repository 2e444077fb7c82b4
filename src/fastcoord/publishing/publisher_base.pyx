# cython: language_level=3, embedsignature=True, binding=False, embedsignature.format=clinic
"""What the asynchronous and the blocking publishing methods share."""

cimport cython

from fastcoord.publishing.batcher cimport Batcher
from fastcoord.publishing.node_state cimport NodeState

NOTHING = object()


cdef class PublisherBase:
    """Accept events for a node.

    :param state: stores what has ended the node.
    :param batcher: encodes the events.
    :param owner: waits for capacity and for the event loop; see the subclasses.
    """

    def __init__(self, NodeState state not None, Batcher batcher not None, owner not None):
        self.state = state
        self.batcher = batcher
        self.owner = owner

    cdef tuple add(self, tuple events, Py_ssize_t* done, bint* must_wait):
        """Check events and accept as many of them as the capacity allows.

        :param done: set to the number of accepted events.
        :param must_wait: set to whether the caller must wait until the others are accepted.
        :return: the prepared events.
        """
        cdef tuple prepared
        if self.state.is_blocked:
            self.state.check_publishing()
            prepared = self.batcher.prepare(events)
            done[0] = 0
            must_wait[0] = True
            return prepared
        prepared = self.batcher.prepare_tuple(events)
        done[0] = self.batcher.add_tuple(prepared, 0)
        must_wait[0] = done[0] < len(prepared)
        return prepared

    @cython.embedsignature(False)
    def publish_nowait(self, event=NOTHING, /, *others):
        """publish_nowait($self, *events)\n--\n
        Publish events without waiting, from any thread.

        The state of the connection never makes this call fail. When ``capacity.client`` is used up,
        the oldest batch that was not sent is discarded. It is counted in ``stats().discarded``, and
        the peers receive ``Missed`` with the cause ``"discarded"``.

        :raises UnsupportedEvent: the protocol does not have such an event.
        :raises EventTooLarge: an event does not fit into a batch and cannot be split.
        :raises TypeError: something is not an event.
        :raises NodeClosed: the node was closed, or this process is a forked child.
        """
        check_initialized(self)
        if self.state.is_closed:
            self.state.check()
        if not others and self.batcher.add_one(event):
            return
        self.batcher.add_always(
            self.batcher.prepare(others if event is NOTHING else (event, *others))
        )
