# cython: language_level=3, embedsignature=True, boundscheck=False, wraparound=False
"""The event types: small immutable values, built from the table when this module is imported.

An event checks its fields once, when it is created, so that encoding cannot fail later. All kinds
have the same memory layout (``event.h``). The table defines the fields of each kind.
"""

from cpython.mem cimport PyMem_Calloc
from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport uint64_t

from fastcoord.wire.construction cimport (
    construct,
    construct_from_tuple,
    end_event,
    finish_kind,
    refuse_again,
)
from fastcoord.wire.fields cimport FIELD_ACCOUNTS, FIELD_TEXT
from fastcoord.wire.kinds cimport (
    EventObject,
    Field,
    Kind,
    classes,
    describe,
    kind_of,
    kinds,
    type_init,
)
from fastcoord.wire.pool cimport destructor
from fastcoord.wire.values cimport all_values, get_attribute, get_field, list_members

from fastcoord.wire.table import KINDS, REQUIRED

cdef extern from "Python.h":
    ctypedef struct GetSet "PyGetSetDef":
        const char* name
        const char* doc
        PyObject* (*get)(PyObject*, void*) except NULL
        void* closure
    ctypedef struct FullType "PyTypeObject":
        const char* tp_name
        const char* tp_doc
        Py_ssize_t tp_basicsize
        unsigned long tp_flags
        FullType* tp_base
        PyObject* tp_dict
        GetSet* tp_getset
        destructor tp_dealloc
        PyObject* (*tp_new)(PyTypeObject*, PyObject*, PyObject*) except NULL
        int (*tp_init)(PyObject*, PyObject*, PyObject*) except -1
        PyObject* (*tp_getattro)(PyObject*, PyObject*) except NULL
        PyObject* (*tp_vectorcall)(PyObject*, PyObject* const*, size_t, PyObject*) except NULL
    const unsigned long Py_TPFLAGS_DEFAULT
    const unsigned long Py_TPFLAGS_BASETYPE
    int PyType_Ready(FullType*) except -1
    void PyType_Modified(FullType*) noexcept
    PyObject* new_reference "Py_NewRef"(object) noexcept


cdef class Event:
    """The base class of all events, which nodes send to each other.

    Events are immutable, hashable, comparable and picklable, take their fields by position or by
    keyword, and work with ``match``. Only its subclasses have instances.
    """

    __match_args__ = ()

    def __cinit__(self):
        raise TypeError("Event is the base class of all events; make one of its subclasses")

    def __repr__(self):
        fields = ", ".join(
            [
                f"{name}={value!r}"
                for name, value in zip(type(self).__match_args__, all_values(<PyObject*>self))
            ]
        )
        return f"{type(self).__name__}({fields})"

    def __eq__(self, other):
        if type(self) is not type(other):
            return NotImplemented
        return is_equal(<PyObject*>self, <PyObject*>other)

    def __hash__(self):
        return hash_of(<PyObject*>self)

    def __reduce__(self):
        return (type(self), all_values(<PyObject*>self))

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self


# --------------------------------------------------------------------------------- equality and hash


cdef bint is_equal(PyObject* one, PyObject* other) except -1:
    cdef const Kind* kind = kind_of(one)
    cdef const Field* ours = (<EventObject*>one).fields
    cdef const Field* theirs = (<EventObject*>other).fields
    cdef int slot
    cdef PyObject* left
    cdef PyObject* right
    for slot in range(kind.count):
        if kind.types[slot] < FIELD_TEXT:
            if ours[slot].number != theirs[slot].number:
                return False
        elif kind.types[slot] < FIELD_ACCOUNTS:
            left = ours[slot].object
            right = theirs[slot].object
            if left != right and <object>left != <object>right:
                return False
        elif list_members(one, slot) != list_members(other, slot):
            return False
    return True


