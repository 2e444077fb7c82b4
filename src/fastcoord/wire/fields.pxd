# cython: language_level=3
from cpython.exc cimport PyErr_Clear, PyErr_Occurred
from cpython.long cimport PyLong_CheckExact
from cpython.object cimport PyObject
from libc.stdint cimport uint64_t

cdef extern from "Python.h":
    unsigned long long PyLong_AsUnsignedLongLong(object) noexcept

# In the order of FIELD_TYPES in the table.
cdef enum FieldType:
    FIELD_U16
    FIELD_U32
    FIELD_U64
    FIELD_RECURRENCE
    FIELD_FLAG            # its value is in the tag
    FIELD_TEXT            # from here on, the event owns a reference to an object
    FIELD_BYTES
    FIELD_ACCOUNTS        # a tuple of int, or bytes until it is first read: see decode
    FIELD_ITEMS           # a tuple of tuples, or bytes until it is first read

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

# The names of the items of CacheInvalidate; the index is the marker on the wire. Items hold these
# same objects, so that encoding finds the marker by comparing identities. The references are
# borrowed from CACHE_ITEMS of the table, which lives as long as the module.
cdef PyObject* item_names[ITEM_COUNT]

cdef extern from "fastcoord/wire/event.h":
    enum:
        SMALL_INTS "FASTCOORD_SMALL_INTS"
    PyObject* new_uint "fastcoord_new_uint"(uint64_t number, PyObject** small_ints) except NULL

# Owned references to the ints from 0 to 256. Python has only one object for each of them, so it can
# be taken from here without a call.
cdef PyObject* small_ints[SMALL_INTS]

cdef str shown(value)
cdef refuse_type(kind, str field, value, str wanted)
cdef refuse_range(kind, str field, value, lowest, largest)
cdef object as_integer(kind, str field, value)
cdef uint64_t as_flag(kind, str field, value) except? 2
cdef uint64_t as_recurrence(kind, str field, value) except? 1
cdef str as_text(kind, str field, value)
cdef bytes as_bytes(kind, str field, value)
cdef tuple as_accounts(kind, str field, value)
cdef tuple as_items(kind, str field, items)
cdef tuple unpack_accounts(bytes packed)
cdef tuple unpack_items(bytes packed)


cdef inline uint64_t as_uint(
    kind, str field, value, uint64_t largest
) except? 0xffffffffffffffff:
    """Check an integer from 0 to ``largest`` and return its value."""
    cdef unsigned long long number
    if not PyLong_CheckExact(value):
        value = as_integer(kind, field, value)
    number = PyLong_AsUnsignedLongLong(value)
    if number == LARGEST_U64 and PyErr_Occurred():
        PyErr_Clear()
        refuse_range(kind, field, value, 0, largest)
    if number > largest:
        refuse_range(kind, field, value, 0, largest)
    return number
