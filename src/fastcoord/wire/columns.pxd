# cython: language_level=3

cdef dict columns_of(tuple events, cls)
