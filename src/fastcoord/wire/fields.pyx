# cython: language_level=3, embedsignature=True
"""Check the fields of an event, and unpack the lists of a decoded event.

A check may run any Python code (``__index__``, ``__iter__``). So the event is created only after
all its fields were checked.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_Clear, PyErr_Occurred
from cpython.long cimport PyLong_Check, PyLong_CheckExact
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_New
from libc.stdint cimport uint8_t, uint64_t

from fastcoord.wire.primitives cimport Reader, read_length, read_u32, reader_init

from fastcoord.wire.table import CACHE_ITEMS

cdef extern from "Python.h":
    long long PyLong_AsLongLong(object) noexcept
    object PyNumber_Index(object)
    # Steals the reference to the item.
    void set_item "PyTuple_SET_ITEM"(tuple, Py_ssize_t, PyObject*) noexcept
    const char* PyUnicode_AsUTF8AndSize(object, Py_ssize_t*) except NULL

if len(CACHE_ITEMS) != ITEM_COUNT or CACHE_ITEMS[ITEM_EMAIL_NEGATIVE] != "EmailNegative":
    raise ImportError("the items of the table and fields.pxd disagree")
cdef dict ITEM_MARKERS = {name: marker for marker, name in enumerate(CACHE_ITEMS)}
for _marker in range(ITEM_COUNT):
    item_names[_marker] = <PyObject*>CACHE_ITEMS[_marker]


for _number in range(SMALL_INTS):
    Py_INCREF(_number)
    small_ints[_number] = <PyObject*>_number


cdef str shown(value):
    """Return at most 60 characters for a value in a message, even if its ``repr`` fails."""
    try:
        return f"{value!r:.60}"
    except Exception:
        # For example an int with more digits than Python converts.
        return f"<{type(value).__name__}>"


cdef refuse_type(kind, str field, value, str wanted):
    raise TypeError(
        f"{kind.__name__}.{field} must be {wanted}, not {type(value).__name__} ({shown(value)})"
    )


cdef refuse_range(kind, str field, value, lowest, largest):
    raise ValueError(
        f"{kind.__name__}.{field} must be from {lowest} to {largest}, not {shown(value)}"
    )


cdef object as_integer(kind, str field, value):
    """Return the plain int of an IntFlag, an IntEnum or any object with ``__index__``."""
    # True is an int to Python, but an account id of True is a mistake in every program.
    if isinstance(value, bool) or not (PyLong_Check(value) or hasattr(value, "__index__")):
        refuse_type(kind, field, value, "an integer")
    return PyNumber_Index(value)


cdef uint64_t as_flag(kind, str field, value) except? 2:
    if not isinstance(value, bool):
        refuse_type(kind, field, value, "a bool")
    return value is True


cdef uint64_t as_recurrence(kind, str field, value) except? 1:
    """Return the bits of a recurrence id. On the wire and in memory, 0 stands for None."""
    cdef long long number
    if value is None:
        return 0
    if not PyLong_CheckExact(value):
        value = as_integer(kind, field, value)
    number = PyLong_AsLongLong(value)
    if number == -1 and PyErr_Occurred():
        PyErr_Clear()
        refuse_range(kind, field, value, -(1 << 63), (1 << 63) - 1)
    return <uint64_t>number


cdef str as_text(kind, str field, value):
    cdef Py_ssize_t size
    if type(value) is not str:
        if not isinstance(value, str):
            refuse_type(kind, field, value, "a str")
        value = str.__str__(value)
    try:
        PyUnicode_AsUTF8AndSize(value, &size)
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{kind.__name__}.{field} has no UTF-8 form: character {error.start} is a lone"
            f" surrogate ({value[error.start]!r})"
        ) from None
    return value


cdef bytes as_bytes(kind, str field, value):
    if type(value) is bytes:
        return value
    if not isinstance(value, (bytes, bytearray, memoryview)):
        refuse_type(kind, field, value, "bytes")
    # Copy through a view, because bytes() may call a method of a subclass.
    return bytes(memoryview(value))


cdef tuple as_accounts(kind, str field, value):
    cdef list accounts = []
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        refuse_type(kind, field, value, "an iterable of integers")
    for account in value:
        if PyLong_CheckExact(account):
            if PyLong_AsUnsignedLongLong(account) <= LARGEST_U32:
                accounts.append(account)
                continue
            PyErr_Clear()
        accounts.append(as_uint(kind, f"{field}[{len(accounts)}]", account, LARGEST_U32))
    return tuple(accounts)


cdef tuple as_item(kind, str field, item):
    cdef uint64_t marker
    if not isinstance(item, (tuple, list)) or len(item) == 0:
        refuse_type(kind, field, item, 'a tuple such as ("Domain", 5)')
    name = item[0]
    if not isinstance(name, str) or name not in ITEM_MARKERS:
        raise ValueError(
            f"{kind.__name__}.{field} has no item {shown(name)}; it must be one of"
            f" {', '.join(CACHE_ITEMS)}"
        )
    marker = ITEM_MARKERS[name]
    if len(item) != (3 if marker == ITEM_EMAIL_NEGATIVE else 2):
        wanted = (
            '("EmailNegative", id, local_part_hash)'
            if marker == ITEM_EMAIL_NEGATIVE
            else f'("{name}", id)'
        )
        raise ValueError(f"{kind.__name__}.{field} must be {wanted}, not {shown(item)}")
    first = as_uint(kind, field, item[1], LARGEST_U32)
    name = CACHE_ITEMS[marker]
    if marker == ITEM_EMAIL_NEGATIVE:
        return (name, first, as_uint(kind, field, item[2], LARGEST_U32))
    return (name, first)


cdef tuple as_items(kind, str field, items):
    if isinstance(items, (str, bytes)) or not hasattr(items, "__iter__"):
        refuse_type(kind, field, items, 'an iterable of tuples such as ("Domain", 5)')
    return tuple([as_item(kind, f"{field}[{index}]", item) for index, item in enumerate(items)])


# A packed list is the count and the members as on the wire, in their shortest form. Only the
# decoder creates packed lists, after it has checked every byte. So reading them again cannot fail.


cdef tuple unpack_accounts(bytes packed):
    cdef Reader reader
    cdef Py_ssize_t index
    cdef Py_ssize_t count = 0
    cdef uint64_t number = 0
    cdef tuple accounts
    reader_init(&reader, <const uint8_t*>PyBytes_AS_STRING(packed), PyBytes_GET_SIZE(packed))
    read_length(&reader, &count, 1)
    accounts = PyTuple_New(count)
    for index in range(count):
        read_u32(&reader, &number)
        set_item(accounts, index, new_uint(number, &small_ints[0]))
    return accounts


cdef tuple unpack_items(bytes packed):
    cdef Reader reader
    cdef Py_ssize_t index
    cdef Py_ssize_t count = 0
    cdef uint64_t first = 0
    cdef uint64_t second = 0
    cdef uint8_t marker
    cdef tuple item
    cdef tuple items
    reader_init(&reader, <const uint8_t*>PyBytes_AS_STRING(packed), PyBytes_GET_SIZE(packed))
    read_length(&reader, &count, 2)
    items = PyTuple_New(count)
    for index in range(count):
        marker = reader.position[0]
        reader.position += 1
        read_u32(&reader, &first)
        name = <object>item_names[marker]
        if marker == ITEM_EMAIL_NEGATIVE:
            read_u32(&reader, &second)
            item = PyTuple_New(3)
            set_item(item, 2, new_uint(second, &small_ints[0]))
        else:
            item = PyTuple_New(2)
        Py_INCREF(name)
        set_item(item, 0, <PyObject*>name)
        set_item(item, 1, new_uint(first, &small_ints[0]))
        Py_INCREF(item)  # the tuple steals a reference
        set_item(items, index, <PyObject*>item)
    return items
