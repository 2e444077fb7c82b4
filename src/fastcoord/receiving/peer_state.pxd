# cython: language_level=3
from libc.stdint cimport uint16_t, uint32_t, uint64_t

cdef class PeerState:
    cdef readonly uint16_t node_id
    cdef public uint64_t incarnation
    cdef public uint64_t expected      # offset of the next batch if nothing is missing
    cdef public uint64_t discarded     # `discarded` of the last batch of this incarnation
    cdef public uint32_t connection    # the newest connection of the sender
    cdef public uint32_t silence       # its longest pause between two messages, in ms
    cdef public bint has_header        # whether its batches carry the sequence header
    cdef public bint has_presence      # whether a message of the presence subject was received
    cdef public bint steady            # whether the compiled path may handle its next batch
    cdef public double last_received_at   # on the clock of `Receiver.now`
    cdef public uint64_t received
    cdef public uint64_t missed
    cdef public object history         # a PeerHistory, or None; only the rules read it
