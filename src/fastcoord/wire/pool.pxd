# cython: language_level=3
"""Memory of objects that died, kept for the next ones of their class.

Events die as fast as they are made. Their memory goes back to a pool of their class when they do, and
a decoder takes it from there, type and method table in place.
"""

from cpython.object cimport PyObject

cdef extern from *:
    """
    #ifndef FASTCOORD_POOL_H
    #define FASTCOORD_POOL_H
    #if defined(FASTCOORD_POOL_ROOM)
    /* chosen by whoever builds */
    #elif defined(__SANITIZE_ADDRESS__)
    #define FASTCOORD_POOL_ROOM 0   /* the sanitizer is to see every lifetime as it is */
    #else
    #define FASTCOORD_POOL_ROOM 8192
    #endif
    typedef struct {
        Py_ssize_t used, room;
        PyObject** items;
    } FastcoordPool;
    /* The commonest kind may have two batches of the default size alive at once. */
    enum { FASTCOORD_SMALL_POOL_ROOM = (FASTCOORD_POOL_ROOM + 15) / 16 };
    static inline int fastcoord_pool_keep(FastcoordPool* pool, PyObject* item) {
        if (pool->used >= pool->room) return 0;
        pool->items[pool->used++] = item;
        return 1;
    }
    static inline PyObject* fastcoord_pool_take(FastcoordPool* pool) {
        PyObject* item;
        if (pool->used == 0) return NULL;
        item = pool->items[--pool->used];
    #ifdef Py_REF_DEBUG
        _Py_NewReference(item);
    #else
        Py_SET_REFCNT(item, 1);
    #endif
        return item;
    }
    static inline void fastcoord_set_to_none(PyObject** field) {
        PyObject* before = *field;
        Py_INCREF(Py_None);
        *field = Py_None;
        Py_XDECREF(before);
    }
    #define fastcoord_owned(item) (item)
    #endif
    """
    ctypedef void (*destructor)(PyObject*)
    ctypedef struct Pool "FastcoordPool":
        Py_ssize_t used
        Py_ssize_t room
        PyObject** items
    enum:
        LARGE_POOL_ROOM "FASTCOORD_POOL_ROOM"
        SMALL_POOL_ROOM "FASTCOORD_SMALL_POOL_ROOM"
    bint pool_keep "fastcoord_pool_keep"(Pool* pool, PyObject* item) noexcept
    PyObject* pool_take "fastcoord_pool_take"(Pool* pool) noexcept
    void set_to_none "fastcoord_set_to_none"(PyObject** field) noexcept
    # Takes over the reference that a C pointer stands for.
    object owned "fastcoord_owned"(PyObject*)
