# cython: language_level=3, embedsignature=True, boundscheck=False, wraparound=False
"""The event types: small immutable values, built from the table when this module is imported.

An event checks its fields once, when it is created, so that encoding cannot fail later. All kinds
have the same memory layout (``event.h``). The table defines the fields of each kind.

A field for an object is NULL while the memory of an event waits in a pool, so that an event that
cannot be completed is freed like any other.
"""

from cpython.bytes cimport PyBytes_CheckExact
from cpython.mem cimport PyMem_Calloc
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint64_t

from fastcoord.wire.fields cimport (
    FIELD_ACCOUNTS,
    FIELD_BYTES,
    FIELD_FLAG,
    FIELD_RECURRENCE,
    FIELD_TEXT,
    FIELD_U16,
    FIELD_U32,
    FIELD_U64,
    LARGEST_U16,
    LARGEST_U32,
    LARGEST_U64,
    as_accounts,
    as_bytes,
    as_flag,
    as_items,
    as_recurrence,
    as_text,
    as_uint,
    small_ints,
    unpack_accounts,
    unpack_items,
)
from fastcoord.wire.pool cimport (
    LARGE_POOL_CAPACITY,
    SMALL_POOL_CAPACITY,
    Pool,
    destructor,
    owned,
    pool_keep,
    pool_take,
)
from fastcoord.wire.primitives cimport BYTES_U16, BYTES_U32, BYTES_U64, likely

from fastcoord.wire.table import FIELD_TYPES, KINDS, MAX_FIELDS, MAX_KINDS, REQUIRED

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
        PyObject* (*tp_new)(FullType*, PyObject*, PyObject*) except NULL
        int (*tp_init)(PyObject*, PyObject*, PyObject*) except -1
        PyObject* (*tp_getattro)(PyObject*, PyObject*) except NULL
        PyObject* (*tp_vectorcall)(PyObject*, PyObject* const*, size_t, PyObject*) except NULL
    const unsigned long Py_TPFLAGS_DEFAULT
    const unsigned long Py_TPFLAGS_BASETYPE
    Py_ssize_t vectorcall_nargs "PyVectorcall_NARGS"(size_t) noexcept
    int PyType_Ready(FullType*) except -1
    void PyType_Modified(FullType*) noexcept
    # Returns NULL after an error, which get_attribute passes on without a traceback of its own.
    PyObject* generic_getattr "PyObject_GenericGetAttr"(PyObject*, PyObject*) noexcept
    PyObject* vectorcall_dict "PyObject_VectorcallDict"(
        PyObject*, PyObject* const*, size_t, PyObject*
    ) except NULL
    PyObject** sequence_items "PySequence_Fast_ITEMS"(PyObject*) noexcept
    void* object_malloc "PyObject_Malloc"(size_t) noexcept
    void object_free "PyObject_Free"(void*) noexcept
    PyObject* object_init "PyObject_Init"(PyObject*, FullType*) noexcept
    Py_ssize_t refcnt "Py_REFCNT"(PyObject*) noexcept
    void clear_reference "Py_CLEAR"(PyObject*) noexcept  # a macro that sets its argument to NULL
    void intern_in_place "PyUnicode_InternInPlace"(PyObject**) noexcept
    PyObject* new_reference "Py_NewRef"(object) noexcept

# A class and its kind, so that each leads to the other.
cdef struct Class:
    FullType type
    Kind kind

# Indexed by code. They live as long as the process, because static types must.
cdef Class classes[CODE_COUNT]
cdef const Kind* all_kinds[CODE_COUNT]
cdef Pool all_pools[CODE_COUNT]
cdef PyObject** ints
cdef PyObject* pool_memory[LARGE_POOL_CAPACITY + CODE_COUNT * SMALL_POOL_CAPACITY + 1]


cdef inline const Kind* kind_of(PyObject* item) noexcept:
    return &(<Class*>type_at(item)).kind


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
                for name, value in zip(type(self).__match_args__, values(self))
            ]
        )
        return f"{type(self).__name__}({fields})"

    def __eq__(self, other):
        if type(self) is not type(other):
            return NotImplemented
        return is_equal(self, <Event>other)

    def __hash__(self):
        return hash_of(self)

    def __reduce__(self):
        return (type(self), values(self))

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self


# ----------------------------------------------------------------------------------------- reading


cdef tuple list_members(Event event, int slot):
    """Return the members of a list. A decoded list is packed until the first call."""
    cdef Field* field = &content(event).fields[slot]
    held = <object>field.object
    if not PyBytes_CheckExact(held):
        return <tuple>held
    if kind_of(<PyObject*>event).types[slot] == FIELD_ACCOUNTS:
        members = unpack_accounts(<bytes>held)
    else:
        members = unpack_items(<bytes>held)
    # Creating tuples may have run the garbage collector, and so a finalizer that unpacked this
    # field.
    if field.object == <PyObject*>held:
        Py_INCREF(members)
        field.object = <PyObject*>members
        Py_DECREF(held)  # the reference of the field, not that of this function
    return members


