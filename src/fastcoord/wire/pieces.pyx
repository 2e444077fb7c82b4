# cython: language_level=3, embedsignature=True, boundscheck=False, wraparound=False
"""Split the payload of a batch between its events, without decoding them."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t

from fastcoord.wire.primitives cimport Reader, read_u16, reader_init
from fastcoord.wire.protocol cimport Protocol, get_protocol
from fastcoord.wire.scan cimport skip_event


def split_payload(protocol, bytes payload not None, Py_ssize_t limit):
    """Split a batch into the largest pieces of at most ``limit`` bytes.

    :param protocol: the name of a protocol.
    :param payload: a well-formed batch of this protocol.
    :return: a list with the payload and the number of events of each piece, in order. Instead of an
        event that does not fit alone, the list has the payload ``None``.
    :raises ValueError: the batch is malformed.
    """
    cdef Protocol known = get_protocol(protocol)
    cdef const uint8_t* start = <const uint8_t*>PyBytes_AS_STRING(payload)
    cdef Reader reader
    cdef uint64_t node_id = 0
    cdef Py_ssize_t prefix, first, end, before
    cdef Py_ssize_t count = 0
    cdef list pieces = []
    reader_init(&reader, start, PyBytes_GET_SIZE(payload))
    if not read_u16(&reader, &node_id):
        raise ValueError("the batch has no node id")
    prefix = first = end = reader.position - start
    while reader.position < reader.end:
        before = end
        if not skip_event(known, &reader):
            raise ValueError("the batch is malformed")
        end = reader.position - start
        if count and prefix + end - first > limit:
            pieces.append((payload[:prefix] + payload[first:before], count))
            first, count = before, 0
        if prefix + end - first > limit:
            pieces.append((None, 1))
            first = end
        else:
            count += 1
    if count:
        pieces.append((payload[:prefix] + payload[first:end], count))
    return pieces
