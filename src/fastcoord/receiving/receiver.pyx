# cython: language_level=3, embedsignature=True
"""What arrives: checked, counted, numbered, and put raw into every subscription's ring.

A message is walked over once here, without making an object: that proves every event readable and
counts them, so that a header whose count disagrees is found at once, and whatever a ring drops later
is known by number. The batch that continues its sender's header, which is nearly every one, is
judged here; everything else is put before the gap_detector, which is plain Python and pure logic.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastcoord.nats.sequence_header cimport HEADER_ABSENT, HEADER_PRESENT, SequenceHeader
from fastcoord.wire.protocol cimport get_protocol
from fastcoord.receiving.ring cimport Ring
from fastcoord.wire.scan cimport count_events, skip_event
from fastcoord.nats.parser cimport MessageSink
from fastcoord.wire.primitives cimport Reader, read_u16, reader_init


cdef object note_of(SequenceHeader* header):
    if header.is_resend:
        return "resend"
    if header.is_goodbye:
        return "goodbye"
    return "hello" if header.is_hello else None


cdef class PeerState:
    """What is known of one other node."""

    def __init__(self, node_id):
        self.node_id = node_id


cdef class Receiver(MessageSink):
    """The arriving side of one node.

    :param node_id: this node.
    :param incarnation: this run of this node; tells its own messages from those of a node that uses
        the same id.
    :param protocol: the name of a protocol.
    :param hear_own: deliver this node's own events as well.
    :param gap_detector: judges what does not simply continue; see ``fastcoord.receiving.gaps``.
    :param on_request: called with ``(sid, reply, payload)`` for messages of other subscriptions.
    """

    def __init__(self, *, node_id, incarnation, protocol, hear_own, gap_detector, on_request):
        self.node_id = node_id
        self.incarnation = incarnation
        self.protocol = get_protocol(protocol)
        self.hear_own = hear_own
        self.gap_detector = gap_detector
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

    cdef int message(
        self,
        uint64_t sid,
        const uint8_t* reply,
        Py_ssize_t reply_size,
        SequenceHeader* header,
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
            self.gap_detector.without_sender()
            return 0
        node_id = <uint16_t>sender
        start = <uint32_t>(reader.position - reader.start)
        counted = count_events(self.protocol, &reader)
        intact = reader.position == reader.end
        if node_id == self.node_id:
            if header.state != HEADER_PRESENT or header.incarnation != self.incarnation:
                if not header.is_goodbye:
                    self.gap_detector.own_id_used()
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
            and header.state == HEADER_PRESENT
            and header.incarnation == peer.incarnation
            and header.offset == peer.expected
            and header.count == <uint64_t>counted
            and header.discarded == peer.discarded
            and not header.is_goodbye
            and not header.is_hello
        ):
            peer.expected += counted
            peer.received += counted
            peer.heard_at = self.now
            if counted:
                self.deliver(node_id, payload, size, start, <uint32_t>counted)
            return 0
        self.judge(node_id, header, payload, size, start, counted, intact)
        return 0

    cdef int judge(
        self,
        uint16_t node_id,
        SequenceHeader* header,
        const uint8_t* payload,
        Py_ssize_t size,
        uint32_t start,
        Py_ssize_t counted,
        bint intact,
    ) except -1:
        """Ask the gap_detector which of the events to deliver; it tells what is missing before them."""
        cdef uint32_t skip, take
        if header.state == HEADER_PRESENT:
            skip, take, afterwards = self.gap_detector.numbered(
                node_id,
                header.incarnation,
                header.offset,
                header.count,
                header.discarded,
                counted,
                intact,
                note_of(header),
                PyBytes_FromStringAndSize(<char*>payload, size),
            )
        elif header.state == HEADER_ABSENT:
            skip, take, afterwards = self.gap_detector.unnumbered(node_id, counted, intact)
        else:
            skip, take, afterwards = self.gap_detector.misnumbered(node_id, counted)
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
        cdef uint32_t _index
        cdef const uint8_t* first
        reader_init(&reader, payload, size)
        reader.position += start
        for _index in range(skip):
            skip_event(self.protocol, &reader)
        first = reader.position
        for _index in range(take):
            skip_event(self.protocol, &reader)
        return self.deliver(node_id, first, reader.position - first, 0, take)
