/* The memory layout of an event. It is the same for every kind. The fields have the order of their
   bytes on the wire, and the table of events defines their number. A number, a flag or a recurrence
   is a C integer. Any other field is an object, to which the event owns a reference. */

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
        /* The low three bits are the sign (0: positive, 1: zero) and a reserved one. */
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

/* Return a new int. PyLong_FromLong has a fast path for one digit, and most values have one. */
static inline PyObject* fastcoord_new_uint(uint64_t number) {
    if (number < (1u << 30)) return PyLong_FromLong((long)number);
    return PyLong_FromUnsignedLongLong(number);
}

#endif
