/* A pool keeps the memory of freed objects for new objects of the same class. The type and the
   other constant parts stay in that memory, so only the reference count is set when it is used
   again. The pool owns the memory; nothing else refers to it. */

#ifndef FASTCOORD_POOL_H
#define FASTCOORD_POOL_H

#include <Python.h>

#if defined(FASTCOORD_POOL_CAPACITY)
/* set by the build */
#elif defined(__SANITIZE_ADDRESS__)
#define FASTCOORD_POOL_CAPACITY 0   /* the sanitizer must see each object being freed */
#else
#define FASTCOORD_POOL_CAPACITY 8192
#endif

/* FASTCOORD_POOL_CAPACITY is for the commonest event kind: it suffices for two batches of the
   default size that are alive at once. Each other kind gets a sixteenth of that. */
enum { FASTCOORD_SMALL_POOL_CAPACITY = (FASTCOORD_POOL_CAPACITY + 15) / 16 };

typedef struct {
    Py_ssize_t used, capacity;
    PyObject** items;
} FastcoordPool;

static inline int fastcoord_pool_keep(FastcoordPool* pool, PyObject* item) {
    if (pool->used >= pool->capacity) return 0;
    pool->items[pool->used++] = item;
    return 1;
}

/* Turn the memory of an object from a pool into an object with one reference. */
static inline PyObject* fastcoord_revive(PyObject* item) {
#ifdef Py_REF_DEBUG
    _Py_NewReference(item);
#else
    Py_SET_REFCNT(item, 1);
#endif
    return item;
}

static inline PyObject* fastcoord_pool_take(FastcoordPool* pool) {
    if (pool->used == 0) return NULL;
    return fastcoord_revive(pool->items[--pool->used]);
}

#define fastcoord_owned(item) (item)

#endif
