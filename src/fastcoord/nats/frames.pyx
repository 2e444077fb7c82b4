# cython: language_level=3, embedsignature=True, boundscheck=False, wraparound=False
"""Composes frames of the NATS client protocol: many batches in one bytes object."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t, uint64_t
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


cdef bytes digits_of(uint64_t number):
    """Return a number in base 64."""
    cdef uint8_t[DIGITS_64_SIZE] text
    cdef int size = digits_64_size(number)
    put_digits_64(text, number, size)
    return (<char*>text)[:size]


cdef bytes later_fields(uint64_t discarded, uint32_t connection, uint32_t silence):
    """Return the fields behind ``count``. Fields with their default value are omitted at the end."""
    if silence:
        return b"." + digits_of(discarded) + b"." + digits_of(connection) + b"." + digits_of(silence)
    if connection:
        return b"." + digits_of(discarded) + b"." + digits_of(connection)
    return b"." + digits_of(discarded) if discarded else b""


def compose(
    bytes subject,
    int protocol,
    uint64_t incarnation,
    uint64_t discarded,
    batches,
    *,
    uint32_t connection=0,
    uint32_t silence=0,
    note=None,
    bytes reply=b"",
    bytes question=b"",
    ping=False,
):
    """Compose HPUB frames for batches.

    :param subject: the NATS subject. The caller has checked that it has no blanks or line ends.
    :param protocol: the index of the sender's protocol in ``PROTOCOLS``.
    :param incarnation: the sender's incarnation.
    :param discarded: how many events the sender has discarded so far.
    :param batches: the ``SealedBatch`` objects, in the order of sending.
    :param connection: how many connections the sender had before this one.
    :param silence: the longest pause between two messages of the sender, in milliseconds.
    :param note: the name of the note, for all batches; ``None`` for ordinary batches.
    :param reply: the reply subject; the caller has checked it like ``subject``.
    :param question: the value of the second header line, which questions and answers have.
    :param ping: whether to append a PING.
    :return: the frames, for one write.
    :raises ValueError: the note is unknown.
    """
    # The parts that are the same in each frame are composed once.
    cdef bytes command = b"HPUB " + subject + (b" " + reply + b" " if reply else b" ")
    cdef bytes beginning = HEADER_START + header_fields(protocol, note, incarnation)
    cdef bytes later = later_fields(discarded, connection, silence)
    cdef bint is_count_needed = PyBytes_GET_SIZE(later) > 0
    cdef bytes ending = later + (b"\r\nQ:" + question if question else b"") + b"\r\n\r\n"
    cdef bint is_ending_short = PyBytes_GET_SIZE(ending) == 4
    cdef Py_ssize_t fixed_header = PyBytes_GET_SIZE(beginning) + PyBytes_GET_SIZE(ending)
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
            + 2 * (DIGITS_64_SIZE + 1) + 2 * DECIMAL_SIZE + 8
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
        if batch.count != 1 or is_count_needed:
            count_size = digits_64_size(batch.count)
            header_size += 1 + count_size
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
        if is_ending_short:
            # A copy of a known size is faster, and nearly every message takes this branch.
            memcpy(position, b"\r\n\r\n", 4)
            position += 4
        else:
            position = put_all(position, ending)
        position = put_all(position, batch.payload)
        position[0] = c'\r'
        position[1] = c'\n'
        position += 2
    if ping:
        memcpy(position, b"PING\r\n", 6)
        position += 6
    _PyBytes_Resize(&frames, position - start)
    return owned(frames)
