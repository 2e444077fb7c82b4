# cython: language_level=3
from libc.stdint cimport uint64_t

from fastcoord.receiving.receiver cimport Receiver
from fastcoord.streaming.acknowledgements cimport Acknowledgements
from fastcoord.streaming.feed cimport Feed

cdef class StreamReceiver(Receiver):
    cdef public uint64_t acknowledgements_sid
    cdef public Acknowledgements acknowledgements
    cdef public Feed live
    cdef readonly dict feeds           # subscription id -> Feed, of replays
