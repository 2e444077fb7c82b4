# cython: language_level=3
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy


cdef inline uint8_t* put_all(uint8_t* position, bytes text) noexcept:
    """Copy all bytes of ``text`` and return the position behind them."""
    memcpy(position, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
    return position + PyBytes_GET_SIZE(text)


cdef bytes digits_of(uint64_t number)