cdef object field_value(PyObject* item, int slot):
    cdef Field field = (<EventObject*>item).fields[slot]
    cdef int kind = kind_of(item).types[slot]
    if kind <= FIELD_U64:
        return owned(new_uint(field.number, ints))
    elif kind == FIELD_TEXT or kind == FIELD_BYTES:
        return <object>field.object
    elif kind == FIELD_FLAG:
        return field.number != 0
    elif kind == FIELD_RECURRENCE:
        return <int64_t>field.number if field.number != 0 else None
    return list_members(<Event><object>item, slot)


cdef tuple values(Event event):
    """Return the values of all fields, in the order of the arguments."""
    cdef const Kind* kind = kind_of(<PyObject*>event)
    return tuple(
        [field_value(<PyObject*>event, kind.slots[argument]) for argument in range(kind.count)]
    )


cdef PyObject* get_attribute(PyObject* item, PyObject* name) except NULL:
    """The tp_getattro of all kinds.

    Attribute names in Python code are interned, like the names of the fields. So comparing
    identities finds the field.
    """
    cdef const Access* access = &kind_of(item).access[0]
    while access.name != NULL:
        if access.name == name:
            if access.is_uint:
                # NULL after an error, without a traceback of this function.
                return new_uint((<EventObject*>item).fields[access.slot].number, ints)
            return get_field(item, <void*><Py_ssize_t>access.slot)
        access += 1
    return generic_getattr(item, name)


cdef PyObject* get_field(PyObject* item, void* slot) except NULL:
    """The getter of the descriptors of all kinds, for callers that do not use tp_getattro."""
    return new_reference(field_value(item, <int><Py_ssize_t>slot))


# --------------------------------------------------------------------------------- equality and hash


cdef bint is_equal(Event one, Event other) except -1:
    cdef const Kind* kind = kind_of(<PyObject*>one)
    cdef int slot
    cdef PyObject* mine
    cdef PyObject* theirs
    for slot in range(kind.count):
        if kind.types[slot] < FIELD_TEXT:
            if content(one).fields[slot].number != content(other).fields[slot].number:
                return False
        elif kind.types[slot] < FIELD_ACCOUNTS:
            mine = content(one).fields[slot].object
            theirs = content(other).fields[slot].object
            if mine != theirs and <object>mine != <object>theirs:
                return False
        elif list_members(one, slot) != list_members(other, slot):
            return False
    return True


cdef Py_hash_t hash_of(Event event) except -1:
    """Hash the fields like a tuple (by xxHash), without creating an object for each number."""
    cdef const Kind* kind = kind_of(<PyObject*>event)
    cdef uint64_t mixed = <uint64_t>2870177450012600261 + code_of(event)
    cdef uint64_t part
    cdef int slot
    for slot in range(kind.count):
        if kind.types[slot] < FIELD_TEXT:
            part = content(event).fields[slot].number
        elif kind.types[slot] < FIELD_ACCOUNTS:
            part = <uint64_t>hash(<object>content(event).fields[slot].object)
        else:
            part = <uint64_t>hash(list_members(event, slot))
        mixed += part * <uint64_t>14029467366897019727
        mixed = (mixed << 31) | (mixed >> 33)
        mixed *= <uint64_t>11400714785074694791
    mixed ^= mixed >> 32
    return <Py_hash_t>mixed if <Py_hash_t>mixed != -1 else -2


# ------------------------------------------------------------------------------------------- making


cdef int set_field(
    const Kind* kind, int argument, PyObject* value, Field* fields
) except -1:
    """Check one argument and store it: a number, or a reference that the fields then own."""
    cdef int slot = kind.slots[argument]
    cdef int type = kind.types[slot]
    cls = <object>kind.type
    name = <str>kind.names[argument]
    if type <= FIELD_U64:
        fields[slot].number = as_uint(cls, name, <object>value, kind.largest[slot])
        return 0
    if type == FIELD_RECURRENCE:
        fields[slot].number = as_recurrence(cls, name, <object>value)
        return 0
    if type == FIELD_FLAG:
        fields[slot].number = as_flag(cls, name, <object>value)
        return 0
    if type == FIELD_TEXT:
        checked = as_text(cls, name, <object>value)
    elif type == FIELD_BYTES:
        checked = as_bytes(cls, name, <object>value)
    elif type == FIELD_ACCOUNTS:
        checked = as_accounts(cls, name, <object>value)
    else:
        checked = as_items(cls, name, <object>value)
    fields[slot].object = new_reference(checked)
    return 0


