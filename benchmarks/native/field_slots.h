/* A StateChange whose fields are Python objects in slots, which the interpreter reads without a call:
   a prototype to measure against the events of the package, which hold C integers.

   There are two classes. They differ in what happens to the ints that the decoder made, when their
   event is freed and nothing else refers to them: they are freed as well, or they stay with the
   memory of the event in the pool and the decoder changes their value. */

#ifndef FIELD_SLOTS_H
#define FIELD_SLOTS_H

#include <Python.h>
#include <stddef.h>
#include <structmember.h>

#include "fastcoord/wire/primitives.h"

/* In the order of the wire. */
enum { SLOT_CHANGE, SLOT_TYPES, SLOT_ACCOUNT, SLOT_COUNT };

typedef struct {
    PyObject_HEAD
    PyObject* fields[SLOT_COUNT];   /* exact ints, owned; in the pool only the kept ones */
    uint8_t kept;                   /* a bit for each int of two digits that the decoder made */
} SlotsEvent;

typedef struct {
    PyTypeObject type;
    int keeps;
    FastcoordPool pool;
    PyObject* memory[FASTCOORD_POOL_CAPACITY + 1];
} SlotsClass;

/* Makes an event of any arguments, or raises the error that says what is wrong with them. */
typedef PyObject* (*SlotsFallback)(PyObject*, PyObject* const*, Py_ssize_t, PyObject*);

static SlotsClass slots_freeing, slots_keeping;
static SlotsFallback slots_fallback;
static PyObject* slots_names[SLOT_COUNT];   /* by argument, interned */

