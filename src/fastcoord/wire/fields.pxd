# cython: language_level=3
from cpython.exc cimport PyErr_Clear, PyErr_Occurred
from cpython.long cimport PyLong_CheckExact
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t

cdef extern from "Python.h":
    unsigned long long PyLong_AsUnsignedLongLong(object) noexcept

# The markers of CacheInvalidate's items, as WIRE numbers them.
cdef enum:
    ITEM_EMAIL_NEGATIVE = 10
    ITEM_COUNT = 12

cdef enum:
    LARGEST_U16 = 0xffff

cdef extern from *:
    """
    #define FASTCOORD_LARGEST_U32 0xffffffffull
    #define FASTCOORD_LARGEST_U64 0xffffffffffffffffull
    """
    const uint64_t LARGEST_U32 "FASTCOORD_LARGEST_U32"
    const uint64_t LARGEST_U64 "FASTCOORD_LARGEST_U64"

# Items hold these very objects, so that a name is found by identity.
cdef PyObject* item_names[ITEM_COUNT]

cdef refuse_type(object event, str field, value, str wanted)
cdef refuse_range(object event, str field, value, lowest, largest)
cdef object as_integer(object event, str field, value)
cdef int64_t as_recurrence(object event, value) except? -1
cdef str as_text(object event, str field, value)
cdef tuple as_accounts(object event, value)
cdef tuple as_items(object event, items)
cdef tuple unpack_accounts(bytes packed, Py_ssize_t count)
cdef tuple unpack_items(bytes packed, Py_ssize_t count)


cdef inline uint64_t as_uint(
    object event, str field, value, uint64_t largest
) except? 0xffffffffffffffff:
    """Read an integer from 0 to ``largest``."""
    cdef unsigned long long number
    if not PyLong_CheckExact(value):
        value = as_integer(event, field, value)
    number = PyLong_AsUnsignedLongLong(value)
    if number == LARGEST_U64 and PyErr_Occurred():
        PyErr_Clear()
        refuse_range(event, field, value, 0, largest)
    if number > largest:
        refuse_range(event, field, value, 0, largest)
    return number