cdef void drop_fields(const Kind* kind, Field* fields) noexcept:
    """Release the references that the fields own."""
    cdef int slot
    for slot in range(kind.count):
        if kind.types[slot] >= FIELD_TEXT:
            clear_reference(fields[slot].object)


cdef int bind(
    const Kind* kind, PyObject* const* arguments, Py_ssize_t given, PyObject* keywords, PyObject** bound
) except -1:
    """Order arguments by position, as a Python function does. References stay borrowed."""
    cdef int argument
    cdef bint is_missing = False
    if given > kind.count:
        refuse_count(kind, given)
    for argument in range(kind.count):
        bound[argument] = arguments[argument] if argument < given else NULL
    if keywords != NULL:
        bind_keywords(kind, arguments + given, keywords, bound)
    for argument in range(kind.count):
        if bound[argument] == NULL:
            bound[argument] = kind.defaults[argument]
            is_missing |= bound[argument] == NULL
    if is_missing:
        refuse_missing(kind, bound)
    return 0


cdef int bind_keywords(
    const Kind* kind, PyObject* const* values, PyObject* keywords, PyObject** bound
) except -1:
    cdef Py_ssize_t index
    cdef int argument
    for index in range(PyTuple_GET_SIZE(<object>keywords)):
        name = <object>PyTuple_GET_ITEM(<object>keywords, index)
        for argument in range(kind.count):
            if name == <object>kind.names[argument]:
                break
        else:
            raise TypeError(f"{(<object>kind.type).__name__}() has no argument {name!r}")
        if bound[argument] != NULL:
            raise TypeError(
                f"{(<object>kind.type).__name__}() got two values for the argument {name!r}"
            )
        bound[argument] = values[index]
    return 0


cdef int refuse_count(const Kind* kind, Py_ssize_t given) except -1:
    raise TypeError(
        f"{(<object>kind.type).__name__}() takes at most {kind.count} arguments"
        f" ({', '.join(names_of(kind)) or 'none'}), not {given}"
    )


cdef int refuse_missing(const Kind* kind, PyObject* const* bound) except -1:
    cdef int argument
    missing = []
    for argument in range(kind.count):
        if bound[argument] == NULL:
            missing.append(repr(<object>kind.names[argument]))
    raise TypeError(
        f"{(<object>kind.type).__name__}() lacks the argument{'s' if len(missing) > 1 else ''}"
        f" {', '.join(missing)}"
    )


cdef list names_of(const Kind* kind):
    return [<object>kind.names[argument] for argument in range(kind.count)]


cdef inline bint are_in_order(const Kind* kind, Py_ssize_t given, PyObject* keywords) noexcept:
    """Return whether the keywords name all arguments from ``given`` on, in the same order."""
    cdef Py_ssize_t index
    if given + PyTuple_GET_SIZE(<object>keywords) != kind.count:
        return False
    for index in range(kind.count - given):
        if PyTuple_GET_ITEM(<object>keywords, index) != kind.names[given + index]:
            return False
    return True


cdef PyObject* construct(
    PyObject* type, PyObject* const* arguments, size_t flags, PyObject* keywords
) except NULL:
    """The tp_vectorcall of all kinds."""
    cdef const Kind* kind = &(<Class*>type).kind
    cdef Py_ssize_t given = vectorcall_nargs(flags)
    cdef PyObject* item
    if kind.has_uints_only and (
        given == kind.count if keywords == NULL else are_in_order(kind, given, keywords)
    ):
        item = pool_take(&all_pools[kind.code])
        if likely(item != NULL):
            if likely(set_small(kind, arguments, (<EventObject*>item).fields)):
                return item
            end(item)
    return construct_any(kind, arguments, given, keywords)


cdef PyObject* construct_any(
    const Kind* kind, PyObject* const* arguments, Py_ssize_t given, PyObject* keywords
) except NULL:
    """Make an event of any arguments, or raise the error that says what is wrong with them.

    The checks may run any Python code, but none of it can see the event: this function has the only
    reference, and events are not known to the garbage collector.
    """
    cdef PyObject* bound[FIELD_COUNT]
    cdef PyObject* item
    cdef int argument
    bind(kind, arguments, given, keywords, bound)
    if kind.signal != NULL:
        return new_reference(<object>kind.signal)
    item = pool_take(&all_pools[kind.code])
    if item == NULL:
        item = allocate(kind.code)
    try:
        for argument in range(kind.count):
            set_field(kind, argument, bound[argument], (<EventObject*>item).fields)
    except:
        end(item)
        raise
    return item


