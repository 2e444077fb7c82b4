# cython: language_level=3
"""The byte floor: LEB128 integers, and reads and writes that cannot leave their buffer.

Nothing else in fastcoord touches a raw pointer. A ``Reader`` never moves past ``end``; a failed read
leaves ``position`` where it was and says why in ``fault`` and where in ``fault_at``. A ``Writer``
must be given room by ``reserve`` before the ``put_`` functions run: they do not check again.
"""

from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && defined(__GNUC__)
    #define FASTCOORD_WORDS 1
    #define FASTCOORD_LOWEST_BIT(word) __builtin_ctzll(word)
    #define FASTCOORD_HIGHEST_BIT(word) (63 - __builtin_clzll(word))
    #else
    /* Words are then never used: the byte loops below are correct everywhere. */
    #define FASTCOORD_WORDS 0
    #define FASTCOORD_LOWEST_BIT(word) 0
    #define FASTCOORD_HIGHEST_BIT(word) 0
    #endif
    #if defined(__GNUC__)
    #define FASTCOORD_LIKELY(condition) __builtin_expect(!!(condition), 1)
    #else
    #define FASTCOORD_LIKELY(condition) (condition)
    #endif
    """
    const bint FASTCOORD_WORDS
    int lowest_bit "FASTCOORD_LOWEST_BIT"(uint64_t word) noexcept nogil
    int highest_bit "FASTCOORD_HIGHEST_BIT"(uint64_t word) noexcept nogil
    bint likely "FASTCOORD_LIKELY"(bint condition) noexcept nogil

cdef enum Fault:
    FAULT_NONE = 0
    FAULT_TRUNCATED      # the payload ends inside an integer or before a field
    FAULT_OVERLONG       # more continuation bytes than the width can have
    FAULT_OVERFLOW       # the value does not fit its width
    FAULT_LENGTH         # a length or count exceeds what is left of the payload
    FAULT_TEXT           # not UTF-8
    FAULT_TAG            # no event of the protocol has this tag
    FAULT_ITEM           # no item of CacheInvalidate has this marker

# The widths of WIRE: the largest value, and the most bytes its LEB128 form may take.
cdef enum:
    BYTES_U16 = 3
    BYTES_U32 = 5
    BYTES_U64 = 10
    WORD_SLACK = 8       # put_uint stores a whole word, whatever the value's length

cdef struct Reader:
    const uint8_t* start
    const uint8_t* position
    const uint8_t* end
    const uint8_t* fault_at
    Fault fault

cdef struct Writer:
    uint8_t* start
    Py_ssize_t used
    Py_ssize_t capacity


cdef inline void reader_init(Reader* reader, const uint8_t* start, Py_ssize_t size) noexcept nogil:
    reader.start = start
    reader.position = start
    reader.end = start + size
    reader.fault_at = NULL
    reader.fault = FAULT_NONE


cdef inline Py_ssize_t remaining(const Reader* reader) noexcept nogil:
    return reader.end - reader.position


cdef inline bint fail(Reader* reader, Fault fault, const uint8_t* where) noexcept nogil:
    reader.fault = fault
    reader.fault_at = where
    return False


cdef inline bint read_uint_by_byte(
    Reader* reader, uint64_t* value, uint64_t largest, int most
) noexcept nogil:
    cdef const uint8_t* position = reader.position
    cdef uint64_t result = 0
    cdef uint64_t group
    cdef int index = 0
    while index < most:
        if position >= reader.end:
            return fail(reader, FAULT_TRUNCATED, reader.position)
        group = position[0] & 0x7f
        # The tenth byte of a u64 has one bit of room; narrower widths are caught by `largest`.
        if index == 9 and group > 1:
            return fail(reader, FAULT_OVERFLOW, reader.position)
        result |= group << (7 * index)
        index += 1
        if position[0] < 0x80:
            if result > largest:
                return fail(reader, FAULT_OVERFLOW, reader.position)
            reader.position = position + 1
            value[0] = result
            return True
        position += 1
    return fail(reader, FAULT_OVERLONG, reader.position)


cdef inline bint read_uint(
    Reader* reader, uint64_t* value, uint64_t largest, int most
) noexcept nogil:
    """Read one unsigned LEB128 integer of at most ``most`` bytes and at most ``largest``."""
    cdef uint64_t word, stop
    cdef int size
    cdef const uint8_t* position = reader.position
    if FASTCOORD_WORDS and likely(reader.end - position >= 8):
        if position[0] < 0x80:
            value[0] = position[0]
            reader.position = position + 1
            return True
        memcpy(&word, position, 8)
        stop = ~word & <uint64_t>0x8080808080808080
        if likely(stop != 0):
            size = (lowest_bit(stop) >> 3) + 1
            # All bits up to the first byte without a continuation bit, then three folds that
            # close the one-bit holes between the groups of seven.
            word &= (stop ^ (stop - 1)) & <uint64_t>0x7f7f7f7f7f7f7f7f
            word = ((word & <uint64_t>0x7f007f007f007f00) >> 1) | (
                word & <uint64_t>0x007f007f007f007f)
            word = ((word & <uint64_t>0x3fff00003fff0000) >> 2) | (
                word & <uint64_t>0x00003fff00003fff)
            word = ((word & <uint64_t>0x0fffffff00000000) >> 4) | (
                word & <uint64_t>0x000000000fffffff)
            if likely(size <= most and word <= largest):
                value[0] = word
                reader.position = position + size
                return True
    return read_uint_by_byte(reader, value, largest, most)


cdef inline bint read_u16(Reader* reader, uint64_t* value) noexcept nogil:
    return read_uint(reader, value, 0xffff, BYTES_U16)


cdef inline bint read_u32(Reader* reader, uint64_t* value) noexcept nogil:
    return read_uint(reader, value, <uint64_t>0xffffffff, BYTES_U32)


cdef inline bint read_u64(Reader* reader, uint64_t* value) noexcept nogil:
    return read_uint(reader, value, <uint64_t>0xffffffffffffffff, BYTES_U64)


cdef inline bint read_length(
    Reader* reader, Py_ssize_t* length, Py_ssize_t item_size
) noexcept nogil:
    """Read a length or count of things that take at least ``item_size`` bytes each.

    It is held against what is left of the payload before anything is allocated for it.
    """
    cdef const uint8_t* where = reader.position
    cdef uint64_t value = 0
    if not read_u64(reader, &value):
        return False
    if value > <uint64_t>(remaining(reader) // item_size):
        reader.position = where
        return fail(reader, FAULT_LENGTH, where)
    length[0] = <Py_ssize_t>value
    return True


cdef inline bint is_ascii(const uint8_t* text, Py_ssize_t size) noexcept nogil:
    cdef uint64_t word
    cdef uint64_t seen = 0
    while size >= 8:
        memcpy(&word, text, 8)
        seen |= word
        text += 8
        size -= 8
    while size > 0:
        seen |= <uint64_t>text[0]
        text += 1
        size -= 1
    return (seen & <uint64_t>0x8080808080808080) == 0


cdef inline int reserve(Writer* writer, Py_ssize_t room) except -1:
    """Make sure that ``room`` more bytes, and the slack of a whole word, can be put."""
    cdef Py_ssize_t wanted = writer.used + room + WORD_SLACK
    cdef Py_ssize_t capacity
    cdef void* grown
    if likely(wanted <= writer.capacity):
        return 0
    capacity = writer.capacity * 2 if writer.capacity * 2 > wanted else wanted
    grown = PyMem_Realloc(writer.start, capacity)
    if grown == NULL:
        raise MemoryError(f"no memory for a buffer of {capacity} bytes")
    writer.start = <uint8_t*>grown
    writer.capacity = capacity
    return 0


cdef inline void writer_free(Writer* writer) noexcept:
    PyMem_Free(writer.start)
    writer.start = NULL
    writer.used = writer.capacity = 0


cdef inline void put_byte(Writer* writer, uint8_t value) noexcept nogil:
    writer.start[writer.used] = value
    writer.used += 1


cdef inline void put_uint(Writer* writer, uint64_t value) noexcept nogil:
    """Put an unsigned LEB128 integer; 10 bytes and ``WORD_SLACK`` must be reserved."""
    cdef uint64_t word
    cdef int size
    cdef uint8_t* position = writer.start + writer.used
    if value < 0x80:
        position[0] = <uint8_t>value
        writer.used += 1
        return
    if FASTCOORD_WORDS and likely(value < (<uint64_t>1 << 56)):
        # The reader's folds in reverse: 56 bits spread to eight groups of seven.
        word = ((value & <uint64_t>0x00fffffff0000000) << 4) | (
            value & <uint64_t>0x000000000fffffff)
        word = ((word & <uint64_t>0x0fffc0000fffc000) << 2) | (
            word & <uint64_t>0x00003fff00003fff)
        word = ((word & <uint64_t>0x3f803f803f803f80) << 1) | (
            word & <uint64_t>0x007f007f007f007f)
        size = (highest_bit(word) >> 3) + 1
        word |= <uint64_t>0x8080808080808080 & ((<uint64_t>1 << (8 * (size - 1))) - 1)
        memcpy(position, &word, 8)
        writer.used += size
        return
    while value >= 0x80:
        position[0] = <uint8_t>(value | 0x80)
        position += 1
        writer.used += 1
        value >>= 7
    position[0] = <uint8_t>value
    writer.used += 1


cdef inline void put_bytes(Writer* writer, const void* data, Py_ssize_t size) noexcept nogil:
    memcpy(writer.start + writer.used, data, size)
    writer.used += size


cdef inline int size_of_uint(uint64_t value) noexcept nogil:
    cdef int size = 1
    while value >= 0x80:
        value >>= 7
        size += 1
    return size
