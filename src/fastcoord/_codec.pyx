# cython: language_level=3, embedsignature=True, boundscheck=False, wraparound=False
"""The public codec: encodes batches to bytes and decodes bytes to batches."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_Clear
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from cpython.tuple cimport PyTuple_GET_SIZE, PyTuple_New
from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy, memset

from fastcoord.wire.columns cimport columns_of
from fastcoord.wire.decode cimport decode_event, decode_run, explain
from fastcoord.wire.encode cimport encode_event, encode_run
from fastcoord.wire.events cimport Event, is_event
from fastcoord.wire.fields cimport shown
from fastcoord.wire.protocol cimport ALL_KINDS, Protocol, get_protocol, knows
from fastcoord.wire.primitives cimport *
from fastcoord.wire.typed cimport as_app_event

import collections.abc

from fastcoord.errors import DecodeError

cdef extern from "Python.h":
    unsigned long long PyLong_AsUnsignedLongLong(object) noexcept
    const Py_ssize_t PY_SSIZE_T_MAX
    PyObject** PySequence_Fast_ITEMS(object) noexcept
    Py_ssize_t PySequence_Fast_GET_SIZE(object) noexcept
    ctypedef struct TypeWithName "PyTypeObject":
        const char* tp_name


@cython.collection_type("sequence")  # `match` takes it as one
cdef class Batch:
    """An immutable sequence of the events of one message, in the sender's order.

    :ivar node_id: the node that sent the events.
    :ivar received_at: when the message arrived, in seconds since the epoch; ``None`` if the batch
        does not come from a subscription.
    :ivar sequence: the stream sequence of the message; ``None`` without a stream.
    """

    def __cinit__(self):
        self.events = ()

    def __init__(self, node_id, events, received_at=None, sequence=None):
        if self.is_made:
            raise TypeError("Batch is immutable")
        if isinstance(node_id, bool) or not isinstance(node_id, int):
            raise TypeError(f"node_id must be an integer, not {type(node_id).__name__}")
        if not 0 <= node_id <= 0xffff:
            raise ValueError(f"node_id must be from 0 to 65535, not {shown(node_id)}")
        self.node_id = node_id
        self.events = tuple(events)
        self.received_at = received_at
        self.sequence = sequence
        self.is_made = True

    def __len__(self):
        return PyTuple_GET_SIZE(self.events)

    def __getitem__(self, index):
        return self.events[index]

    def __iter__(self):
        return iter(self.events)

    def __contains__(self, event):
        return event in self.events

    def __reversed__(self):
        return reversed(self.events)

    def index(self, event, *bounds):
        """Return the position of the first equal event; raise ValueError if there is none."""
        return self.events.index(event, *bounds)

    def count(self, event):
        """Return how many events of the batch are equal to ``event``."""
        return self.events.count(event)

    def columns(self, kind):
        """Return the fields of all events of one kind as columns, for example for NumPy.

        ``numpy.asarray`` uses the memory of a column without a copy.

        :param kind: an event class whose fields are all unsigned integers or bools, such as
            ``StateChange``. Events of other kinds are left out.
        :return: a read-only ``memoryview`` of u64 for each field, by its name, with an item for
            each event in the order of the batch; a bool is 0 or 1.
        :raises TypeError: ``kind`` is not such a class.
        """
        return columns_of(self.events, kind)

    def __eq__(self, other):
        if not isinstance(other, Batch):
            return NotImplemented
        return self.node_id == other.node_id and self.events == (<Batch>other).events

    def __hash__(self):
        return hash((self.node_id, self.events))

    def __reduce__(self):
        return (type(self), (self.node_id, self.events, self.received_at, self.sequence))

    def __repr__(self):
        return f"Batch(node_id={self.node_id}, events={self.events!r})"


collections.abc.Sequence.register(Batch)
# Programs and pickle import the class from the package.
(<TypeWithName*>Batch).tp_name = "fastcoord.Batch"


cdef Batch make_batch(uint16_t node_id, received_at, tuple events):
    cdef Batch batch = Batch.__new__(Batch)
    batch.node_id = node_id
    batch.received_at = received_at
    batch.events = events
    batch.is_made = True
    return batch


cdef int encode_checked(Protocol tables, Writer* writer, object event) except -1:
    """Encode the event at which ``encode_run`` stopped, or raise why that is impossible."""
    if not is_event(event):
        converted = as_app_event(event, tables)
        if converted is None:
            raise TypeError(f"not an event: {type(event).__name__} ({shown(event)})")
        event = converted
    if not knows(tables, <Event>event):
        tables.refuse(<Event>event)
    return encode_event(tables, writer, <Event>event)


# A growing array of decoded events, whose number is not known before. The vector owns a reference
# to each event. `vector_take` moves the references to a tuple.
cdef struct Vector:
    PyObject** start
    Py_ssize_t used
    Py_ssize_t capacity


# The memory of the last call, kept for the next one: for a small batch, allocating memory takes
# longer than encoding or decoding the events. A call removes the memory from here, so that a nested
# call (by an iterator of events) allocates its own.
cdef Writer spare_writer
cdef Vector spare_vector

cdef enum:
    MOST_BYTES_KEPT = 64 * 1024


cdef inline void take_writer(Writer* writer) noexcept:
    writer[0] = spare_writer
    writer.used = 0
    spare_writer.start = NULL
    spare_writer.capacity = 0


cdef inline void return_writer(Writer* writer) noexcept:
    if spare_writer.start == NULL and writer.capacity <= MOST_BYTES_KEPT:
        spare_writer.start = writer.start
        spare_writer.capacity = writer.capacity
    else:
        writer_free(writer)


cdef bytes encode(events, uint16_t node_id, Protocol protocol):
    """Encode an iterable of events. This is ``encode_batch`` for Cython."""
    cdef Writer writer
    cdef Py_ssize_t index = 0
    cdef Py_ssize_t count
    if protocol is None:
        raise TypeError("protocol must be a result of get_protocol, not None")
    if type(events) is not list:
        events = tuple(events)
    take_writer(&writer)
    try:
        reserve(&writer, BYTES_U16)
        writer_advance(&writer, put_uint(writer_end(&writer), node_id))
        # encode_run runs no Python code, so a list stays as it is meanwhile. encode_checked may run
        # code of the program, which may change the list, so the size is read again.
        while index < PySequence_Fast_GET_SIZE(events):
            count = PySequence_Fast_GET_SIZE(events)
            index = encode_run(
                protocol, &writer, PySequence_Fast_ITEMS(events), index, count, PY_SSIZE_T_MAX
            )
            if index < count:
                encode_checked(protocol, &writer, <object>PySequence_Fast_ITEMS(events)[index])
                index += 1
        return PyBytes_FromStringAndSize(<char*>writer.start, writer.used)
    finally:
        return_writer(&writer)


def encode_batch(events, *, node_id, protocol):
    """Encode events into the bytes of one message.

    :param events: an iterable of events, instances of the program's event classes included.
    :param node_id: the sender, 0 to 65535.
    :param protocol: the name of a protocol, such as ``"stalwart-0.16"`` or ``"fastcoord-1"``.
    :return: the payload of a NATS message.
    :raises UnsupportedEvent: the protocol does not have one of the events.
    :raises TypeError: an item of ``events`` is not an event.
    :raises ValueError: the node id is out of range, or the protocol is unknown.
    """
    cdef Protocol tables = get_protocol(protocol)
    cdef uint64_t sender
    if type(node_id) is not int and (
        not isinstance(node_id, int) or isinstance(node_id, bool)
    ):
        raise TypeError(f"node_id must be an integer, not {type(node_id).__name__}")
    sender = PyLong_AsUnsignedLongLong(node_id)
    if sender > 0xffff:
        PyErr_Clear()
        raise ValueError(f"node_id must be from 0 to 65535, not {shown(node_id)}")
    return encode(events, <uint16_t>sender, tables)


cdef int vector_reserve(Vector* vector) except -1:
    """Allocate memory for at least one more event."""
    cdef Py_ssize_t capacity
    if vector.used == vector.capacity:
        capacity = vector.capacity * 4 if vector.capacity else 128
        grown = PyMem_Realloc(vector.start, capacity * sizeof(PyObject*))
        if grown == NULL:
            raise MemoryError(f"no memory for {capacity} events")
        vector.start = <PyObject**>grown
        vector.capacity = capacity
    return 0


cdef tuple vector_take(Vector* vector):
    cdef tuple items = PyTuple_New(vector.used)
    # The tuple takes over the vector's references.
    if vector.used:
        memcpy(PySequence_Fast_ITEMS(items), vector.start, vector.used * sizeof(PyObject*))
    vector.used = 0
    return items


cdef inline void take_vector(Vector* vector) noexcept:
    vector[0] = spare_vector
    vector.used = 0
    spare_vector.start = NULL
    spare_vector.capacity = 0


cdef void return_vector(Vector* vector) noexcept:
    cdef Py_ssize_t index
    for index in range(vector.used):
        Py_DECREF(<object>vector.start[index])
    vector.used = 0
    if spare_vector.start == NULL and vector.capacity * sizeof(PyObject*) <= MOST_BYTES_KEPT:
        spare_vector.start = vector.start
        spare_vector.capacity = vector.capacity
    else:
        PyMem_Free(vector.start)


cdef Batch decode(payload, Protocol protocol):
    """Decode one message. This is ``decode_batch`` for Cython."""
    cdef Reader reader
    cdef Py_buffer view
    cdef uint64_t node_id = 0
    cdef const uint8_t* event_at
    cdef Vector vector
    if protocol is None:
        raise TypeError("protocol must be a result of get_protocol, not None")
    memset(&view, 0, sizeof(view))
    if type(payload) is bytes:
        reader_init(
            &reader, <const uint8_t*>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload)
        )
    else:
        PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
        reader_init(&reader, <const uint8_t*>view.buf, view.len)
    take_vector(&vector)
    try:
        if not read_u16(&reader, &node_id):
            raise DecodeError(
                explain(protocol, &reader, NULL), reader.fault_at - reader.start, (), None
            )
        while reader.position < reader.end:
            vector_reserve(&vector)
            vector.used += decode_run(
                protocol, &reader, vector.start + vector.used, vector.capacity - vector.used, ALL_KINDS
            )
            if vector.used == vector.capacity or reader.position == reader.end:
                continue
            event_at = reader.position
            decode_event(protocol, &reader)
            raise DecodeError(
                explain(protocol, &reader, event_at),
                reader.fault_at - reader.start,
                vector_take(&vector),
                node_id,
            )
        return make_batch(<uint16_t>node_id, None, vector_take(&vector))
    finally:
        return_vector(&vector)
        PyBuffer_Release(&view)


def decode_batch(payload, *, protocol):
    """Decode the bytes of one message.

    Instances of the program's event classes stay ``AppEvent``: a subscription converts them.

    :param payload: an object with a buffer, such as ``bytes``, ``bytearray`` or ``memoryview``.
    :param protocol: the name of a protocol, such as ``"stalwart-0.16"`` or ``"fastcoord-1"``.
    :return: a ``Batch``.
    :raises DecodeError: the payload is malformed. ``offset`` of the exception is the position of
        the error; ``decoded`` holds the events before it.
    :raises ValueError: the protocol is unknown.
    """
    return decode(payload, get_protocol(protocol))
