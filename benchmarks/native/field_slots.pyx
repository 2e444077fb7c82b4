# cython: language_level=3, boundscheck=False, wraparound=False
"""A StateChange whose fields are Python objects in slots, and its codec: a prototype to measure.

The functions have the arguments and the results of ``encode_batch`` and ``decode_batch``. They know
one kind of event, and do not tell one fault from another. ``field_slots.h`` has the classes.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_Occurred
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_New
from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy

from benchmarks.native.records cimport read_change, start
from fastcoord._codec cimport make_batch
from fastcoord.wire.encode cimport FIXED_SIZE
from fastcoord.wire.fields cimport LARGEST_U32, LARGEST_U64, as_uint, small_ints
from fastcoord.wire.kinds cimport STATE_CHANGE
from fastcoord.wire.primitives cimport (
    BYTES_U16,
    Reader,
    Writer,
    has_bmi2,
    put_three,
    put_uint,
    reserve,
    writer_advance,
    writer_end,
)
from fastcoord.wire.protocol cimport Protocol, get_protocol

cdef extern from "field_slots.h":
    enum:
        SLOT_CHANGE, SLOT_TYPES, SLOT_ACCOUNT, SLOT_COUNT
    ctypedef struct SlotsEvent:
        PyObject** fields
    ctypedef struct SlotsClass:
        pass
    ctypedef PyObject* (*SlotsFallback)(PyObject*, PyObject**, Py_ssize_t, PyObject*) noexcept
    SlotsClass slots_freeing
    SlotsClass slots_keeping
    SlotsFallback slots_fallback
    PyObject* slots_names[3]
    int slots_class_init(SlotsClass*, int keeps) except -1
    SlotsEvent* slots_take(SlotsClass*) except NULL
    void slots_store(SlotsEvent*, int slot, PyObject* value) noexcept
    PyObject* slots_decoded(
        SlotsClass*, uint64_t change, uint64_t types, uint64_t account, PyObject** small_ints
    ) except NULL
    Py_ssize_t slots_put_records(
        uint8_t** position,
        const uint8_t* last,
        PyObject** items,
        Py_ssize_t count,
        const void* type,
        uint8_t tag,
    ) noexcept
    Py_ssize_t slots_take_records(
        const uint8_t** position,
        const uint8_t* end,
        PyObject** target,
        Py_ssize_t count,
        uint8_t tag,
        SlotsClass* cls,
        PyObject** small_ints,
    ) noexcept

cdef extern from "Python.h":
    PyObject** sequence_items "PySequence_Fast_ITEMS"(object) noexcept
    Py_ssize_t sequence_size "PySequence_Fast_GET_SIZE"(object) noexcept
    void* type_at "Py_TYPE"(PyObject*) noexcept
    unsigned long long PyLong_AsUnsignedLongLong(object) noexcept
    PyObject* new_reference "Py_NewRef"(object) noexcept
    void intern_in_place "PyUnicode_InternInPlace"(PyObject**) noexcept

cdef tuple NAMES = ("account_id", "change_id", "types")
cdef enum:
    MOST_EVENTS = 4096

# The memory of every call.
cdef Writer writer
cdef PyObject* decoded[MOST_EVENTS]


cdef PyObject* construct_any(
    PyObject* type, PyObject** arguments, Py_ssize_t given, PyObject* keywords
) except NULL:
    """Make an event of any arguments, or raise what the events of the package raise."""
    cdef list bound = [None, None, None]
    cdef Py_ssize_t index
    cdef SlotsEvent* event
    cls = <object>type
    if given > SLOT_COUNT:
        raise TypeError(
            f"{cls.__name__}() takes at most {SLOT_COUNT} arguments"
            f" ({', '.join(NAMES)}), not {given}"
        )
    values = {NAMES[index]: <object>arguments[index] for index in range(given)}
    if keywords != NULL:
        for index in range(PyTuple_GET_SIZE(<object>keywords)):
            name = <object>PyTuple_GET_ITEM(<object>keywords, index)
            if name not in NAMES:
                raise TypeError(f"{cls.__name__}() has no argument {name!r}")
            if name in values:
                raise TypeError(f"{cls.__name__}() got two values for the argument {name!r}")
            values[name] = <object>arguments[given + index]
    missing = [repr(name) for name in NAMES if name not in values]
    if missing:
        raise TypeError(
            f"{cls.__name__}() lacks the argument{'s' if len(missing) > 1 else ''}"
            f" {', '.join(missing)}"
        )
    for index, name in enumerate(NAMES):
        bound[index] = as_uint(
            cls, name, values[name], LARGEST_U32 if name == "account_id" else LARGEST_U64
        )
    event = slots_take(<SlotsClass*>type)
    slots_store(event, SLOT_ACCOUNT, <PyObject*>bound[0])
    slots_store(event, SLOT_CHANGE, <PyObject*>bound[1])
    slots_store(event, SLOT_TYPES, <PyObject*>bound[2])
    return <PyObject*>event


cdef bint is_ours(PyObject* item) noexcept:
    return type_at(item) == <void*>&slots_freeing or type_at(item) == <void*>&slots_keeping


def encode_batch(events, *, node_id, protocol):
    """Encode a list or tuple of events."""
    cdef Protocol tables = get_protocol(protocol)
    cdef uint16_t sender = node_id
    cdef uint8_t tag = <uint8_t>tables.tag_of[STATE_CHANGE]
    cdef Py_ssize_t index = 0
    cdef Py_ssize_t count, written
    cdef PyObject** items
    cdef PyObject** fields
    cdef uint8_t* position
    cdef uint8_t* end
    if type(events) is not list:
        events = tuple(events)
    items = sequence_items(events)
    count = sequence_size(events)
    writer.used = 0
    reserve(&writer, BYTES_U16 + count * FIXED_SIZE)
    position = put_uint(writer_end(&writer), sender)
    end = writer.start + writer.capacity - FIXED_SIZE - 8
    while index < count:
        if not is_ours(items[index]):
            raise TypeError("not an event")
        if has_bmi2():
            written = slots_put_records(
                &position, end, items + index, count - index, type_at(items[index]), tag
            )
            index += written
            if written:
                continue
        fields = (<SlotsEvent*>items[index]).fields
        position[0] = tag
        position = put_three(
            position + 1,
            PyLong_AsUnsignedLongLong(<object>fields[0]),
            PyLong_AsUnsignedLongLong(<object>fields[1]),
            PyLong_AsUnsignedLongLong(<object>fields[2]),
        )
        index += 1
    writer_advance(&writer, position)
    return PyBytes_FromStringAndSize(<char*>writer.start, writer.used)


cdef object decode(bytes payload, Protocol tables, SlotsClass* cls):
    cdef Reader reader
    cdef uint64_t node_id = 0, account = 0, change = 0, types = 0
    cdef uint8_t tag = <uint8_t>tables.tag_of[STATE_CHANGE]
    cdef Py_ssize_t count = 0, taken
    cdef tuple events
    start(&reader, payload, &node_id)
    try:
        while reader.position < reader.end:
            if count == MOST_EVENTS or reader.position[0] != tag:
                raise ValueError("malformed")
            if has_bmi2():
                taken = slots_take_records(
                    &reader.position,
                    reader.end,
                    decoded + count,
                    MOST_EVENTS - count,
                    tag,
                    cls,
                    small_ints,
                )
                count += taken
                if taken:
                    if PyErr_Occurred():
                        raise MemoryError
                    continue
            read_change(&reader, &account, &change, &types)
            decoded[count] = slots_decoded(cls, change, types, account, small_ints)
            count += 1
        events = PyTuple_New(count)
        # The tuple takes over the references.
        memcpy(sequence_items(events), decoded, count * sizeof(PyObject*))
        count = 0
        return make_batch(<uint16_t>node_id, None, events)
    finally:
        while count > 0:
            count -= 1
            Py_DECREF(<object>decoded[count])


def decode_batch(payload, *, protocol):
    """Decode a batch to ``StateChange``."""
    return decode(payload, get_protocol(protocol), &slots_freeing)


def decode_batch_keeping(payload, *, protocol):
    """Decode a batch to ``KeepingStateChange``."""
    return decode(payload, get_protocol(protocol), &slots_keeping)


for _index, _name in enumerate(NAMES):
    slots_names[_index] = new_reference(_name)
    intern_in_place(&slots_names[_index])
slots_fallback = <SlotsFallback>construct_any
slots_class_init(&slots_freeing, 0)
slots_class_init(&slots_keeping, 1)
StateChange = <object><PyObject*>&slots_freeing
KeepingStateChange = <object><PyObject*>&slots_keeping
