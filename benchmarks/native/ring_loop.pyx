# cython: language_level=3
"""A ring called from compiled code, as by the receiver and the cursor."""

from cpython.ref cimport Py_DECREF
from libc.stdint cimport uint32_t

from fastcoord.receiving.ring cimport Ring, Slot


def put_and_take(Ring ring, bytes payload, Py_ssize_t at_once, Py_ssize_t rounds):
    """Put ``at_once`` messages of one event and take them again, ``rounds`` times.

    :return: how many messages were taken.
    """
    cdef Py_ssize_t taken = 0
    cdef Py_ssize_t index
    cdef Slot slot
    while rounds > 0:
        rounds -= 1
        for index in range(at_once):
            ring.put(payload, 1, 1, 2, 1.0)
        while ring.take_notice() is None and ring.take(&slot):
            Py_DECREF(<object>slot.item)
            taken += 1
    return taken
