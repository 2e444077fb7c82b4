# cython: language_level=3
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastcoord.nats.sequence_header cimport SequenceHeader
from fastcoord.receiving.receiver cimport Receiver
from fastcoord.receiving.ring cimport Ring
from fastcoord.streaming.runs cimport Run, Runs

cdef class Feed:
    cdef Receiver receiver
    cdef object owner
    cdef bytes subject
    cdef readonly Ring ring            # None: the rings of the receiver
    cdef readonly Feed live            # of a replay: the feed that it joins
    cdef readonly Runs runs
    cdef readonly uint64_t sid         # of the present consumer; 0 without a consumer
    cdef public uint64_t sequence      # stream sequence of the last message that was processed
    cdef readonly uint64_t stored_at   # when that message was stored, in ns since 1970; or 0
    cdef public bint is_unplaced       # whether `sequence` is unknown until the next message
    cdef readonly bint has_advanced    # whether messages were passed over because no ring was fed
    cdef readonly uint64_t number      # of the last delivery of the present consumer
    cdef readonly uint64_t pending     # messages of the stream behind the last one
    cdef readonly int64_t demand       # messages that were requested and have not arrived
    cdef readonly int64_t demand_bytes  # that the server may still send for these requests
    cdef int64_t unused_bytes          # of the last request, which the server reports next
    cdef public int64_t low_demand     # `demand` at which the owner is called
    cdef public double last_at       # when the consumer last sent something
    cdef readonly uint64_t received
    cdef readonly uint64_t received_batches
    cdef readonly uint64_t received_bytes
    cdef readonly uint64_t duplicates
    cdef readonly uint64_t malformed
    cdef readonly uint64_t missed_messages
    cdef bint is_wake_due
    cdef Run latest

    cdef int take(
        self,
        const uint8_t* subject,
        Py_ssize_t subject_size,
        const uint8_t* reply,
        Py_ssize_t reply_size,
        SequenceHeader* header,
        const uint8_t* payload,
        Py_ssize_t size,
    ) except -1
    cdef int process(self, SequenceHeader* header, const uint8_t* payload, Py_ssize_t size) except -1
    cdef int process_other(
        self,
        uint16_t node_id,
        SequenceHeader* header,
        const uint8_t* payload,
        Py_ssize_t size,
        uint32_t start,
        uint32_t counted,
        bint is_intact,
    ) except -1
    cdef int deliver(
        self, uint16_t node_id, const uint8_t* payload, Py_ssize_t size, uint32_t start, uint32_t count
    ) except -1
    cdef int wake(self) except -1
    cdef void end_demand(self) noexcept