static PyMemberDef slots_members[] = {
    {"account_id", T_OBJECT_EX, offsetof(SlotsEvent, fields[SLOT_ACCOUNT]), READONLY, NULL},
    {"change_id", T_OBJECT_EX, offsetof(SlotsEvent, fields[SLOT_CHANGE]), READONLY, NULL},
    {"types", T_OBJECT_EX, offsetof(SlotsEvent, fields[SLOT_TYPES]), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

/* Release an exact int. Python's own operations free an int in the same way. */
static inline void slots_drop(PyObject* value) {
#if FASTCOORD_MAKES_INTS
    if (Py_REFCNT(value) == 1) {
        PyObject_Free(value);
        return;
    }
#endif
    Py_DECREF(value);
}

/* Return an event whose fields the caller must set. */
static inline SlotsEvent* slots_take(SlotsClass* cls) {
    SlotsEvent* event = (SlotsEvent*)fastcoord_pool_take(&cls->pool);
    if (FASTCOORD_LIKELY(event != NULL)) return event;
    event = (SlotsEvent*)PyObject_Malloc(sizeof(SlotsEvent));
    if (event == NULL) return (SlotsEvent*)PyErr_NoMemory();
    PyObject_Init((PyObject*)event, &cls->type);
    event->kept = 0;
    return event;
}

static void slots_end_freeing(PyObject* item) {
    SlotsEvent* event = (SlotsEvent*)item;
    slots_drop(event->fields[0]);
    slots_drop(event->fields[1]);
    slots_drop(event->fields[2]);
    if (!fastcoord_pool_keep(&slots_freeing.pool, item)) PyObject_Free(item);
}

static void slots_end_keeping(PyObject* item) {
    SlotsEvent* event = (SlotsEvent*)item;
    int is_pooled = fastcoord_pool_keep(&slots_keeping.pool, item);
    int kept = is_pooled ? event->kept : 0;
    int slot;
    for (slot = 0; slot < SLOT_COUNT; slot++) {
        PyObject* value = event->fields[slot];
        if (kept >> slot & 1) {
            if (FASTCOORD_LIKELY(Py_REFCNT(value) == 1)) continue;
            kept &= ~(1 << slot);
        }
        slots_drop(value);
    }
    event->kept = (uint8_t)kept;
    if (!is_pooled) PyObject_Free(item);
}

/* Set a field of a new event that does not come from the decoder. */
static inline void slots_store(SlotsEvent* event, int slot, PyObject* value) {
    if (event->kept >> slot & 1) {
        event->kept &= (uint8_t)~(1 << slot);
        slots_drop(event->fields[slot]);
    }
    event->fields[slot] = Py_NewRef(value);
}

static inline int slots_are_in_order(Py_ssize_t given, PyObject* keywords) {
    Py_ssize_t index;
    if (given + PyTuple_GET_SIZE(keywords) != SLOT_COUNT) return 0;
    for (index = 0; given + index < SLOT_COUNT; index++)
        if (PyTuple_GET_ITEM(keywords, index) != slots_names[given + index]) return 0;
    return 1;
}

/* The tp_vectorcall of both classes. */
static PyObject* slots_construct(
    PyObject* type, PyObject* const* arguments, size_t flags, PyObject* keywords
) {
    Py_ssize_t given = PyVectorcall_NARGS(flags);
    uint64_t account, change, types;
    if ((keywords == NULL ? given == SLOT_COUNT : slots_are_in_order(given, keywords))
        && FASTCOORD_LIKELY(
            fastcoord_small_uint(arguments[0], &account)
            && fastcoord_small_uint(arguments[1], &change)
            && fastcoord_small_uint(arguments[2], &types)
            && account <= UINT32_MAX
        )) {
        SlotsEvent* event = slots_take((SlotsClass*)type);
        if (event == NULL) return NULL;
        slots_store(event, SLOT_ACCOUNT, arguments[0]);
        slots_store(event, SLOT_CHANGE, arguments[1]);
        slots_store(event, SLOT_TYPES, arguments[2]);
        return (PyObject*)event;
    }
    return slots_fallback(type, arguments, given, keywords);
}

static int slots_class_init(SlotsClass* cls, int keeps) {
    fastcoord_type_init(&cls->type);
    cls->keeps = keeps;
    cls->pool.items = cls->memory;
    cls->pool.capacity = FASTCOORD_POOL_CAPACITY;
    cls->type.tp_name = "StateChange";
    cls->type.tp_basicsize = sizeof(SlotsEvent);
    cls->type.tp_flags = Py_TPFLAGS_DEFAULT;
    cls->type.tp_members = slots_members;
    cls->type.tp_getattro = PyObject_GenericGetAttr;
    cls->type.tp_vectorcall = (vectorcallfunc)slots_construct;
    cls->type.tp_dealloc = keeps ? slots_end_keeping : slots_end_freeing;
    return PyType_Ready(&cls->type);
}

/* Set a field to a decoded number. Return 0 with an exception set if there is no memory; the field
   then has another value. */
static inline int slots_set(
    SlotsEvent* event, int slot, uint64_t number, int keeps, PyObject* const* small_ints
) {
    int has_memory = keeps && (event->kept >> slot & 1);
    PyObject* value;
#if FASTCOORD_MAKES_INTS
    int fits = number >= FASTCOORD_SMALL_INTS && number >> 60 == 0;
    if (has_memory && FASTCOORD_LIKELY(fits)) {
        PyLongObject* held = (PyLongObject*)event->fields[slot];
        digit* first;
#if PY_VERSION_HEX >= 0x030C0000
        held->long_value.lv_tag = (uintptr_t)(number >> 30 ? 2 : 1) << 3;
        first = held->long_value.ob_digit;
#else
        Py_SET_SIZE((PyVarObject*)held, number >> 30 ? 2 : 1);
        first = held->ob_digit;
#endif
        first[0] = (digit)(number & ((1u << 30) - 1));
        first[1] = (digit)(number >> 30);
        return 1;
    }
#else
    int fits = 0;
#endif
    if (has_memory) {
        event->kept &= (uint8_t)~(1 << slot);
        slots_drop(event->fields[slot]);
    }
    value = fastcoord_new_uint(number, small_ints);
    if (!FASTCOORD_LIKELY(value != NULL)) {
        event->fields[slot] = Py_NewRef(small_ints[0]);
        return 0;
    }
    event->fields[slot] = value;
    if (keeps && fits) event->kept |= (uint8_t)(1 << slot);
    return 1;
}

static inline int slots_set_three(
    SlotsEvent* event, uint64_t change, uint64_t types, uint64_t account, int keeps,
    PyObject* const* small_ints
) {
    return slots_set(event, SLOT_CHANGE, change, keeps, small_ints)
        & slots_set(event, SLOT_TYPES, types, keeps, small_ints)
        & slots_set(event, SLOT_ACCOUNT, account, keeps, small_ints);
}

/* Return a new event of decoded numbers. */
static inline PyObject* slots_decoded(
    SlotsClass* cls, uint64_t change, uint64_t types, uint64_t account,
    PyObject* const* small_ints
) {
    SlotsEvent* event = slots_take(cls);
    if (event != NULL && !slots_set_three(event, change, types, account, cls->keeps, small_ints))
        Py_CLEAR(event);
    return (PyObject*)event;
}

#ifdef FASTCOORD_BMI2

/* These two loops are those of wire/x86.h, with objects in place of numbers. */

FASTCOORD_BMI2 static Py_ssize_t slots_put_records(
    uint8_t** position, const uint8_t* last, PyObject** items, Py_ssize_t count,
    const void* type, uint8_t tag
) {
    uint8_t* target = *position;
    Py_ssize_t index = 0;
    while (index < count && target <= last) {
        const SlotsEvent* event = (const SlotsEvent*)items[index];
        uint64_t first, second, third;
        if ((const void*)Py_TYPE((PyObject*)event) != type) break;
        if (!FASTCOORD_LIKELY(
            fastcoord_small_uint(event->fields[0], &first)
            && fastcoord_small_uint(event->fields[1], &second)
            && fastcoord_small_uint(event->fields[2], &third)
            && ((first | second) >> 56) == 0
        )) break;
        *target = tag;
        target = fastcoord_put_bmi2(target + 1, first);
        target = fastcoord_put_bmi2(target, second);
        target = fastcoord_put_bmi2(target, third);
        index++;
    }
    *position = target;
    return index;
}

FASTCOORD_BMI2 static inline Py_ssize_t slots_take_records_of(
    const uint8_t** position, const uint8_t* end, PyObject** target, Py_ssize_t count,
    uint8_t tag, FastcoordPool* pool, int keeps, PyObject* const* small_ints
) {
    const uint8_t* source = *position;
    Py_ssize_t index = 0;
    Py_ssize_t left = pool->used;
    while (index < count && left > 0 && end - source >= 25 && *source == tag) {
        uint32_t ends = fastcoord_find_ends(source + 1);
        uint32_t later = _blsr_u32(ends);
        uint32_t last = _blsr_u32(later);
        unsigned int first_size, second_size, third_size;
        uint64_t change, types, account;
        SlotsEvent* event;
        if (last == 0) break;
        first_size = (unsigned int)__builtin_ctz(ends) + 1;
        second_size = (unsigned int)__builtin_ctz(later) + 1 - first_size;
        third_size = (unsigned int)__builtin_ctz(last) + 1 - first_size - second_size;
        if (first_size > 8 || second_size > 8 || third_size > 4) break;
        source += 1;
        change = fastcoord_fold_bmi2(source, source + first_size - 1);
        source += first_size;
        types = fastcoord_fold_bmi2(source, source + second_size - 1);
        source += second_size;
        account = fastcoord_fold_bmi2(source, source + third_size - 1);
        source += third_size;
        event = (SlotsEvent*)fastcoord_revive(pool->items[--left]);
        target[index++] = (PyObject*)event;
        if (!slots_set_three(event, change, types, account, keeps, small_ints)) break;
    }
    pool->used = left;
    *position = source;
    return index;
}

/* The last event has a wrong value, and an exception is set, if there was no memory. */
FASTCOORD_BMI2 static Py_ssize_t slots_take_records(
    const uint8_t** position, const uint8_t* end, PyObject** target, Py_ssize_t count,
    uint8_t tag, SlotsClass* cls, PyObject* const* small_ints
) {
    if (cls->keeps)
        return slots_take_records_of(
            position, end, target, count, tag, &cls->pool, 1, small_ints);
    return slots_take_records_of(position, end, target, count, tag, &cls->pool, 0, small_ints);
}

#else
#define slots_put_records(position, last, items, count, type, tag) 0
#define slots_take_records(position, end, target, count, tag, cls, small_ints) 0
#endif

#endif
