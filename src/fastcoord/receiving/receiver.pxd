# cython: language_level=3
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastcoord.wire.protocol cimport Protocol
from fastcoord.nats.sequence_header cimport SequenceHeader
from fastcoord.receiving.peer_state cimport PeerState
from fastcoord.receiving.rings cimport Rings

cdef class Receiver(Rings):
    cdef Protocol protocol
    cdef uint8_t protocol_place        # index of this node's protocol in PROTOCOLS
    cdef readonly uint16_t node_id
    cdef readonly uint64_t incarnation
    cdef readonly set former           # incarnations of earlier runs of this node
    cdef readonly bint deliver_own
    # The subscription ids of one connection; 0 for a subscription that does not exist.
    cdef public uint64_t events_sid
    cdef public uint64_t presence_sid
    cdef public uint64_t reply_sid
    cdef readonly dict peers
    cdef readonly object rules
    cdef object on_request
    cdef object on_question
    cdef readonly uint64_t received_batches
    cdef readonly uint64_t received_bytes
    cdef readonly uint64_t echoes
    cdef readonly uint64_t duplicates
    cdef readonly uint64_t malformed
    cdef readonly uint64_t late
    cdef PeerState latest              # the peer of the last batch

    cdef int add_own(self) except -1
    cdef int question(
        self, uint16_t node_id, const uint8_t* reply, Py_ssize_t reply_size, SequenceHeader* header
    ) except -1
    cdef int judge(
        self,
        uint16_t node_id,
        SequenceHeader* header,
        const uint8_t* payload,
        Py_ssize_t size,
        uint32_t start,
        Py_ssize_t counted,
        bint intact,
    ) except -1
    cdef object decide(
        self,
        uint16_t node_id,
        SequenceHeader* header,
        Py_ssize_t counted,
        bint intact,
    )
    cdef int ask(self, method, tuple arguments) except -1
    cdef int apply(self, verdict) except -1
    cdef int deliver_part(
        self,
        uint16_t node_id,
        const uint8_t* payload,
        Py_ssize_t size,
        uint32_t start,
        uint32_t skip,
        uint32_t take,
    ) except -1
