# cython: language_level=3, embedsignature=True
"""Put the messages of a stream into rings, in the order of the stream.

A feed receives the messages of one consumer of the stream. The consumer may be made anew at any
time: the next one begins behind the last message that was processed, or with this message. It then
proves that the stream still has the message: a stream that was restored from a backup, or that has
lost its end, may have stored others under the same sequences. ``Runs`` has the rules that select
the batches to deliver.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp

from fastcoord.nats.sequence_header cimport HEADER_ABSENT, HEADER_PRESENT, SequenceHeader
from fastcoord.receiving.receiver cimport Receiver
from fastcoord.receiving.ring cimport Ring
from fastcoord.receiving.rings cimport wake_rings
from fastcoord.streaming.delivery cimport Delivery, read_delivery
from fastcoord.streaming.runs cimport Judgement, Runs
from fastcoord.wire.primitives cimport Reader, read_u16, reader_init
from fastcoord.wire.scan cimport count_events, skip_event

from fastcoord.events import Missed

cdef enum:
    STATUS_SIZE = 9    # of "NATS/1.0 ", which a status follows


cdef class Feed:
    """The messages of one stream from one place on.

    :param receiver: the receiver of the node; it owns the rings of the live feed.
    :param owner: receives the callbacks ``low(feed)``, ``status(feed, block)``, ``broken(feed,
        reason)``, ``missed(feed, Missed)``, ``other_protocol(feed, node_id, protocol, count)``,
        ``without_header(node_id, count, is_intact)`` and ``caught_up(feed)``.
    :param subject: the subject of the events. Other messages of the stream are skipped.
    :param ring: the only ring that is fed; by default those of the receiver.
    :param live: the feed that this one joins when it has caught up with it.

    :ivar sequence: the stream sequence of the last message that was processed.
    :ivar stored_at: when the stream has stored this message, in nanoseconds since 1970; 0 if that
        is unknown.
    :ivar number: the number of the last delivery of the present consumer.
    :ivar pending: how many messages of the stream were behind the last one when it was sent.
    :ivar demand: how many messages were requested and have not arrived.
    :ivar demand_bytes: how many bytes these may have. The server counts subject, reply subject,
        header and payload.
    :ivar has_advanced: whether messages were passed over while there was no ring.
    :ivar low_demand: at this demand or less, ``low`` of the owner is called.
    """

    def __init__(self, Receiver receiver, owner, bytes subject, *, Ring ring=None, Feed live=None):
        self.receiver = receiver
        self.owner = owner
        self.subject = subject
        self.ring = ring
        self.live = live
        self.runs = Runs()
        self.low_demand = -1

    # ---------------------------------------------------------------------- consumers

    def begin(self, sid, now):
        """Receive from a new consumer, which begins with the message ``sequence`` or behind it.

        :param sid: the subscription id of its messages.
        """
        self.sid = sid
        self.number = 0
        self.demand = self.demand_bytes = self.unused_bytes = 0
        self.low_demand = -1
        self.last_at = now

    def stop(self):
        """Ignore the present consumer from now on."""
        self.sid = 0
        self.demand = self.demand_bytes = 0
        self.low_demand = -1

    def demanded(self, int64_t messages, int64_t size):
        """Note that this many messages were requested; negative numbers take requests back.

        :param size: the most bytes that they may have together; 0 is no limit.
        """
        if messages == 0 and size and size == -self.unused_bytes:
            self.unused_bytes = 0
            return
        self.demand = max(0, self.demand + messages)
        self.demand_bytes += size
        if messages <= 0:
            self.end_demand()

    cdef void end_demand(self) noexcept:
        """Forget the requests if the server has ended all of them.

        A message that uses up the bytes of a request ends the request, and the server does not
        report this. If the messages are used up first, it reports the rest of the bytes.
        """
        if self.demand == 0:
            self.unused_bytes = self.demand_bytes
            self.demand_bytes = 0
        elif self.demand_bytes == 0:
            self.demand = 0

    def skip_to(self, uint64_t sequence, messages):
        """Continue behind a later message of the stream, because the messages before it are gone.

        :param messages: how many messages are missing; ``None`` if that is unknown.
        """
        self.runs.loosen()
        self.latest = None
        # If this raises an exception, the messages are found missing once more.
        self.owner.missed(self, Missed(None, None, "retention", messages))
        self.sequence = sequence
        self.stored_at = 0
        if messages is not None:
            self.missed_messages += messages

    def advance(self, uint64_t sequence):
        """Continue behind another message of the stream. Call this only if no ring is fed.

        :param sequence: the stream sequence of that message.
        """
        if sequence != self.sequence:
            self.sequence = sequence
            self.stored_at = 0
            self.runs.forget()
            self.latest = None
            self.has_advanced = True

    def received_by(self, node_id, incarnation):
        """Return how far a run was received.

        :return: the expected offset, the end of the last range that is missing, and the offset of
            the first batch; ``None`` if no batch of the run was received.
        """
        cdef Run run = self.runs.find(node_id, incarnation)
        return None if run is None else (run.expected, run.gap_end, run.began_at)

    # ----------------------------------------------------------------------- messages

    cdef int take(
        self,
        const uint8_t* subject,
        Py_ssize_t subject_size,
        const uint8_t* reply,
        Py_ssize_t reply_size,
        SequenceHeader* header,
        const uint8_t* payload,
        Py_ssize_t size,
    ) except -1:
        """Process one message of the present consumer. All pointers are valid during the call."""
        cdef Delivery delivery
        cdef bint is_begun = False
        self.last_at = self.receiver.now
        if not read_delivery(reply, reply_size, &delivery):
            if (
                header.block_size > STATUS_SIZE
                and memcmp(header.block, b"NATS/1.0 ", STATUS_SIZE) == 0
            ):
                self.owner.status(
                    self, PyBytes_FromStringAndSize(<char*>header.block, header.block_size)
                )
            return 0
        if delivery.number != self.number + 1:
            self.stop()
            self.owner.broken(
                self, f"delivery {self.number + 1} was lost before delivery {delivery.number}"
            )
            return 0
        if self.is_unplaced:
            self.is_unplaced = False
            self.sequence = delivery.sequence - 1
        # A replay is ahead of the live feed if the stream was made anew, and joins it later.
        if self.live is not None and delivery.sequence > self.live.sequence >= self.sequence:
            if self.live.sequence > self.sequence:
                # The live feed will not report that the stream has dropped these messages.
                self.skip_to(self.live.sequence, self.live.sequence - self.sequence)
            self.stop()
            self.owner.caught_up(self)
            return 0
        try:
            if (
                delivery.sequence == self.sequence
                and self.stored_at
                and delivery.stored_at != self.stored_at
            ):
                # Another message has the sequence of the last one that was processed. So the stream
                # has lost that one, and perhaps others before it.
                self.skip_to(delivery.sequence - 1, None)
            if delivery.sequence > self.sequence + 1:
                # The deliveries are complete, so the stream itself has no messages in between.
                self.skip_to(delivery.sequence - 1, delivery.sequence - 1 - self.sequence)
            if delivery.sequence > self.sequence:
                is_begun = True
                self.sequence = delivery.sequence
                if subject_size == PyBytes_GET_SIZE(self.subject) and (
                    memcmp(subject, PyBytes_AS_STRING(self.subject), subject_size) == 0
                ):
                    self.process(header, payload, size)
            if self.sequence == delivery.sequence:
                self.stored_at = delivery.stored_at
        except:
            # The next consumer begins with this message again.
            if is_begun:
                self.sequence = delivery.sequence - 1
                self.stored_at = 0
            self.stop()
            self.owner.broken(self, "processing a message was interrupted")
            raise
        self.number = delivery.number
        self.pending = delivery.pending
        if self.demand > 0:
            self.demand -= 1
            self.demand_bytes -= subject_size + reply_size + header.block_size + size
            self.end_demand()
        if self.live is not None and self.sequence == self.live.sequence:
            self.stop()
            self.owner.caught_up(self)
        elif self.demand <= self.low_demand:
            self.owner.low(self)
        if self.is_wake_due:
            self.wake()
        return 0

    cdef int process(self, SequenceHeader* header, const uint8_t* payload, Py_ssize_t size) except -1:
        cdef Reader reader
        cdef uint64_t sender = 0
        cdef uint16_t node_id
        cdef uint32_t start
        cdef Py_ssize_t counted
        cdef Run run = self.latest
        self.received_batches += 1
        self.received_bytes += size
        reader_init(&reader, payload, size)
        if not read_u16(&reader, &sender):
            self.malformed += 1
            self.owner.missed(self, Missed(None, None, "undecodable"))
            return 0
        node_id = <uint16_t>sender
        if not self.receiver.deliver_own and (
            node_id == self.receiver.node_id
            or (
                # The node has published this under an id that it has changed since.
                self.receiver.former
                and header.state == HEADER_PRESENT
                and header.incarnation in self.receiver.former
            )
        ):
            return 0
        if header.state == HEADER_PRESENT and header.protocol != self.receiver.protocol_place:
            # This payload must not be decoded: in this node's protocol its bytes mean other events.
            if header.count:
                self.malformed += 1
            self.owner.other_protocol(self, node_id, header.protocol, header.count)
            return 0
        start = <uint32_t>(reader.position - reader.start)
        counted = count_events(self.receiver.protocol, &reader)
        if (
            run is not None
            and header.state == HEADER_PRESENT
            and run.node_id == node_id
            and run.incarnation == header.incarnation
            and run.expected == header.offset
            and run.discarded == header.discarded
            and run.is_exact
            and header.count == <uint64_t>counted
            and reader.position == reader.end
            and counted
        ):
            # Deliver before `expected` is advanced: if that fails, the message is received again.
            self.deliver(node_id, payload, size, start, <uint32_t>counted)
            run.expected += counted
            run.received += counted
            run.behind = 0
            if run.ahead_end <= run.expected:
                run.ahead_end = 0
            return 0
        return self.process_other(
            node_id, header, payload, size, start, <uint32_t>counted, reader.position == reader.end
        )

    cdef int process_other(
        self,
        uint16_t node_id,
        SequenceHeader* header,
        const uint8_t* payload,
        Py_ssize_t size,
        uint32_t start,
        uint32_t counted,
        bint is_intact,
    ) except -1:
        """Process a message that does not continue the run of the last message."""
        cdef Judgement judgement
        cdef Run run
        cdef Reader reader
        cdef uint32_t _index
        cdef uint64_t expected, discarded
        if header.state != HEADER_PRESENT:
            if header.state == HEADER_ABSENT:
                self.owner.without_header(node_id, counted, is_intact)
            if not is_intact or header.state != HEADER_ABSENT:
                self.malformed += 1
            if counted:
                self.deliver(node_id, payload, size, start, counted)
                self.runs.count(node_id, counted)
            if not is_intact:
                self.owner.missed(self, Missed(node_id, None, "undecodable"))
            return 0
        if header.count == 0:
            return 0
        if counted > header.count or (is_intact and counted != header.count):
            self.malformed += 1
            self.owner.missed(self, Missed(node_id, counted or None, "undecodable"))
            return 0
        run = self.runs.find(node_id, header.incarnation)
        if run is None:
            run = self.runs.begin(node_id, header.incarnation, header.offset, header.discarded)
            while self.runs.ended:
                ended, missing = self.runs.ended.pop()
                self.owner.missed(self, Missed(ended, missing, "gap"))
        self.latest = run
        expected, discarded = run.expected, run.discarded
        self.runs.judge(run, header.offset, <uint32_t>header.count, header.discarded, &judgement)
        if judgement.is_dropped:
            if judgement.missing:
                self.owner.missed(self, Missed(node_id, judgement.missing, "gap"))
            else:
                self.duplicates += counted
            return 0
        try:
            if judgement.is_gap:
                self.owner.missed(self, Missed(node_id, None, "gap"))
            if judgement.discarded:
                self.owner.missed(self, Missed(node_id, judgement.discarded, "discarded"))
            if judgement.skip == 0 and is_intact:
                self.deliver(node_id, payload, size, start, counted)
                run.received += counted
            elif judgement.skip < counted:
                # `count_events` has checked these events, so `skip_event` cannot fail here.
                reader_init(&reader, payload, size)
                reader.position += start
                for _index in range(judgement.skip):
                    skip_event(self.receiver.protocol, &reader)
                start = <uint32_t>(reader.position - reader.start)
                for _index in range(counted - judgement.skip):
                    skip_event(self.receiver.protocol, &reader)
                self.deliver(
                    node_id,
                    payload,
                    reader.position - reader.start,
                    start,
                    counted - judgement.skip,
                )
                run.received += counted - judgement.skip
        except:
            # The message is received again, and must then be delivered.
            run.expected = expected
            run.discarded = discarded
            raise
        if not is_intact:
            self.malformed += 1
            self.owner.missed(self, Missed(node_id, header.count - counted, "undecodable"))
        return 0

    # ------------------------------------------------------------------------- rings

    cdef int deliver(
        self, uint16_t node_id, const uint8_t* payload, Py_ssize_t size, uint32_t start, uint32_t count
    ) except -1:
        """Put events into the rings. If this raises an exception, no ring has the events."""
        cdef bytes content
        cdef list rings = self.receiver.rings
        if self.ring is not None or rings:
            content = PyBytes_FromStringAndSize(<char*>payload, size)
            if self.ring is not None:
                put_into(self.ring, self.sequence, content, start, count, node_id, self)
            else:
                for ring in rings:
                    if not (<Ring>ring).is_replaying:
                        put_into(<Ring>ring, self.sequence, content, start, count, node_id, self)
        self.received += count
        return 0

    cdef int wake(self) except -1:
        """Wake the consumers of the rings."""
        rings = self.receiver.rings if self.ring is None else (self.ring,)
        return wake_rings(rings, &self.is_wake_due)

    def notify(self, notice):
        """Put a notice into the rings, behind everything that was delivered before."""
        for ring in self.receiver.rings if self.ring is None else (self.ring,):
            if self.ring is not None or not (<Ring>ring).is_replaying:
                (<Ring>ring).store_notice(notice)
        self.is_wake_due = True
        self.wake()

    def free(self):
        """Return how many more messages fit into the fullest ring, and how many bytes.

        Both are 0 if less than an eighth of a ring is free. Rings whose consumer is stuck do not
        count.
        """
        cdef Py_ssize_t messages = 1 << 30
        cdef Py_ssize_t size = 1 << 40
        cdef Py_ssize_t free_messages, free_bytes
        cdef Ring ring
        for ring in self.receiver.rings if self.ring is None else (self.ring,):
            if ring.is_closed or ring.is_stuck or (self.ring is None and ring.is_replaying):
                continue
            free_messages = ring.capacity_messages - ring.buffered_messages
            free_bytes = ring.capacity_bytes - ring.buffered_bytes
            if free_messages * 8 < ring.capacity_messages or free_bytes * 8 < ring.capacity_bytes:
                return 0, 0
            messages = min(messages, free_messages)
            size = min(size, free_bytes)
        return messages, size


cdef inline void put_into(
    Ring ring,
    uint64_t sequence,
    bytes content,
    uint32_t start,
    uint32_t count,
    uint16_t node_id,
    Feed feed,
) noexcept:
    ring.sequence = sequence
    ring.put(content, start, count, node_id, feed.receiver.received_at)
    if ring.is_wake_due:
        feed.is_wake_due = True
