# cython: language_level=3
from libc.stdint cimport uint16_t, uint32_t, uint64_t

cdef class Run:
    cdef readonly uint16_t node_id
    cdef readonly uint64_t incarnation
    cdef readonly uint64_t expected    # offset of the next batch
    cdef readonly uint64_t discarded   # `discarded` of the last batch that was delivered
    cdef readonly bint is_exact        # whether nothing before `expected` may be missing unnoticed
    cdef readonly uint64_t began_at    # offset of the first batch of this run that was received
    cdef readonly uint64_t ahead_end   # end of the furthest batch that was dropped as ahead, or 0
    cdef readonly uint64_t gap_end     # end of the last range of its events that is missing here
    cdef readonly uint32_t behind      # batches dropped as behind since the last delivered one
    cdef readonly uint64_t received    # events that were delivered

# What to do with a batch.
cdef struct Judgement:
    bint is_dropped
    uint32_t skip              # how many events at its start were delivered before
    uint64_t discarded         # how many events before it the sender discarded
    bint is_gap                # whether events before it may be missing, their number unknown
    uint32_t missing           # events of the batch that are dropped and were not delivered

cdef class Runs:
    cdef dict runs             # (node id, incarnation) -> Run
    cdef dict current          # node id -> the Run whose batch began last
    cdef readonly uint64_t ahead
    cdef readonly set waiting  # node ids with batches that were dropped as ahead
    cdef readonly uint64_t forgotten
    cdef dict without_run      # node id -> events without a header, or of runs that are forgotten
    cdef readonly list ended   # runs that ended with batches that were dropped as ahead

    cdef int count(self, uint16_t node_id, uint64_t events) except -1
    cdef Run find(self, uint16_t node_id, uint64_t incarnation)
    cdef Run begin(self, uint16_t node_id, uint64_t incarnation, uint64_t offset, uint64_t discarded)
    cdef int judge(
        self, Run run, uint64_t offset, uint32_t count, uint64_t discarded, Judgement* judgement
    ) except -1
