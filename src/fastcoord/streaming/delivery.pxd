# cython: language_level=3
"""Reads where a message stands in its stream and its consumer, from its reply subject.

::

    $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>
    $JS.ACK.<domain>.<account>.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>.<token>
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp

from fastcoord.nats.sequence_header cimport read_decimal

cdef enum:
    SHORT_TOKENS = 9
    LONG_TOKENS = 11      # without the token at the end, which may be absent
    MAX_TOKENS = 12

cdef struct Delivery:
    uint64_t sequence      # of the message in the stream
    uint64_t number        # of the delivery by this consumer, counted from 1
    uint64_t stored_at     # when the stream has stored the message, in nanoseconds since 1970
    uint64_t pending       # messages of the stream behind this one


cdef inline bint read_delivery(
    const uint8_t* subject, Py_ssize_t size, Delivery* delivery
) noexcept nogil:
    """Read a reply subject; return whether it has one of the two forms."""
    cdef const uint8_t* starts[MAX_TOKENS]
    cdef const uint8_t* end = subject + size
    cdef const uint8_t* position = subject
    cdef Py_ssize_t count = 1
    cdef Py_ssize_t first
    if size < 8 or memcmp(subject, b"$JS.ACK.", 8) != 0:
        return False
    starts[0] = subject
    while position < end:
        if position[0] == c'.':
            if count == MAX_TOKENS:
                return False
            starts[count] = position + 1
            count += 1
        position += 1
    if count == SHORT_TOKENS:
        first = 5
    elif count >= LONG_TOKENS:
        first = 7
    else:
        return False
    position = read_decimal(starts[first], end, &delivery.sequence)
    if position == NULL or position >= end or position[0] != c'.':
        return False
    position = read_decimal(position + 1, end, &delivery.number)
    if position == NULL or position >= end or position[0] != c'.':
        return False
    if read_decimal(starts[first + 2], end, &delivery.stored_at) == NULL:
        return False
    return read_decimal(starts[first + 3], end, &delivery.pending) != NULL
