# cython: language_level=3
from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport uint8_t, uint64_t

# The sizes are MAX_KINDS + 1 and MAX_FIELDS of the table. STATE_CHANGE has special loops.
cdef enum:
    NO_KIND = 0
    STATE_CHANGE = 1
    CODE_COUNT = 64
    FIELD_COUNT = 8

cdef extern from "fastcoord/wire/event.h":
    ctypedef union Field "FastcoordField":
        uint64_t number
        PyObject* object
    ctypedef struct EventObject "FastcoordEvent":
        uint8_t code
        Field* fields
    void type_init "fastcoord_type_init"(PyTypeObject* type) noexcept
    bint small_uint "fastcoord_small_uint"(PyObject* value, uint64_t* number) noexcept
    uint64_t u32_of "fastcoord_u32_of"(PyObject* value) noexcept
    PyObject* new_uint "fastcoord_new_uint"(uint64_t number, PyObject** small_ints) noexcept

# What the fields of a kind are. One branch on it replaces several that are hard to predict where
# events of many kinds follow each other.
cdef enum Shape:
    SHAPE_SIGNAL            # no field
    SHAPE_ONE_NUMBER
    SHAPE_TWO_NUMBERS
    SHAPE_THREE_NUMBERS
    SHAPE_FLAG              # one flag
    SHAPE_LIST              # one list
    SHAPE_OTHER

# What reading a field needs.
cdef struct Access:
    PyObject* name                      # interned; NULL behind the last
    uint8_t slot
    bint is_uint

# How the values of a kind are stored and written. The index `slot` is the position on the wire and
# in memory. The index `argument` is the position among the arguments.
cdef struct Kind:
    PyTypeObject* type
    int code
    PyObject* signal                    # the only event of a kind without fields, or NULL; owned
    int count
    Shape shape
    bint has_objects
    bint has_uints_only
    bint has_numbers_only               # integers of any type, no flag
    bint has_three_numbers
    Py_ssize_t bound                    # the most bytes of the tag and of all fields but objects
    uint8_t types[FIELD_COUNT]          # a FieldType, by slot
    uint64_t largest[FIELD_COUNT]       # of a number, by slot
    uint8_t most_bytes[FIELD_COUNT]     # of a number, by slot
    uint8_t safe_bytes[FIELD_COUNT]     # an integer of so many bytes cannot exceed the width
    uint8_t slots[FIELD_COUNT]          # by argument
    # These references are owned and never released. Names are interned.
    PyObject* names[FIELD_COUNT]        # by argument
    PyObject* defaults[FIELD_COUNT]     # by argument, NULL where there is none
    Access access[FIELD_COUNT + 1]      # by argument

# A class and its kind, so that each leads to the other.
cdef struct Class:
    PyTypeObject type
    Kind kind

# By code; they point to arrays of the module.
cdef const Kind** kinds             # NULL for a code without a class
cdef Class* classes

cdef Kind* describe(int code, entry) except NULL

cdef extern from "Python.h":
    PyTypeObject* type_at "Py_TYPE"(PyObject*) noexcept

cdef inline const Kind* kind_of(PyObject* item) noexcept:
    return &(<Class*>type_at(item)).kind
