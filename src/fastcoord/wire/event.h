/* The memory layout of an event. It is the same for every kind. The fields have the order of their
   bytes on the wire, and the table of events defines how many a kind has. A number, a flag or a
   recurrence is a C integer. Any other field is an object, to which the event owns a reference. */

#ifndef FASTCOORD_EVENT_H
#define FASTCOORD_EVENT_H

#include <Python.h>
#include <stdint.h>

#if defined(__GNUC__)
#define FASTCOORD_LIKELY(condition) __builtin_expect(!!(condition), 1)
#else
#define FASTCOORD_LIKELY(condition) (condition)
#endif

typedef union {
    uint64_t number;
    PyObject* object;
} FastcoordField;

typedef struct {
    PyObject_HEAD
    uint8_t code;              /* the kind, never 0; not changed while the memory is in a pool */
    FastcoordField fields[];
} FastcoordEvent;

/* Initialize a type object like a static definition. PyType_Ready sets the other members. */
static inline void fastcoord_type_init(PyTypeObject* type) {
    static const PyTypeObject empty = {PyVarObject_HEAD_INIT(NULL, 0)};
    *type = empty;
}

/* Read an exact int of at most two digits (below 2**60) without a call. Return 0 for others. */
static inline int fastcoord_small_uint(PyObject* value, uint64_t* number) {
    if (!PyLong_CheckExact(value)) return 0;
#if PY_VERSION_HEX >= 0x030C0000
    {
        const PyLongObject* integer = (const PyLongObject*)value;
        uintptr_t tag = integer->long_value.lv_tag;
        /* The low two bits are the sign (0: positive, 1: zero, 2: negative). The third bit is
           reserved. */
        if (tag >> 3 <= 1) {
            if ((tag & 3) == 2) return 0;
            *number = integer->long_value.ob_digit[0];
            return 1;
        }
#if PYLONG_BITS_IN_DIGIT == 30
        if (tag >> 3 == 2 && (tag & 3) == 0) {
            *number = (uint64_t)integer->long_value.ob_digit[1] << 30
                | integer->long_value.ob_digit[0];
            return 1;
        }
#endif
        return 0;
    }
#else
    switch (Py_SIZE(value)) {
    case 0:
        *number = 0;
        return 1;
    case 1:
        *number = ((PyLongObject*)value)->ob_digit[0];
        return 1;
#if PYLONG_BITS_IN_DIGIT == 30
    case 2:
        *number = (uint64_t)((PyLongObject*)value)->ob_digit[1] << 30
            | ((PyLongObject*)value)->ob_digit[0];
        return 1;
#endif
    default:
        return 0;
    }
#endif
}

/* Return the value of an exact int, which must be a u32. */
static inline uint64_t fastcoord_u32_of(PyObject* value) {
#if PY_VERSION_HEX >= 0x030C0000
    if (FASTCOORD_LIKELY(PyUnstable_Long_IsCompact((PyLongObject*)value)))
        return (uint64_t)PyUnstable_Long_CompactValue((PyLongObject*)value);
#else
    if (FASTCOORD_LIKELY(Py_SIZE(value) == 1)) return ((PyLongObject*)value)->ob_digit[0];
#endif
    return PyLong_AsUnsignedLong(value);
}

/* The count of the ints from 0 to 256; Python has only one object for each of them. */
#define FASTCOORD_SMALL_INTS 257

/* Whether fastcoord_new_uint makes ints without Python's functions. Up to Python 3.13,
   PyLong_FromLong spends most of its time on calls; from 3.14 on, it reuses the memory of freed
   ints. In a debug build Python's functions also count the objects, so they must be used there. */
#if PY_VERSION_HEX < 0x030E0000 && PYLONG_BITS_IN_DIGIT == 30 \
    && !defined(Py_REF_DEBUG) && !defined(Py_TRACE_REFS) && !defined(Py_GIL_DISABLED)
#define FASTCOORD_MAKES_INTS 1
#else
#define FASTCOORD_MAKES_INTS 0
#endif

/* Return a new reference to an int, or NULL with an exception set. */
static inline PyObject* fastcoord_new_uint(uint64_t number, PyObject* const* small_ints) {
    if (number < FASTCOORD_SMALL_INTS) return Py_NewRef(small_ints[number]);
#if FASTCOORD_MAKES_INTS
    if (FASTCOORD_LIKELY(number >> 60 == 0)) {
        /* Memory for two digits, which is as much as Python's allocator takes for one. */
        PyLongObject* value = (PyLongObject*)PyObject_Malloc(sizeof(PyLongObject) + sizeof(digit));
        Py_ssize_t digits = number >> 30 ? 2 : 1;
        digit* first;
        if (value == NULL) return PyErr_NoMemory();
        /* Py_SET_REFCNT of 3.12 and 3.13 would read what the memory held before, and keep it if it
           looks like the count of an immortal object. */
        ((PyObject*)value)->ob_refcnt = 1;
        Py_SET_TYPE((PyObject*)value, &PyLong_Type);
#if PY_VERSION_HEX >= 0x030C0000
        value->long_value.lv_tag = (uintptr_t)digits << 3;
        first = value->long_value.ob_digit;
#else
        Py_SET_SIZE((PyVarObject*)value, digits);
        first = value->ob_digit;
#endif
        first[0] = (digit)(number & ((1u << 30) - 1));
        first[1] = (digit)(number >> 30);
        return (PyObject*)value;
    }
#endif
    return PyLong_FromUnsignedLongLong(number);
}

#endif
