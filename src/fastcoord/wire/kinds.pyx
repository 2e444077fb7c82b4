# cython: language_level=3, embedsignature=True, boundscheck=False, wraparound=False
"""The kinds of events: how the values of each are stored and written, by the table."""

from cpython.object cimport PyObject

from fastcoord.wire.fields cimport (
    FIELD_ACCOUNTS,
    FIELD_FLAG,
    FIELD_RECURRENCE,
    FIELD_TEXT,
    FIELD_U16,
    FIELD_U32,
    FIELD_U64,
    LARGEST_U16,
    LARGEST_U32,
    LARGEST_U64,
)
from fastcoord.wire.primitives cimport BYTES_U16, BYTES_U32, BYTES_U64

from fastcoord.wire.table import FIELD_TYPES, KINDS, MAX_FIELDS, MAX_KINDS, REQUIRED

cdef extern from "Python.h":
    void intern_in_place "PyUnicode_InternInPlace"(PyObject**) noexcept
    PyObject* new_reference "Py_NewRef"(object) noexcept

if MAX_KINDS != CODE_COUNT - 1 or MAX_FIELDS != FIELD_COUNT or KINDS[0].name != "StateChange":
    raise ImportError("the table of events and kinds.pxd disagree")

# Indexed by code. They live as long as the process, because static types must.
cdef Class all_classes[CODE_COUNT]
cdef const Kind* all_kinds[CODE_COUNT]
classes = &all_classes[0]
kinds = &all_kinds[0]


cdef Kind* describe(int code, entry) except NULL:
    """Fill a kind from its entry in the table."""
    cdef Kind* kind = &all_classes[code].kind
    cdef int slot, argument
    cdef dict widths = {
        FIELD_U16: (LARGEST_U16, BYTES_U16),
        FIELD_U32: (LARGEST_U32, BYTES_U32),
        FIELD_U64: (LARGEST_U64, BYTES_U64),
        FIELD_RECURRENCE: (LARGEST_U64, BYTES_U64),
    }
    wire_names = [field.name for field in entry.wire_fields]
    kind.code = code
    kind.count = len(entry.fields)
    kind.bound = 1
    for slot, field in enumerate(entry.wire_fields):
        kind.types[slot] = FIELD_TYPES.index(field.type)
        kind.largest[slot], kind.most_bytes[slot] = widths.get(kind.types[slot], (1, 0))
        # A byte has 7 bits, so an integer with one byte less than the most cannot exceed the width.
        # A word has 8 bytes.
        kind.safe_bytes[slot] = min(kind.most_bytes[slot] - 1, 8) if kind.most_bytes[slot] else 0
        kind.bound += kind.most_bytes[slot]
        if kind.types[slot] >= FIELD_TEXT:
            kind.has_objects = True
    kind.has_uints_only = all([kind.types[slot] <= FIELD_U64 for slot in range(kind.count)])
    kind.has_numbers_only = all([kind.most_bytes[slot] for slot in range(kind.count)])
    kind.has_three_numbers = kind.has_numbers_only and kind.count == 3
    kind.shape = shape_of(kind)
    for argument, field in enumerate(entry.fields):
        kind.slots[argument] = wire_names.index(field.name)
        kind.names[argument] = new_reference(field.name)
        intern_in_place(&kind.names[argument])
        kind.access[argument].name = kind.names[argument]
        kind.access[argument].slot = kind.slots[argument]
        kind.access[argument].is_uint = kind.types[kind.slots[argument]] <= FIELD_U64
        if field.default is not REQUIRED:
            kind.defaults[argument] = new_reference(field.default)
    return kind


cdef Shape shape_of(const Kind* kind) noexcept:
    if kind.has_numbers_only and kind.count <= 3:
        return <Shape>(<int>SHAPE_SIGNAL + kind.count)
    if kind.count == 1 and kind.types[0] == FIELD_FLAG:
        return SHAPE_FLAG
    if kind.count == 1 and kind.types[0] >= FIELD_ACCOUNTS:
        return SHAPE_LIST
    return SHAPE_OTHER
