# cython: language_level=3, embedsignature=True
"""What arrives: checked, counted, numbered, and put raw into every subscription's ring.

A message is walked over once here, without making an object: that proves every event readable and
counts them, so that a header whose count disagrees is found at once, and whatever a ring drops later
is known by number. The batch that continues its sender's numbering, which is nearly every one, is
judged here; everything else is put before the sequencer, which is plain Python and pure logic.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastcoord._numbering cimport NUMBERING_ABSENT, NUMBERING_MALFORMED, NUMBERING_PRESENT, Numbering
from fastcoord._protocol cimport Protocol, get_protocol
from fastcoord._ring cimport Ring
from fastcoord._skip cimport count_events, skip_event
from fastcoord._splitter cimport Sink
from fastcoord._wire cimport Reader, read_u16, reader_init


cdef object note_of(Numbering* numbering):
    if numbering.is_resend:
        return "resend"
    if numbering.is_goodbye:
        return "goodbye"
    return "hello" if numbering.is_hello else None


cdef class PeerState:
    """What is known of one other node."""

    def __init__(self, node_id):
        self.node_id = node_id


cdef class Inbox(Sink):
    """The arriving side of one node.

    :param node_id: this node.
    :param incarnation: this run of this node; tells its own messages from those of a node that uses
        the same id.
    :param protocol: the name of a protocol.
    :param hear_own: deliver this node's own events as well.
    :param sequencer: judges what does not simply continue; see ``fastcoord.sequence``.
    :param on_request: called with ``(sid, reply, payload)`` for messages of other subscriptions.
    """

    def __init__(self, *, node_id, incarnation, protocol, hear_own, sequencer, on_request):
        self.node_id = node_id
        self.incarnation = incarnation
        self.protocol = get_protocol(protocol)
        self.hear_own = hear_own
        self.sequencer = sequencer
        self.on_request = on_request
        self.peers = {}
        self.rings = []
        if hear_own:
            # Its own events go the way of all others, so that those sent again are skipped.
            own = self.peer(node_id)
            own.incarnation = incarnation
            own.numbered = own.steady = True

    def add_ring(self, Ring ring):
        """Put every message that is delivered from now on into this ring as well."""
        self.rings.append(ring)

    def remove_ring(self, Ring ring):
        """Put no further message into this ring."""
        self.rings = [known for known in self.rings if known is not ring]

    def notify(self, notice):
        """Put a notice into every ring, behind what was delivered before."""
        for ring in self.rings:
            (<Ring>ring).put_notice(notice)

    def peer(self, node_id):
        """Give the state of a peer, made anew when it was never heard."""
        state = self.peers.get(node_id)
        if state is None:
            state = self.peers[node_id] = PeerState(node_id)
        return state

    def accept(self, sid, bytes reply, numbers, bytes payload, note=None):
        """Take one message that was read elsewhere, as the slow lane and tests do.

        :param numbers: ``(incarnation, offset, count, discarded)``, ``None``, or ``"malformed"``.
        """
        cdef Numbering numbering
        numbering.state = NUMBERING_ABSENT
        numbering.is_resend = note == "resend"
        numbering.is_goodbye = note == "goodbye"
        numbering.is_hello = note == "hello"
        if numbers == "malformed":
            numbering.state = NUMBERING_MALFORMED
        elif numbers is not None:
            numbering.state = NUMBERING_PRESENT
            numbering.incarnation = numbers[0]
            numbering.offset = numbers[1]
            numbering.count = numbers[2]
            numbering.discarded = numbers[3]
        self.message(sid, reply, len(reply), &numbering, payload, len(payload))

    cdef int message(
        self,
        uint64_t sid,
        const uint8_t* reply,
        Py_ssize_t reply_size,
        Numbering* numbering,
        const uint8_t* payload,
        Py_ssize_t size,
    ) except -1:
        cdef Reader reader
        cdef uint64_t sender = 0
        cdef uint16_t node_id
        cdef uint32_t start
        cdef Py_ssize_t counted
        cdef bint intact
        cdef PeerState peer
        if sid != self.events_sid:
            self.on_request(
                sid,
                PyBytes_FromStringAndSize(<char*>reply, reply_size),
                PyBytes_FromStringAndSize(<char*>payload, size),
            )
            return 0
        self.received_batches += 1
        self.received_bytes += size
        reader_init(&reader, payload, size)
        if not read_u16(&reader, &sender):
            self.sequencer.without_sender()
            return 0
        node_id = <uint16_t>sender
        start = <uint32_t>(reader.position - reader.start)
        counted = count_events(self.protocol, &reader)
        intact = reader.position == reader.end
        if node_id == self.node_id:
            if numbering.state != NUMBERING_PRESENT or numbering.incarnation != self.incarnation:
                if not numbering.is_goodbye:
                    self.sequencer.own_id_used()
                return 0
            self.echoes += 1
            if not self.hear_own:
                return 0
        peer = self.latest
        if peer is None or peer.node_id != node_id:
            peer = self.peers.get(node_id)
            self.latest = peer
        if (
            peer is not None
            and peer.steady
            and intact
            and numbering.state == NUMBERING_PRESENT
            and numbering.incarnation == peer.incarnation
            and numbering.offset == peer.expected
            and numbering.count == <uint64_t>counted
            and numbering.discarded == peer.discarded
            and not numbering.is_goodbye
            and not numbering.is_hello
        ):
            peer.expected += counted
            peer.received += counted
            peer.heard_at = self.now
            if counted:
                self.deliver(node_id, payload, size, start, <uint32_t>counted)
            return 0
        self.judge(node_id, numbering, payload, size, start, counted, intact)
        return 0

    cdef int judge(
        self,
        uint16_t node_id,
        Numbering* numbering,
        const uint8_t* payload,
        Py_ssize_t size,
        uint32_t start,
        Py_ssize_t counted,
        bint intact,
    ) except -1:
        """Ask the sequencer which of the events to deliver; it tells what is missing before them."""
        cdef uint32_t skip, take
        if numbering.state == NUMBERING_PRESENT:
            skip, take, afterwards = self.sequencer.numbered(
                node_id,
                numbering.incarnation,
                numbering.offset,
                numbering.count,
                numbering.discarded,
                counted,
                intact,
                note_of(numbering),
                PyBytes_FromStringAndSize(<char*>payload, size),
            )
        elif numbering.state == NUMBERING_ABSENT:
            skip, take, afterwards = self.sequencer.unnumbered(node_id, counted, intact)
        else:
            skip, take, afterwards = self.sequencer.misnumbered(node_id, counted)
        if take:
            self.peer(node_id).received += take
            if skip == 0 and take == counted and intact:
                self.deliver(node_id, payload, size, start, take)
            else:
                self.deliver_part(node_id, payload, size, start, skip, take)
        if afterwards is not None:
            self.notify(afterwards)
        return 0

    cdef int deliver(
        self, uint16_t node_id, const uint8_t* payload, Py_ssize_t size, uint32_t start, uint32_t count
    ) except -1:
        cdef bytes content
        self.received += count
        if self.rings:
            # One object for all rings: the payload is copied out of the read buffer once.
            content = PyBytes_FromStringAndSize(<char*>payload, size)
            for ring in self.rings:
                (<Ring>ring).put(content, start, count, node_id, self.received_at)
        return 0

    cdef int deliver_part(
        self,
        uint16_t node_id,
        const uint8_t* payload,
        Py_ssize_t size,
        uint32_t start,
        uint32_t skip,
        uint32_t take,
    ) except -1:
        """Deliver ``take`` events after the first ``skip``; all of them are known to be readable."""
        cdef Reader reader
        cdef uint32_t index
        cdef const uint8_t* first
        reader_init(&reader, payload, size)
        reader.position += start
        for index in range(skip):
            skip_event(self.protocol, &reader)
        first = reader.position
        for index in range(take):
            skip_event(self.protocol, &reader)
        return self.deliver(node_id, first, reader.position - first, 0, take)
