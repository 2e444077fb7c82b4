# cython: language_level=3, embedsignature=True
"""Check and count each message, and put its undecoded payload into the ring of every subscription.

``Receiver`` scans each message once without creating an object. The scan proves that every event
can be decoded, and counts the events. So a header with another count is detected at once, and a
ring that drops the message later knows how many events it has dropped.

Nearly every batch continues its sender's run. Such a batch is handled in this module. Every other
batch is passed to the rules, which are plain Python.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp

from fastcoord.nats.sequence_header cimport (
    HEADER_ABSENT,
    HEADER_PRESENT,
    SequenceHeader,
    name_of_note,
)
from fastcoord.wire.protocol cimport get_protocol
from fastcoord.receiving.peer_state cimport PeerState
from fastcoord.receiving.rings cimport Rings
from fastcoord.wire.scan cimport count_events, skip_event
from fastcoord.wire.primitives cimport Reader, read_u16, reader_init

from fastcoord.wire.table import PROTOCOLS as _PROTOCOLS


cdef bint says_no_responders(const SequenceHeader* header) noexcept:
    """Return whether a header block is the server's status that nobody has received a question."""
    return header.block_size >= 12 and memcmp(header.block, b"NATS/1.0 503", 12) == 0


cdef class Receiver(Rings):
    """Receive the messages of one node's connection.

    :param node_id: the id of this node.
    :param incarnation: the incarnation of this node; it tells the node's own messages from those of
        another node with the same id.
    :param protocol: the name of a protocol.
    :param deliver_own: whether this node's own events are delivered, too.
    :param rules: judge every message that does not continue its sender's run; see
        ``fastcoord.receiving.rules``.
    :param on_request: called with ``(sid, reply, payload)`` for a message of another NATS
        subscription than ``events_sid``, ``presence_sid`` and ``reply_sid``.
    :param on_question: called with ``(note, node_id, incarnation, offset, discarded, connection,
        reply, header_block)`` for a question or an answer of another node: a message with the note
        ``"who"``, ``"progress"`` or ``"answer"``, or a hello with a reply subject. The note
        ``"nobody"`` means that the server has delivered a question to no other node.

    :ivar events_sid: the subscription to the cluster's subject.
    :ivar presence_sid: the subscription to the presence subject. It may equal ``events_sid``.
    :ivar reply_sid: the subscription to this node's reply subject.
    """

    def __init__(
        self,
        *,
        node_id,
        incarnation,
        protocol,
        deliver_own,
        rules,
        on_request,
        on_question=None,
    ):
        self.node_id = node_id
        self.incarnation = incarnation
        self.protocol = get_protocol(protocol)
        self.protocol_place = _PROTOCOLS.index(protocol)
        self.deliver_own = deliver_own
        self.rules = rules
        self.on_request = on_request
        self.on_question = on_question
        self.peers = {}
        self.former = set()
        Rings.__init__(self)
        self.add_own()

    def peer(self, node_id):
        """Return the state of a peer; create it if nothing was received from it before."""
        state = self.peers.get(node_id)
        if state is None:
            state = self.peers[node_id] = PeerState(node_id)
        return state

    def rename(self, node_id, incarnation):
        """Continue with another id and incarnation of this node."""
        self.peers.pop(self.node_id, None)
        self.latest = None
        self.former.add(self.incarnation)
        self.node_id = node_id
        self.incarnation = incarnation
        self.add_own()

    cdef int add_own(self) except -1:
        """Create the state of this node's own run, if its events are delivered."""
        if self.deliver_own:
            # The node's own events take the same path as all others, so that resends are skipped.
            own = self.peer(self.node_id)
            own.incarnation = self.incarnation
            own.has_header = own.steady = True
        return 0

    def forget(self, node_id):
        """Drop the state of a peer."""
        self.peers.pop(node_id, None)
        if self.latest is not None and self.latest.node_id == node_id:
            self.latest = None

    cdef int message(
        self,
        uint64_t sid,
        const uint8_t* reply,
        Py_ssize_t reply_size,
        SequenceHeader* header,
        const uint8_t* payload,
        Py_ssize_t size,
    ) except -1:
        # `reply` and `payload` point into the parser's read buffer. The parser may move this buffer
        # after the call, so everything that is kept is copied first.
        cdef Reader reader
        cdef uint64_t sender = 0
        cdef uint16_t node_id
        cdef uint32_t start
        cdef Py_ssize_t counted
        cdef bint intact
        cdef bint is_presence = False
        cdef PeerState peer
        if sid != self.events_sid:
            is_presence = sid == self.presence_sid or sid == self.reply_sid
        if is_presence:
            # Only empty batches with a header travel here.
            if header.state != HEADER_PRESENT or header.count:
                if sid == self.reply_sid and header.state == HEADER_ABSENT and size == 0:
                    # The server answers a question that it has delivered to no other node.
                    self.on_question("nobody", 0, 0, 0, 0, 0, b"", b"")
                return 0
        elif sid != self.events_sid:
            self.on_request(
                sid,
                PyBytes_FromStringAndSize(<char*>reply, reply_size),
                PyBytes_FromStringAndSize(<char*>payload, size),
            )
            return 0
        elif size == 0 and says_no_responders(header):
            # A node without the right to a reply subject gets its answers here.
            if self.on_question is not None:
                self.on_question("nobody", 0, 0, 0, 0, 0, b"", b"")
            return 0
        else:
            self.received_batches += 1
            self.received_bytes += size
        reader_init(&reader, payload, size)
        if not read_u16(&reader, &sender):
            if is_presence:
                return 0
            return self.ask(self.rules.without_sender, ())
        node_id = <uint16_t>sender
        if (
            header.state == HEADER_PRESENT
            and header.protocol != self.protocol_place
            and node_id != self.node_id
        ):
            # This payload must not be decoded: in this node's protocol its bytes mean other events.
            return self.ask(
                self.rules.with_other_protocol,
                (node_id, header.protocol, header.count, header.note == c'g'),
            )
        start = <uint32_t>(reader.position - reader.start)
        counted = count_events(self.protocol, &reader)
        intact = reader.position == reader.end
        if header.state == HEADER_PRESENT and (
            header.note == c'w'
            or header.note == c'q'
            or header.note == c'a'
            or (header.note == c'h' and reply_size)
        ):
            if node_id == self.node_id and header.incarnation == self.incarnation:
                return 0
            self.question(node_id, reply, reply_size, header)
            if header.note != c'h':
                return 0
        if node_id == self.node_id:
            if header.state != HEADER_PRESENT or header.incarnation != self.incarnation:
                if header.state == HEADER_PRESENT and header.note == c'g':
                    return 0
                if header.state not in (HEADER_PRESENT, HEADER_ABSENT):
                    # A header that cannot be read is no sign of another node.
                    self.malformed += 1
                    return 0
                return self.ask(
                    self.rules.own_id.received,
                    (header.incarnation if header.state == HEADER_PRESENT else None,),
                )
            self.echoes += 1
            if not self.deliver_own:
                return 0
        # Consecutive batches often come from one peer: `latest` saves looking it up.
        peer = self.latest
        if peer is None or peer.node_id != node_id:
            peer = self.peers.get(node_id)
            self.latest = peer
        if is_presence and peer is not None:
            peer.has_presence = True
        if (
            peer is not None
            and peer.steady
            and intact
            and header.state == HEADER_PRESENT
            and header.incarnation == peer.incarnation
            and header.connection == peer.connection
            and header.offset == peer.expected
            and header.count == <uint64_t>counted
            and header.discarded == peer.discarded
            and (header.note == c'e' or header.note == c'r')
            and (header.silence == peer.silence or header.silence == 0)
        ):
            # Deliver before `expected` is advanced: if that fails, the next batch reveals the gap.
            if counted:
                self.deliver(node_id, payload, size, start, <uint32_t>counted)
            peer.expected += counted
            peer.received += counted
            peer.last_received_at = self.now
            if self.is_wake_due:
                self.wake()
            return 0
        self.judge(node_id, header, payload, size, start, counted, intact)
        return 0

    cdef int question(
        self, uint16_t node_id, const uint8_t* reply, Py_ssize_t reply_size, SequenceHeader* header
    ) except -1:
        """Pass a question or an answer to ``on_question``."""
        if self.on_question is None:
            return 0
        self.on_question(
            name_of_note(header.note),
            node_id,
            header.incarnation,
            header.offset,
            header.discarded,
            header.connection,
            PyBytes_FromStringAndSize(<char*>reply, reply_size),
            PyBytes_FromStringAndSize(<char*>header.block, header.block_size),
        )
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
        """Pass a batch to the rules, and deliver the events that they select.

        The rules are Python code, so an exception may end them anywhere. In this case nothing of
        the batch is delivered, and the run of the peer is restored, so that the next batch reveals
        the gap. Every subscription receives a notice as well, because some losses cannot be found
        by an offset.
        """
        cdef PeerState peer = self.peers.get(node_id)
        cdef bint is_known = peer is not None
        cdef uint64_t incarnation = 0, expected = 0, discarded = 0
        cdef uint32_t connection = 0
        cdef bint has_header = False
        cdef bint is_begun = False
        cdef uint32_t skip, take
        if is_known:
            is_begun = peer.history is not None and peer.history.is_begun
            incarnation = peer.incarnation
            expected = peer.expected
            discarded = peer.discarded
            connection = peer.connection
            has_header = peer.has_header
        self.is_judging = True
        try:
            verdict = self.decide(node_id, header, counted, intact)
            skip = verdict.skip
            take = verdict.deliver
            if take and skip == 0 and take == counted and intact:
                self.deliver(node_id, payload, size, start, take)
            elif take:
                self.deliver_part(node_id, payload, size, start, skip, take)
        except:
            self.lose()
            if is_known:
                peer.incarnation = incarnation
                peer.expected = expected
                peer.discarded = discarded
                peer.connection = connection
                peer.has_header = has_header
                peer.steady = False
                if peer.history is not None:
                    peer.history.is_begun = is_begun
            else:
                self.peers.pop(node_id, None)
            raise
        finally:
            self.is_judging = False
        peer = self.peers.get(node_id) if peer is None else peer
        if peer is not None:
            peer.received += take
        return self.apply(verdict)

    cdef object decide(
        self,
        uint16_t node_id,
        SequenceHeader* header,
        Py_ssize_t counted,
        bint intact,
    ):
        """Return the verdict of the rules on a batch."""
        if header.state == HEADER_PRESENT:
            return self.rules.with_header(
                node_id,
                header.incarnation,
                header.offset,
                header.count,
                header.discarded,
                header.connection,
                header.silence,
                counted,
                intact,
                name_of_note(header.note),
            )
        if header.state == HEADER_ABSENT:
            return self.rules.without_header(node_id, counted, intact)
        return self.rules.with_malformed_header(node_id, counted)

    cdef int ask(self, method, tuple arguments) except -1:
        """Apply the verdict of the rules on a message of which nothing is delivered."""
        self.is_judging = True
        try:
            verdict = method(*arguments)
        except:
            self.lose()
            raise
        finally:
            self.is_judging = False
        return self.apply(verdict)

    cdef int apply(self, verdict) except -1:
        """Count what a verdict contains, put its notice into the rings, and wake the consumers."""
        if verdict is not None:
            try:
                self.duplicates += <uint64_t>verdict.duplicates
                self.late += <uint64_t>verdict.late
                if verdict.is_malformed:
                    self.malformed += 1
                if verdict.notice is not None:
                    self.notify(verdict.notice)
            except:
                self.lose()
                raise
        return self.wake()

    cdef int deliver_part(
        self,
        uint16_t node_id,
        const uint8_t* payload,
        Py_ssize_t size,
        uint32_t start,
        uint32_t skip,
        uint32_t take,
    ) except -1:
        """Deliver ``take`` events after the first ``skip``.

        ``count_events`` has checked all of these events, so ``skip_event`` cannot fail here.
        """
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
