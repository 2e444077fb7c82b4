# cython: language_level=3, embedsignature=True, boundscheck=False, wraparound=False
"""Composes frames of the NATS client protocol: many batches in one bytes object."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from fastcoord.nats.sequence_header cimport (
    DECIMAL_SIZE,
    DIGITS_64_SIZE,
    HEADER_START,
    MAX_HEADER,
    decimal_size,
    digits_64_size,
    header_fields,
    put_decimal,
    put_digits_64,
)
from fastcoord.wire.sealed_batch cimport SealedBatch
from fastcoord.wire.pool cimport owned

cdef extern from "Python.h":
    PyObject* PyBytes_FromStringAndSize(const char*, Py_ssize_t) except NULL
    int _PyBytes_Resize(PyObject**, Py_ssize_t) except -1

# The largest size of a batch's header, which counts towards the server's max_payload.
HEADER_ALLOWANCE = MAX_HEADER


cdef inline uint8_t* put_all(uint8_t* position, bytes text) noexcept:
    """Copy all bytes of ``text`` and return the position behind them."""
    memcpy(position, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
    return position + PyBytes_GET_SIZE(text)


def compose(
    bytes subject, int protocol, uint64_t incarnation, uint64_t discarded, batches, *, note=None,
    ping=False,
):
    """Compose HPUB frames for batches.

    :param subject: the NATS subject. The caller has checked that it has no blanks or line ends.
    :param protocol: the index of the sender's protocol in ``PROTOCOLS``.
    :param incarnation: the sender's incarnation.
    :param discarded: how many events the sender has discarded so far.
    :param batches: the ``SealedBatch`` objects, in the order of sending.
    :param note: ``"resend"``, ``"goodbye"`` or ``"hello"``, for all batches.
    :param ping: whether to append a PING.
    :return: the frames, for one write.
    :raises ValueError: the note is unknown.
    """
    # The parts that are the same in each frame are composed once.
    cdef bytes command = b"HPUB " + subject + b" "
    cdef bytes beginning = HEADER_START + header_fields(protocol, note, incarnation)
    cdef int discarded_size = digits_64_size(discarded) if discarded else 0
    cdef Py_ssize_t fixed_header = PyBytes_GET_SIZE(beginning) + 4
    cdef Py_ssize_t size = 8
    cdef Py_ssize_t header_size, payload_size
    cdef int offset_size, count_size
    cdef uint8_t* start
    cdef uint8_t* position
    cdef PyObject* frames
    cdef SealedBatch batch
    cdef list members = list(batches)
    for batch in members:
        size += (
            PyBytes_GET_SIZE(batch.payload) + PyBytes_GET_SIZE(command) + fixed_header
            + 3 * (DIGITS_64_SIZE + 1) + 2 * DECIMAL_SIZE + 8
        )
    # The frames are composed in the bytes object that is written to the socket, so they are not
    # copied. `size` is an upper bound: no write below passes the end, and the resize removes the
    # excess. `frames` holds the only reference until `owned` passes it to the caller, so the resize
    # may move the object. No statement before the resize can raise.
    frames = PyBytes_FromStringAndSize(NULL, size)
    start = position = <uint8_t*>PyBytes_AS_STRING(<object>frames)
    for batch in members:
        payload_size = PyBytes_GET_SIZE(batch.payload)
        offset_size = digits_64_size(batch.offset)
        header_size = fixed_header + offset_size
        # A field with its default value is omitted, unless a later field is written.
        count_size = 0
        if batch.count != 1 or discarded_size:
            count_size = digits_64_size(batch.count)
            header_size += 1 + count_size
        if discarded_size:
            header_size += 1 + discarded_size
        position = put_all(position, command)
        position = put_decimal(position, header_size, decimal_size(header_size))
        position[0] = c' '
        position += 1
        position = put_decimal(
            position, header_size + payload_size, decimal_size(header_size + payload_size)
        )
        position[0] = c'\r'
        position[1] = c'\n'
        position = put_all(position + 2, beginning)
        position = put_digits_64(position, batch.offset, offset_size)
        if count_size:
            position[0] = c'.'
            position = put_digits_64(position + 1, batch.count, count_size)
        if discarded_size:
            position[0] = c'.'
            position = put_digits_64(position + 1, discarded, discarded_size)
        memcpy(position, b"\r\n\r\n", 4)
        position += 4
        position = put_all(position, batch.payload)
        position[0] = c'\r'
        position[1] = c'\n'
        position += 2
    if ping:
        memcpy(position, b"PING\r\n", 6)
        position += 6
    _PyBytes_Resize(&frames, position - start)
    return owned(frames)
