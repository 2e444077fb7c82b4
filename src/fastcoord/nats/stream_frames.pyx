# cython: language_level=3, embedsignature=True, boundscheck=False, wraparound=False
"""Composes the frames of batches that a stream stores: with message id and reply subject."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from fastcoord.nats.frames cimport digits_of, put_all
from fastcoord.nats.sequence_header cimport (
    DECIMAL_SIZE,
    DIGITS_64_SIZE,
    HEADER_START,
    decimal_size,
    digits_64_size,
    header_fields,
    put_decimal,
    put_digits_64,
)
from fastcoord.wire.pool cimport owned
from fastcoord.wire.sealed_batch cimport SealedBatch

cdef extern from "Python.h":
    PyObject* PyBytes_FromStringAndSize(const char*, Py_ssize_t) except NULL
    int _PyBytes_Resize(PyObject**, Py_ssize_t) except -1

# The most bytes of the line with the message id: its name, three numbers with dots, a line end.
MESSAGE_ID_ALLOWANCE = 12 + 3 * (DIGITS_64_SIZE + 1) + 2


def compose_for_stream(
    bytes subject,
    bytes reply,
    uint64_t number,
    int protocol,
    uint64_t incarnation,
    uint64_t discarded,
    batches,
    *,
    uint64_t connection=0,
    uint64_t attempt=0,
    note=None,
):
    """Compose HPUB frames for batches that a stream acknowledges.

    :param subject: the NATS subject. The caller has checked that it has no blanks or line ends.
    :param reply: the reply subject without its last token, with a dot at the end.
    :param number: the last token of the first batch's reply subject; the others count on.
    :param protocol: the index of the sender's protocol in ``PROTOCOLS``.
    :param incarnation: the sender's incarnation.
    :param discarded: how many events the sender has discarded so far.
    :param batches: the ``SealedBatch`` objects, in the order of sending.
    :param connection: how many connections the sender had before this one in its run.
    :param attempt: how often the batches are to be stored again; it is part of the message id.
    :param note: ``"resend"``, for all batches; ``None`` for ordinary batches.
    :return: the frames, for one write.
    """
    # The parts that are the same in each frame are composed once.
    cdef bytes command = b"HPUB " + subject + b" " + reply
    cdef bytes beginning = HEADER_START + header_fields(protocol, note, incarnation)
    cdef bytes later = b""
    cdef bytes name = b"\r\nNats-Msg-Id:" + digits_of(incarnation) + b"."
    cdef bytes ending = (b"." + digits_of(attempt) if attempt else b"") + b"\r\n\r\n"
    cdef Py_ssize_t fixed_header
    cdef Py_ssize_t size = 0
    cdef Py_ssize_t header_size, payload_size
    cdef int offset_size, count_size
    cdef uint8_t* start
    cdef uint8_t* position
    cdef PyObject* frames
    cdef SealedBatch batch
    cdef list members = list(batches)
    if discarded or connection:
        later = b"." + digits_of(discarded)
        if connection:
            later += b"." + digits_of(connection)
    fixed_header = (
        PyBytes_GET_SIZE(beginning) + PyBytes_GET_SIZE(later) + PyBytes_GET_SIZE(name)
        + PyBytes_GET_SIZE(ending)
    )
    for batch in members:
        size += (
            PyBytes_GET_SIZE(batch.payload) + PyBytes_GET_SIZE(command) + fixed_header
            + 3 * (DIGITS_64_SIZE + 1) + 3 * (DECIMAL_SIZE + 1) + 8
        )
    # The frames are composed in the bytes object that is written to the socket, so they are not
    # copied. `size` is an upper bound: no write below passes the end, and the resize removes the
    # excess. No statement before the resize can raise.
    frames = PyBytes_FromStringAndSize(NULL, size)
    start = position = <uint8_t*>PyBytes_AS_STRING(<object>frames)
    for batch in members:
        payload_size = PyBytes_GET_SIZE(batch.payload)
        offset_size = digits_64_size(batch.offset)
        header_size = fixed_header + 2 * offset_size
        # A field with its default value is omitted, unless a later field is written.
        count_size = 0
        if batch.count != 1 or PyBytes_GET_SIZE(later):
            count_size = digits_64_size(batch.count)
            header_size += 1 + count_size
        position = put_all(position, command)
        position = put_decimal(position, number, decimal_size(number))
        number += 1
        position[0] = c' '
        position = put_decimal(position + 1, header_size, decimal_size(header_size))
        position[0] = c' '
        position = put_decimal(
            position + 1, header_size + payload_size, decimal_size(header_size + payload_size)
        )
        memcpy(position, b"\r\n", 2)
        position = put_all(position + 2, beginning)
        position = put_digits_64(position, batch.offset, offset_size)
        if count_size:
            position[0] = c'.'
            position = put_digits_64(position + 1, batch.count, count_size)
        position = put_all(position, later)
        position = put_all(position, name)
        position = put_digits_64(position, batch.offset, offset_size)
        position = put_all(position, ending)
        position = put_all(position, batch.payload)
        memcpy(position, b"\r\n", 2)
        position += 2
    _PyBytes_Resize(&frames, position - start)
    return owned(frames)
