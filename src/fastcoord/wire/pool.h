/* Memory of objects that are gone, kept for the next ones of their class: type and constant parts stay in
   place, only the reference count is set again. A pool owns the memory in it and no reference. */

#ifndef FASTCOORD_POOL_H
#define FASTCOORD_POOL_H

#include <Python.h>

#if defined(FASTCOORD_POOL_CAPACITY)
/* set by the build */
#elif defined(__SANITIZE_ADDRESS__)
#define FASTCOORD_POOL_CAPACITY 0   /* the sanitizer must see every lifetime as it is */
#else
#define FASTCOORD_POOL_CAPACITY 8192
#endif

/* The commonest kind may have two batches of the default size alive at once. */
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

/* Make an object alive again that waited in a pool. */
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
