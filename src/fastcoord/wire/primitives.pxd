# cython: language_level=3
"""The byte primitives: LEB128 integers, and reads and writes that stay within their buffer.

A ``Reader`` borrows its buffer, so the owner must keep the payload alive while it is read. A reader
never moves past ``end``. A failed read does not move ``position``. It sets ``fault`` to the reason
and ``fault_at`` to the byte.

A ``Writer`` owns its buffer. ``reserve`` must be called before the ``put_`` functions, because they
do not check the capacity.
"""

from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastcoord.wire.pool cimport Pool

cdef extern from "fastcoord/wire/primitives.h":
    const bint FASTCOORD_WORDS
    const bint FASTCOORD_SIXTEEN
    uint32_t find_ends "fastcoord_find_ends"(const uint8_t* position) noexcept nogil
    Py_ssize_t skip_records "fastcoord_skip_records"(
        const uint8_t** position, const uint8_t* end, uint8_t tag
    ) noexcept nogil
    bint has_bmi2 "fastcoord_has_bmi2"() noexcept nogil
    uint8_t* put_three_bmi2 "fastcoord_put_three_bmi2"(
        uint8_t* position, uint64_t first, uint64_t second, uint64_t third
    ) noexcept nogil
    Py_ssize_t put_records_bmi2 "fastcoord_put_records_bmi2"(
        uint8_t** position,
        const uint8_t* last,
        PyObject** items,
        Py_ssize_t count,
        const void* type,
        uint8_t tag,
    ) noexcept
    Py_ssize_t take_records_bmi2 "fastcoord_take_records_bmi2"(
        const uint8_t** position,
        const uint8_t* end,
        PyObject** target,
        Py_ssize_t count,
        uint8_t tag,
        Pool* pool,
    ) noexcept
    void fold_three_bmi2 "fastcoord_fold_three_bmi2"(
        const uint8_t* position,
        const uint8_t* first,
        const uint8_t* second,
        const uint8_t* third,
        uint64_t* a,
        uint64_t* b,
        uint64_t* c,
    ) noexcept nogil
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

# The most bytes of the LEB128 form of each width.
cdef enum:
    BYTES_U16 = 3
    BYTES_U32 = 5
    BYTES_U64 = 10
    WORD_SLACK = 8       # spare bytes: put_uint stores a whole word for a value of any length

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
        # The tenth byte of a u64 holds one bit. `largest` limits the narrower widths.
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
            # Keep the bits up to the first byte without a continuation bit. Then three folds close
            # the one-bit gaps between the groups of seven bits.
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


cdef inline bint find_three(
    const Reader* reader, const uint8_t** first, const uint8_t** second, const uint8_t** third
) noexcept nogil:
    """Find the last byte of each of three consecutive integers within the next 16 bytes.

    One comparison finds all three, so that the position of the next event does not depend on three
    lengths, one after another. The reader does not move.

    :return: False if the integers do not end within 16 bytes, or if fewer than 24 bytes are left.
    """
    cdef uint32_t ends
    cdef const uint8_t* position = reader.position
    if not (FASTCOORD_SIXTEEN and likely(reader.end - position >= 16 + 8)):
        return False
    ends = find_ends(position)
    if not likely((ends & (ends - 1) & ((ends & (ends - 1)) - 1)) != 0):
        return False
    first[0] = position + lowest_bit(ends)
    ends &= ends - 1
    second[0] = position + lowest_bit(ends)
    ends &= ends - 1
    third[0] = position + lowest_bit(ends)
    return True


cdef inline uint64_t fold(const uint8_t* position, const uint8_t* last) noexcept nogil:
    """Return the value of an integer of at most 8 bytes. 8 bytes must be readable."""
    cdef uint64_t word
    memcpy(&word, position, 8)
    word &= <uint64_t>0x7f7f7f7f7f7f7f7f >> (8 * (7 - (last - position)))
    word = ((word & <uint64_t>0x7f007f007f007f00) >> 1) | (word & <uint64_t>0x007f007f007f007f)
    word = ((word & <uint64_t>0x3fff00003fff0000) >> 2) | (word & <uint64_t>0x00003fff00003fff)
    return ((word & <uint64_t>0x0fffffff00000000) >> 4) | (word & <uint64_t>0x000000000fffffff)


