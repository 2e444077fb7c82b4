# cython: language_level=3, boundscheck=False, wraparound=False
"""Other forms of a decoded batch than objects, as fast as they can be: prototypes to measure.

They know one kind of event, ``StateChange``, and do not tell one fault from another.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.list cimport PyList_New
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_New
from libc.stdint cimport uint64_t

from benchmarks.native.records cimport read_change, start
from fastcoord.wire.decode cimport decode_run
from fastcoord.wire.fields cimport new_uint, small_ints
from fastcoord.wire.pool cimport owned
from fastcoord.wire.primitives cimport Reader
from fastcoord.wire.protocol cimport ALL_KINDS, Protocol, get_protocol

cdef extern from "Python.h":
    void set_item "PyTuple_SET_ITEM"(tuple, Py_ssize_t, PyObject*) noexcept
    void set_member "PyList_SET_ITEM"(list, Py_ssize_t, object) noexcept


def rows(bytes payload, Py_ssize_t count):
    """Return the events of a batch as tuples."""
    cdef Reader reader
    cdef uint64_t node_id = 0
    cdef uint64_t account = 0, change = 0, types = 0
    cdef Py_ssize_t index
    cdef list found = PyList_New(count)
    cdef tuple row
    start(&reader, payload, &node_id)
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
    cdef uint64_t node_id = 0
    cdef Py_ssize_t index
    cdef bytes accounts = PyBytes_FromStringAndSize(NULL, 8 * count)
    cdef bytes changes = PyBytes_FromStringAndSize(NULL, 8 * count)
    cdef bytes types = PyBytes_FromStringAndSize(NULL, 8 * count)
    cdef uint64_t* of_account = <uint64_t*>PyBytes_AS_STRING(accounts)
    cdef uint64_t* of_change = <uint64_t*>PyBytes_AS_STRING(changes)
    cdef uint64_t* of_types = <uint64_t*>PyBytes_AS_STRING(types)
    start(&reader, payload, &node_id)
    for index in range(count):
        read_change(&reader, of_account + index, of_change + index, of_types + index)
    return accounts, changes, types


def each(bytes payload, Py_ssize_t count, callback):
    """Call a function with each event of a batch."""
    cdef Reader reader
    cdef uint64_t node_id = 0
    cdef Protocol protocol = get_protocol("fastcoord-1")
    cdef PyObject* event
    start(&reader, payload, &node_id)
    while count > 0:
        event = NULL
        if decode_run(protocol, &reader, &event, 1, ALL_KINDS) != 1:
            raise ValueError("malformed")
        callback(owned(event))
        count -= 1
