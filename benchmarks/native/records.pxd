# cython: language_level=3
"""Read the StateChange of a batch one by one, for prototypes.

They know one kind of event and do not tell one fault from another.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t

from fastcoord.wire.primitives cimport (
    Reader,
    find_three,
    fold_three,
    read_u16,
    read_u32,
    read_u64,
    reader_init,
)


cdef inline int read_change(
    Reader* reader, uint64_t* account, uint64_t* change, uint64_t* types
) except -1:
    """Read the tag and the fields of one event."""
    cdef const uint8_t* first
    cdef const uint8_t* second
    cdef const uint8_t* third
    reader.position += 1
    if find_three(reader, &first, &second, &third) and (
        first - reader.position < 8 and second - first <= 8 and third - second <= 4
    ):
        fold_three(reader.position, first, second, third, change, types, account)
        reader.position = third + 1
        return 0
    if read_u64(reader, change) and read_u64(reader, types) and read_u32(reader, account):
        return 0
    raise ValueError("malformed")


cdef inline int start(Reader* reader, bytes payload, uint64_t* node_id) except -1:
    """Begin to read a batch."""
    reader_init(reader, <const uint8_t*>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))
    if not read_u16(reader, node_id):
        raise ValueError("malformed")
    return 0