cdef inline void fold_three(
    const uint8_t* position,
    const uint8_t* first,
    const uint8_t* second,
    const uint8_t* third,
    uint64_t* a,
    uint64_t* b,
    uint64_t* c,
) noexcept nogil:
    """Store the values of three integers of at most 8 bytes, which ``find_three`` has found.

    The three targets are not an array. The compiler would load two members of an array at once,
    right after they were stored one by one, and the processor would wait for both stores.
    """
    if has_bmi2():
        fold_three_bmi2(position, first, second, third, a, b, c)
    else:
        a[0] = fold(position, first)
        b[0] = fold(first + 1, second)
        c[0] = fold(second + 1, third)


cdef inline bint read_u16(Reader* reader, uint64_t* value) noexcept nogil:
    return read_uint(reader, value, 0xffff, BYTES_U16)


cdef inline bint read_u32(Reader* reader, uint64_t* value) noexcept nogil:
    return read_uint(reader, value, <uint64_t>0xffffffff, BYTES_U32)


cdef inline bint read_u64(Reader* reader, uint64_t* value) noexcept nogil:
    return read_uint(reader, value, <uint64_t>0xffffffffffffffff, BYTES_U64)


cdef inline bint read_length(
    Reader* reader, Py_ssize_t* length, Py_ssize_t item_size
) noexcept nogil:
    """Read a length or a count of items that take at least ``item_size`` bytes each.

    The value is compared with the rest of the payload before memory is allocated for the items.
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


cdef inline int reserve(Writer* writer, Py_ssize_t size) except -1:
    """Make sure that ``size`` more bytes, and the slack of a whole word, can be written."""
    cdef Py_ssize_t wanted = writer.used + size + WORD_SLACK
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


cdef inline void trim(Writer* writer, Py_ssize_t capacity) noexcept:
    """Free the memory of a buffer beyond ``capacity`` bytes and the slack, if its content fits."""
    cdef void* smaller
    capacity += WORD_SLACK
    if writer.capacity > capacity and writer.used + WORD_SLACK <= capacity:
        smaller = PyMem_Realloc(writer.start, capacity)
        if smaller != NULL:
            writer.start = <uint8_t*>smaller
            writer.capacity = capacity


cdef inline void writer_free(Writer* writer) noexcept:
    PyMem_Free(writer.start)
    writer.start = NULL
    writer.used = writer.capacity = 0


cdef inline uint8_t* put_uint(uint8_t* position, uint64_t value) noexcept nogil:
    """Write an unsigned LEB128 integer and return the position behind it.

    10 bytes and ``WORD_SLACK`` must be reserved. The position is passed as a value, not in the
    writer. A store through a byte pointer may change any memory, so the compiler would have to load
    the fields of the writer again after each store.
    """
    cdef uint64_t word
    cdef int size
    if FASTCOORD_WORDS and likely(value < (<uint64_t>1 << 56)):
        # Spread 56 bits to eight groups of seven bits. This reverses the folds of the reader.
        word = ((value & <uint64_t>0x00fffffff0000000) << 4) | (
            value & <uint64_t>0x000000000fffffff)
        word = ((word & <uint64_t>0x0fffc0000fffc000) << 2) | (
            word & <uint64_t>0x00003fff00003fff)
        word = ((word & <uint64_t>0x3f803f803f803f80) << 1) | (
            word & <uint64_t>0x007f007f007f007f)
        size = highest_bit(word | 1) & 56
        word |= <uint64_t>0x8080808080808080 & ((<uint64_t>1 << size) - 1)
        memcpy(position, &word, 8)
        return position + (size >> 3) + 1
    while value >= 0x80:
        position[0] = <uint8_t>(value | 0x80)
        position += 1
        value >>= 7
    position[0] = <uint8_t>value
    return position + 1


cdef inline uint8_t* put_three(
    uint8_t* position, uint64_t first, uint64_t second, uint64_t third
) noexcept nogil:
    """Write three integers, each like ``put_uint``."""
    if has_bmi2() and likely((first | second | third) < (<uint64_t>1 << 56)):
        return put_three_bmi2(position, first, second, third)
    return put_uint(put_uint(put_uint(position, first), second), third)


cdef inline uint8_t* writer_end(Writer* writer) noexcept nogil:
    """Return the position behind what was written."""
    return writer.start + writer.used


cdef inline void writer_advance(Writer* writer, const uint8_t* position) noexcept nogil:
    """Set the end of what is written; ``position`` must lie within what was reserved."""
    writer.used = position - writer.start


cdef inline uint8_t* put_bytes(
    uint8_t* position, const void* data, Py_ssize_t size
) noexcept nogil:
    memcpy(position, data, size)
    return position + size
