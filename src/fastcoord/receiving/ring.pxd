# cython: language_level=3
from cpython.ref cimport PyObject
from libc.stdint cimport uint16_t, uint32_t, uint64_t

# One buffered message or notice: 40 bytes beside the payload.
cdef struct Slot:
    PyObject* item         # owned reference: a payload (bytes), a notice, or a dict of an overflow
    double received_at     # seconds since the epoch
    uint64_t sequence      # of the message in a stream; 0 without a stream
    uint32_t start         # offset of the first event in the payload
    uint32_t count         # events in the payload; 0 for a notice
    uint16_t node_id

cdef class Ring:
    cdef readonly Py_ssize_t capacity_messages
    cdef readonly Py_ssize_t capacity_bytes
    cdef readonly bint drop_newest
    cdef readonly object waker
    cdef readonly bint is_closed
    cdef public uint64_t sequence  # stream sequence of the message that is put next
    cdef public bint is_stuck      # whether its consumer has taken nothing for a while
    cdef public bint is_replaying  # whether events come from a replay of a stream
    cdef readonly uint64_t arrived
    cdef readonly uint64_t buffered
    cdef readonly uint64_t missed
    cdef readonly Py_ssize_t buffered_messages
    cdef readonly Py_ssize_t buffered_bytes
    cdef readonly Py_ssize_t high_water_messages
    cdef Slot* slots
    cdef Py_ssize_t slot_count     # allocated, a power of two
    cdef Py_ssize_t used           # occupied, by messages and by notices
    cdef Py_ssize_t head
    cdef dict overflow             # events dropped in this episode, by node id
    cdef dict carried              # notices whose slot was needed, merged by `fold`
    cdef list taking               # those that the consumer takes now, the oldest last
    cdef object fold
    cdef tuple unwanted

    cdef bint has_lost             # whether the next notice must report losses that `lose` counted
    cdef bint lost_unknown         # whether more is lost than `lost_events`
    cdef uint64_t lost_events
    cdef object interruption       # an exception of Python code called here; `wake` raises it
    cdef bint is_wake_due          # whether `wake` has something to do

    cdef void put(
        self, bytes payload, uint32_t start, uint32_t count, uint16_t node_id, double received_at
    ) noexcept
    cdef void store_notice(self, notice) noexcept
    cdef void lose(self, uint32_t count, bint is_known) noexcept
    cdef int wake(self) except -1
    cdef object take_notice(self)
    cdef bint take(self, Slot* taken) except -1
    cdef void append(
        self, object item, uint32_t start, uint32_t count, uint16_t node_id, double received_at
    ) noexcept
    cdef bint grow(self) noexcept
    cdef bint fits(self, Py_ssize_t size) noexcept
    cdef bint make_space(self, Py_ssize_t size, uint32_t count, uint16_t node_id) noexcept
    cdef void end_episode(self, uint64_t sequence) noexcept
    cdef void drop_oldest(self) noexcept
    cdef void note_overflow(self, uint16_t node_id, uint32_t count) noexcept
    cdef void fold_notice(self, notice) noexcept
    cdef void fold_oldest_notices(self) noexcept