cdef inline bint set_small(const Kind* kind, PyObject* const* arguments, Field* fields) noexcept:
    """Store arguments that are all small ints in their range; return False if one is not."""
    cdef int argument, slot
    cdef uint64_t number = 0
    if kind.has_three_numbers:
        return likely(
            small_uint(arguments[0], &fields[kind.slots[0]].number)
            and small_uint(arguments[1], &fields[kind.slots[1]].number)
            and small_uint(arguments[2], &fields[kind.slots[2]].number)
            and fields[0].number <= kind.largest[0]
            and fields[1].number <= kind.largest[1]
            and fields[2].number <= kind.largest[2]
        )
    for argument in range(kind.count):
        slot = kind.slots[argument]
        if not likely(small_uint(arguments[argument], &number) and number <= kind.largest[slot]):
            return False
        fields[slot].number = number
    return True


cdef PyObject* construct_from_tuple(
    FullType* type, PyObject* arguments, PyObject* keywords
) except NULL:
    """The tp_new of all kinds, for callers of ``__new__``."""
    return vectorcall_dict(
        <PyObject*>type,
        sequence_items(arguments),
        <size_t>PyTuple_GET_SIZE(<object>arguments),
        keywords,
    )


cdef int refuse_again(PyObject* item, PyObject* arguments, PyObject* keywords) except -1:
    """The tp_init of all kinds: ``__new__`` has set the fields, and nothing may set them again."""
    # type.__call__ passes the only reference to a new event, or the one event of a kind without
    # fields.
    if refcnt(item) == 1 or kind_of(item).signal == item:
        return 0
    raise TypeError(f"{type(<object>item).__name__} is immutable")


# ------------------------------------------------------------------------------------------- memory


cdef PyObject* allocate(int code) except NULL:
    """Create an event of a kind in new memory. The caller must set its fields."""
    cdef FullType* type = &classes[code].type
    cdef PyObject* item = <PyObject*>object_malloc(type.tp_basicsize)
    cdef int slot
    if item == NULL:
        raise MemoryError(f"no memory for a {(<object>type).__name__}")
    object_init(item, type)
    (<EventObject*>item).code = <uint8_t>code
    for slot in range(classes[code].kind.count):
        (<EventObject*>item).fields[slot].object = NULL
    return item


cdef void end(PyObject* item) noexcept:
    """The tp_dealloc of all kinds: keep the memory for the next event of the kind, or free it."""
    cdef const Kind* kind = kind_of(item)
    # Freeing the values of the fields runs no Python code: they are str, bytes, and tuples of str
    # and int.
    if kind.has_objects:
        drop_fields(kind, (<EventObject*>item).fields)
    if not pool_keep(&all_pools[kind.code], item):
        object_free(item)


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


cdef int describe(Kind* kind, int code, entry) except -1:
    """Fill a kind from its entry in the table."""
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
    return 0


cdef Shape shape_of(const Kind* kind) noexcept:
    if kind.has_numbers_only and kind.count <= 3:
        return <Shape>(<int>SHAPE_SIGNAL + kind.count)
    if kind.count == 1 and kind.types[0] == FIELD_FLAG:
        return SHAPE_FLAG
    if kind.count == 1 and kind.types[0] >= FIELD_ACCOUNTS:
        return SHAPE_LIST
    return SHAPE_OTHER


cdef int build_type(int code, entry) except -1:
    cdef FullType* type = &classes[code].type
    cdef Kind* kind = &classes[code].kind
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
    type.tp_dealloc = end
    PyType_Ready(type)
    kind.type = <PyTypeObject*>type
    all_kinds[code] = kind
    return 0


cdef tuple build_types():
    cdef int code
    cdef PyObject** memory = pool_memory
    if MAX_KINDS != CODE_COUNT - 1 or MAX_FIELDS != FIELD_COUNT or KINDS[0].name != "StateChange":
        raise ImportError("the table of events and events.pxd disagree")
    for code, entry in enumerate(KINDS, start=1):
        describe(&classes[code].kind, code, entry)
        build_type(code, entry)
        if classes[code].kind.count == 0:
            # All events of a kind without fields are equal, so one object is created and shared.
            classes[code].kind.signal = allocate(code)
        all_pools[code].items = memory
        all_pools[code].capacity = (
            LARGE_POOL_CAPACITY if code == STATE_CHANGE else SMALL_POOL_CAPACITY
        )
        memory += all_pools[code].capacity
    # All subclasses exist now, and no other may be created.
    (<FullType*>Event).tp_name = "fastcoord.Event"
    (<FullType*>Event).tp_flags &= ~Py_TPFLAGS_BASETYPE
    PyType_Modified(<FullType*>Event)
    return (None, *[<object>&classes[code].type for code in range(1, len(KINDS) + 1)])


ints = &small_ints[0]
kinds = &all_kinds[0]
pools = &all_pools[0]
end_event = end
make_event = allocate
# Indexed by code; None for code 0.
EVENT_TYPES = build_types()
globals().update({kind.__name__: kind for kind in EVENT_TYPES[1:]})
__all__ = sorted(["Event", *[kind.__name__ for kind in EVENT_TYPES[1:]]])
