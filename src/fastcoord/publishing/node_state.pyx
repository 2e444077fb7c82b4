# cython: language_level=3, embedsignature=True
"""The state that decides whether a node accepts events."""

import copy

from fastcoord.errors import NodeClosed


cdef class NodeState:
    """The state that publisher, sender and node share.

    :ivar ended: the exception that further calls raise; ``None`` while the node is in use.
    :ivar refused: the exception that publishing raises while the server does not permit it.
    :ivar is_closed: whether ``ended`` is ``NodeClosed``.
    :ivar waiting: how many publishers wait for capacity.
    :ivar is_blocked: whether ``publish`` must not add events itself. The reasons are that the node
        has ended, that the server does not permit publishing, or that earlier publishers wait.
    :ivar thread: the identifier of the thread that ran the node's event loop at the last check.
    """

    def end(self, reason):
        """Store the exception that has ended the node.

        The first exception is kept, except that ``NodeClosed`` replaces ``ConnectionLost``.
        """
        if self.ended is None or isinstance(reason, NodeClosed):
            self.ended = reason
        self.is_closed = isinstance(self.ended, NodeClosed)
        self.is_blocked = True

    def check(self):
        """Raise the exception that has ended the node, if the node has ended.

        :raises ConnectionLost: the connection is lost, and reconnecting was given up.
        :raises NodeClosed: the node was closed.
        """
        if self.ended is not None:
            # Raise a new object: the stored one would collect the traceback of every call.
            raise type(self.ended)(*self.ended.args)

    def refuse(self, reason):
        """Store why the server does not permit publishing."""
        self.refused = reason
        self.is_blocked = True

    def permit(self):
        """Store that the server permits publishing."""
        self.refused = None
        self.set_waiting(self.waiting)

    def check_publishing(self):
        """Raise the exception that has ended the node, or the refusal of the server.

        :raises ConnectionLost: the connection is lost, and reconnecting was given up.
        :raises NodeClosed: the node was closed.
        :raises PermissionDenied: the server does not permit publishing.
        """
        self.check()
        if self.refused is not None:
            raise copy.copy(self.refused)

    def set_thread(self, unsigned long ident):
        """Store the thread that runs the event loop."""
        self.thread = ident

    def set_waiting(self, Py_ssize_t count):
        """Store how many publishers wait for capacity."""
        self.waiting = count
        self.is_blocked = count > 0 or self.ended is not None or self.refused is not None
