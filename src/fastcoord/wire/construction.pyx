# cython: language_level=3, embedsignature=True, boundscheck=False, wraparound=False
"""Make events: check the arguments, and reuse the memory of freed events.

A field for an object is NULL while the memory of an event waits in a pool, so that an event that
cannot be completed is freed like any other.
"""

from cpython.object cimport PyObject, PyTypeObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t

from fastcoord.wire.fields cimport (
    FIELD_ACCOUNTS,
    FIELD_BYTES,
    FIELD_FLAG,
    FIELD_RECURRENCE,
    FIELD_TEXT,
    FIELD_U64,
    as_accounts,
    as_bytes,
    as_flag,
    as_items,
    as_recurrence,
    as_text,
    as_uint,
)
from fastcoord.wire.kinds cimport (
    CODE_COUNT,
    FIELD_COUNT,
    STATE_CHANGE,
    Class,
    EventObject,
    Field,
    Kind,
    classes,
    kind_of,
    small_uint,
)
from fastcoord.wire.pool cimport (
    LARGE_POOL_CAPACITY,
    SMALL_POOL_CAPACITY,
    Pool,
    pool_keep,
    pool_take,
)
from fastcoord.wire.primitives cimport likely

cdef extern from "Python.h":
    ctypedef struct SizedType "PyTypeObject":
        Py_ssize_t tp_basicsize
    Py_ssize_t vectorcall_nargs "PyVectorcall_NARGS"(size_t) noexcept
    PyObject* vectorcall_dict "PyObject_VectorcallDict"(
        PyObject*, PyObject* const*, size_t, PyObject*
    ) except NULL
    PyObject** sequence_items "PySequence_Fast_ITEMS"(PyObject*) noexcept
    void* object_malloc "PyObject_Malloc"(size_t) noexcept
    void object_free "PyObject_Free"(void*) noexcept
    PyObject* object_init "PyObject_Init"(PyObject*, PyTypeObject*) noexcept
    Py_ssize_t refcnt "Py_REFCNT"(PyObject*) noexcept
    void clear_reference "Py_CLEAR"(PyObject*) noexcept  # a macro that sets its argument to NULL
    PyObject* new_reference "Py_NewRef"(object) noexcept

cdef Pool all_pools[CODE_COUNT]
pools = &all_pools[0]
cdef PyObject* pool_memory[LARGE_POOL_CAPACITY + CODE_COUNT * SMALL_POOL_CAPACITY + 1]
cdef PyObject** unused_memory = pool_memory


# ------------------------------------------------------------------------------------------- memory


cdef int finish_kind(int code) except -1:
    """Prepare the pool of a kind whose class is complete, and its only event if it has no fields.
    """
    global unused_memory
    if classes[code].kind.count == 0:
        # All events of a kind without fields are equal, so one object is created and shared.
        classes[code].kind.signal = make_event(code)
    all_pools[code].items = unused_memory
    all_pools[code].capacity = (
        LARGE_POOL_CAPACITY if code == STATE_CHANGE else SMALL_POOL_CAPACITY
    )
    unused_memory += all_pools[code].capacity
    return 0


cdef PyObject* make_event(int code) except NULL:
    """Create an event of a kind in new memory. The caller must set its fields."""
    cdef PyTypeObject* type = &classes[code].type
    cdef PyObject* item = <PyObject*>object_malloc((<SizedType*>type).tp_basicsize)
    cdef int slot
    if item == NULL:
        raise MemoryError(f"no memory for a {(<object>type).__name__}")
    object_init(item, type)
    (<EventObject*>item).code = <uint8_t>code
    for slot in range(classes[code].kind.count):
        (<EventObject*>item).fields[slot].object = NULL
    return item


cdef void end_event(PyObject* item) noexcept:
    """The tp_dealloc of all kinds: keep the memory for the next event of the kind, or free it."""
    cdef const Kind* kind = kind_of(item)
    # Freeing the values of the fields runs no Python code: they are str, bytes, and tuples of str
    # and int.
    if kind.has_objects:
        drop_fields(kind, (<EventObject*>item).fields)
    if not pool_keep(&all_pools[kind.code], item):
        object_free(item)


cdef void drop_fields(const Kind* kind, Field* fields) noexcept:
    """Release the references that the fields own."""
    cdef int slot
    for slot in range(kind.count):
        if kind.types[slot] >= FIELD_TEXT:
            clear_reference(fields[slot].object)


# ---------------------------------------------------------------------------------------- arguments


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
            end_event(item)
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
        item = make_event(kind.code)
    try:
        for argument in range(kind.count):
            set_field(kind, argument, bound[argument], (<EventObject*>item).fields)
    except:
        end_event(item)
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
    PyTypeObject* type, PyObject* arguments, PyObject* keywords
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
