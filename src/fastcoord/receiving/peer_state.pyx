# cython: language_level=3, embedsignature=True
"""The state of one peer that the receiver reads for each batch."""


cdef class PeerState:
    """The state of one peer that the compiled path reads for each batch.

    The rules set the fields. ``Receiver`` sets fields in two cases. It advances
    ``expected``, ``received`` and ``last_received_at`` when it has delivered events. It restores
    the fields of the run when the rules raise an exception.
    """

    def __init__(self, node_id):
        self.node_id = node_id