cdef Py_hash_t hash_of(PyObject* item) except -1:
    """Hash the fields like a tuple (by xxHash), without creating an object for each number."""
    cdef const Kind* kind = kind_of(item)
    cdef const Field* fields = (<EventObject*>item).fields
    cdef uint64_t mixed = <uint64_t>2870177450012600261 + kind.code
    cdef uint64_t part
    cdef int slot
    for slot in range(kind.count):
        if kind.types[slot] < FIELD_TEXT:
            part = fields[slot].number
        elif kind.types[slot] < FIELD_ACCOUNTS:
            part = <uint64_t>hash(<object>fields[slot].object)
        else:
            part = <uint64_t>hash(list_members(item, slot))
        mixed += part * <uint64_t>14029467366897019727
        mixed = (mixed << 31) | (mixed >> 33)
        mixed *= <uint64_t>11400714785074694791
    mixed ^= mixed >> 32
    return <Py_hash_t>mixed if <Py_hash_t>mixed != -1 else -2


# -------------------------------------------------------------------------------------------- types

# Objects that own memory to which static types point.
cdef list kept = []


cdef const char* text_for_ever(str text) except NULL:
    cdef bytes encoded = text.encode("utf-8")
    kept.append(encoded)
    return <const char*>encoded


cdef str docstring_of(entry):
    arguments = ", ".join(
        [
            field.name if field.default is REQUIRED else f"{field.name}={field.default!r}"
            for field in entry.fields
        ]
    )
    # The first line is what inspect.signature reads.
    text = f"{entry.name}({arguments})\n--\n\n{entry.meaning}\n"
    if entry.fields:
        text += "\n" + "".join([f":param {field.name}: {field.meaning}\n" for field in entry.fields])
    return text


cdef int build_type(int code, entry) except -1:
    cdef FullType* type = <FullType*>&classes[code].type
    cdef Kind* kind = describe(code, entry)
    cdef int index
    type_init(<PyTypeObject*>type)
    type.tp_name = text_for_ever(f"fastcoord.{entry.name}")
    type.tp_doc = text_for_ever(docstring_of(entry))
    type.tp_base = <FullType*>Event
    type.tp_basicsize = sizeof(EventObject) + kind.count * sizeof(Field)
    # Final: an instance of a subclass would be larger than the memory in the pool.
    type.tp_flags = Py_TPFLAGS_DEFAULT
    type.tp_getset = <GetSet*>PyMem_Calloc(kind.count + 1, sizeof(GetSet))
    if type.tp_getset == NULL:
        raise MemoryError(f"no memory for the class {entry.name}")
    for index, field in enumerate(entry.fields):
        type.tp_getset[index].name = text_for_ever(field.name)
        type.tp_getset[index].doc = text_for_ever(field.meaning)
        type.tp_getset[index].get = get_field
        type.tp_getset[index].closure = <void*><Py_ssize_t>kind.slots[index]
    namespace = {"__match_args__": tuple([field.name for field in entry.fields])}
    type.tp_dict = new_reference(namespace)
    type.tp_new = construct_from_tuple
    type.tp_init = refuse_again
    type.tp_getattro = get_attribute
    type.tp_vectorcall = construct
    type.tp_dealloc = end_event
    PyType_Ready(type)
    kind.type = <PyTypeObject*>type
    kinds[code] = kind
    return finish_kind(code)


cdef tuple build_types():
    cdef int code
    for code, entry in enumerate(KINDS, start=1):
        build_type(code, entry)
    # All subclasses exist now, and no other may be created.
    (<FullType*>Event).tp_name = "fastcoord.Event"
    (<FullType*>Event).tp_flags &= ~Py_TPFLAGS_BASETYPE
    PyType_Modified(<FullType*>Event)
    return (None, *[<object>&classes[code].type for code in range(1, len(KINDS) + 1)])


# Indexed by code; None for code 0.
EVENT_TYPES = build_types()
globals().update({kind.__name__: kind for kind in EVENT_TYPES[1:]})
__all__ = sorted(["Event", *[kind.__name__ for kind in EVENT_TYPES[1:]]])
