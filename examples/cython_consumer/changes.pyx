"""The newest change of a stream of events, kept from the payloads of messages."""

from libc.stdint cimport uint64_t

from fastcoord cimport (
    Batch,
    Event,
    Protocol,
    code_of,
    code_of_class,
    decode,
    encode,
    get_protocol,
    number_at,
    slot_of_field,
)

from fastcoord import StateChange

cdef int STATE_CHANGE = code_of_class(StateChange)
cdef int CHANGE_ID = slot_of_field(StateChange, "change_id")


cdef class Changes:
    """Remember the highest change id, and count the events.

    :param protocol: the name of the protocol of the payloads.
    """

    cdef Protocol protocol
    cdef readonly uint64_t events
    cdef readonly uint64_t newest

    def __init__(self, protocol):
        self.protocol = get_protocol(protocol)

    def read(self, payload):
        """Read one payload.

        :param payload: the bytes of a message.
        :raises DecodeError: the payload is malformed.
        """
        cdef Batch batch = decode(payload, self.protocol)
        cdef Event event
        for event in batch.events:
            if code_of(event) == STATE_CHANGE:
                self.newest = max(self.newest, number_at(event, CHANGE_ID))
            self.events += 1

    def echo(self, payload, node_id):
        """Return the events of a payload, encoded as another node's."""
        return encode(decode(payload, self.protocol).events, node_id, self.protocol)
