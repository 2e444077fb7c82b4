# cython: language_level=3, boundscheck=False, wraparound=False
"""Other forms of a decoded batch than objects, as fast as they can be: prototypes to measure.

They know one kind of event, ``StateChange``, and do not tell one fault from another.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_New
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_New
from libc.stdint cimport uint8_t, uint64_t

from fastcoord.wire.decode cimport decode_run
from fastcoord.wire.fields cimport new_uint, small_ints
from fastcoord.wire.pool cimport owned
from fastcoord.wire.primitives cimport (
    Reader,
    find_three,
    fold_three,
    read_u16,
    read_u32,
    read_u64,
    reader_init,
)
from fastcoord.wire.protocol cimport ALL_KINDS, Protocol, get_protocol

cdef extern from "Python.h":
    void set_item "PyTuple_SET_ITEM"(tuple, Py_ssize_t, PyObject*) noexcept
    void set_member "PyList_SET_ITEM"(list, Py_ssize_t, object) noexcept


cdef inline int read_change(
    Reader* reader, uint64_t* account, uint64_t* change, uint64_t* types
) except -1:
    """Read the tag and the fields of one event."""
    cdef const uint8_t* first
    cdef const uint8_t* second
    cdef const uint8_t* third
    reader.position += 1
    if find_three(reader, &first, &second, &third) and (
        first - reader.position < 8 and second - first <= 8 and third - second <= 4
    ):
        fold_three(reader.position, first, second, third, change, types, account)
        reader.position = third + 1
        return 0
    if read_u64(reader, change) and read_u64(reader, types) and read_u32(reader, account):
        return 0
    raise ValueError("malformed")


cdef int start(Reader* reader, bytes payload) except -1:
    cdef uint64_t node_id = 0
    reader_init(reader, <const uint8_t*>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))
    if not read_u16(reader, &node_id):
        raise ValueError("malformed")
    return 0


def rows(bytes payload, Py_ssize_t count):
    """Return the events of a batch as tuples."""
    cdef Reader reader
    cdef uint64_t account = 0, change = 0, types = 0
    cdef Py_ssize_t index
    cdef list found = PyList_New(count)
    cdef tuple row
    start(&reader, payload)
    for index in range(count):
        read_change(&reader, &account, &change, &types)
        row = PyTuple_New(3)
        set_item(row, 0, new_uint(account, &small_ints[0]))
        set_item(row, 1, new_uint(change, &small_ints[0]))
        set_item(row, 2, new_uint(types, &small_ints[0]))
        Py_INCREF(row)
        set_member(found, index, row)
    return found


def columns(bytes payload, Py_ssize_t count):
    """Return the fields of a batch as three arrays of u64, each in a ``bytes``."""
    cdef Reader reader
    cdef Py_ssize_t index
    cdef bytes accounts = PyBytes_FromStringAndSize(NULL, 8 * count)
    cdef bytes changes = PyBytes_FromStringAndSize(NULL, 8 * count)
    cdef bytes types = PyBytes_FromStringAndSize(NULL, 8 * count)
    cdef uint64_t* of_account = <uint64_t*>PyBytes_AS_STRING(accounts)
    cdef uint64_t* of_change = <uint64_t*>PyBytes_AS_STRING(changes)
    cdef uint64_t* of_types = <uint64_t*>PyBytes_AS_STRING(types)
    start(&reader, payload)
    for index in range(count):
        read_change(&reader, of_account + index, of_change + index, of_types + index)
    return accounts, changes, types


def each(bytes payload, Py_ssize_t count, callback):
    """Call a function with each event of a batch."""
    cdef Reader reader
    cdef Protocol protocol = get_protocol("fastcoord-1")
    cdef PyObject* event
    start(&reader, payload)
    while count > 0:
        event = NULL
        if decode_run(protocol, &reader, &event, 1, ALL_KINDS) != 1:
            raise ValueError("malformed")
        callback(owned(event))
        count -= 1
