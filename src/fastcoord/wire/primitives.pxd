# cython: language_level=3
"""The byte floor: LEB128 integers, and reads and writes that cannot leave their buffer.

Nothing else in fastcoord touches a raw pointer. A ``Reader`` never moves past ``end``; a failed read
leaves ``position`` where it was and says why in ``fault`` and where in ``fault_at``. A ``Writer``
must be given room by ``reserve`` before the ``put_`` functions run: they do not check again.
"""

from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #include <string.h>
    #if defined(__GNUC__)
    #define FASTCOORD_LIKELY(condition) __builtin_expect(!!(condition), 1)
    #else
    #define FASTCOORD_LIKELY(condition) (condition)
    #endif
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
    #if FASTCOORD_WORDS && defined(__SSE2__)
    #include <emmintrin.h>
    #define FASTCOORD_SIXTEEN 1
    /* One bit for each of 16 bytes that ends an integer: whose continuation bit is not set. */
    static inline uint32_t fastcoord_find_ends(const uint8_t* position) {
        return (uint32_t)_mm_movemask_epi8(_mm_loadu_si128((const __m128i*)position)) ^ 0xffffu;
    }
    #else
    #define FASTCOORD_SIXTEEN 0
    #define fastcoord_find_ends(position) 0u
    #endif
    #if FASTCOORD_SIXTEEN
    /* Steps over records of a tag, two u64 and one u32, as long as each lies within 16 bytes and
       cannot be malformed; gives how many. A tag ends an integer too, so a record has four ends. */
    static inline Py_ssize_t fastcoord_skip_records(
        const uint8_t** position, const uint8_t* end, uint8_t tag
    ) {
        const uint8_t* source = *position;
        Py_ssize_t count = 0;
        while (end - source >= 17 && *source == tag) {
            uint32_t ends = fastcoord_find_ends(source + 1);
            uint32_t later = ends & (ends - 1);
            uint32_t last = later & (later - 1);
            unsigned int first_end, second_end, third_end;
            if (last == 0) break;
            first_end = (unsigned int)__builtin_ctz(ends);
            second_end = (unsigned int)__builtin_ctz(later);
            third_end = (unsigned int)__builtin_ctz(last);
            if (first_end >= 9 || second_end - first_end > 9 || third_end - second_end > 4) break;
            source += third_end + 2;
            count++;
        }
        *position = source;
        return count;
    }
    #else
    #define fastcoord_skip_records(position, end, tag) 0
    #endif
    /* Objects of one type with two u64 and one u32, and where in the object they lie. */
    typedef struct {
        PyTypeObject* type;
        Py_ssize_t code_at, first_at, second_at, third_at;
        uint8_t code, tag;
    } FastcoordRecord;
    /* The bit-field instructions of x86-64 v3 do in one step what the folds below do in nine. They
       are compiled for themselves and chosen at run time; where they are microcoded and slow (AMD
       before Zen 3), or not there, the folds serve. */
    #if FASTCOORD_SIXTEEN && defined(__x86_64__)
    #include <cpuid.h>
    #include <immintrin.h>
    #define FASTCOORD_BMI2 __attribute__((unused, target("bmi,bmi2,lzcnt")))
    static int fastcoord_bmi2 = -1;
    /* Without it the same bytes are another instruction, which gives other numbers; compilers do not
       all know its name in __builtin_cpu_supports, so the processor itself is asked. */
    static inline int fastcoord_has_lzcnt(void) {
        unsigned int eax, ebx, ecx, edx;
        return __get_cpuid(0x80000001u, &eax, &ebx, &ecx, &edx) && (ecx & (1u << 5)) != 0;
    }
    static inline int fastcoord_has_bmi2(void) {
        if (FASTCOORD_LIKELY(fastcoord_bmi2 >= 0)) return fastcoord_bmi2;
        __builtin_cpu_init();
        return fastcoord_bmi2 = __builtin_cpu_supports("bmi2")
            && __builtin_cpu_supports("bmi") && fastcoord_has_lzcnt()
            && !__builtin_cpu_is("znver1") && !__builtin_cpu_is("znver2");
    }
    FASTCOORD_BMI2 static inline uint8_t* fastcoord_put_bmi2(uint8_t* position, uint64_t value) {
        uint64_t word = _pdep_u64(value, 0x7f7f7f7f7f7f7f7full);
        unsigned int size = (unsigned int)(63 - _lzcnt_u64(word | 1)) & 56u;
        word |= _bzhi_u64(0x8080808080808080ull, size);
        memcpy(position, &word, 8);
        return position + (size >> 3) + 1;
    }
    FASTCOORD_BMI2 static uint8_t* fastcoord_put_three_bmi2(
        uint8_t* position, uint64_t first, uint64_t second, uint64_t third
    ) {
        position = fastcoord_put_bmi2(position, first);
        position = fastcoord_put_bmi2(position, second);
        return fastcoord_put_bmi2(position, third);
    }
    FASTCOORD_BMI2 static Py_ssize_t fastcoord_put_records_bmi2(
        uint8_t** position, const uint8_t* last, PyObject** items, Py_ssize_t count,
        const FastcoordRecord* record
    ) {
        uint8_t* target = *position;
        Py_ssize_t index = 0;
        while (index < count && target <= last) {
            const char* item = (const char*)items[index];
            uint64_t first, second;
            uint32_t third;
            if (Py_TYPE((PyObject*)item) != record->type
                || *(const uint8_t*)(item + record->code_at) != record->code) break;
            memcpy(&first, item + record->first_at, 8);
            memcpy(&second, item + record->second_at, 8);
            memcpy(&third, item + record->third_at, 4);
            if (!FASTCOORD_LIKELY(((first | second) >> 56) == 0)) break;
            *target = record->tag;
            target = fastcoord_put_bmi2(target + 1, first);
            target = fastcoord_put_bmi2(target, second);
            target = fastcoord_put_bmi2(target, third);
            index++;
        }
        *position = target;
        return index;
    }
    FASTCOORD_BMI2 static inline uint64_t fastcoord_fold_bmi2(
        const uint8_t* position, const uint8_t* last
    ) {
        uint64_t word;
        memcpy(&word, position, 8);
        return _pext_u64(word, 0x7f7f7f7f7f7f7f7full >> (8 * (7 - (last - position))));
    }
    FASTCOORD_BMI2 static Py_ssize_t fastcoord_take_records_bmi2(
        const uint8_t** position, const uint8_t* end, PyObject** target, Py_ssize_t count,
        const FastcoordRecord* record, PyObject** spare, Py_ssize_t* spare_count
    ) {
        const uint8_t* source = *position;
        Py_ssize_t index = 0;
        Py_ssize_t left = *spare_count;
        while (index < count && left > 0 && end - source >= 25 && *source == record->tag) {
            uint32_t ends = fastcoord_find_ends(source + 1);
            uint32_t later = _blsr_u32(ends);
            uint32_t last = _blsr_u32(later);
            unsigned int first_size, second_size, third_size;
            uint64_t first, second;
            uint32_t third;
            char* item;
            if (last == 0) break;
            first_size = (unsigned int)__builtin_ctz(ends) + 1;
            second_size = (unsigned int)__builtin_ctz(later) + 1 - first_size;
            third_size = (unsigned int)__builtin_ctz(last) + 1 - first_size - second_size;
            if (first_size > 8 || second_size > 8 || third_size > 4) break;
            source += 1;
            first = fastcoord_fold_bmi2(source, source + first_size - 1);
            source += first_size;
            second = fastcoord_fold_bmi2(source, source + second_size - 1);
            source += second_size;
            third = (uint32_t)fastcoord_fold_bmi2(source, source + third_size - 1);
            source += third_size;
            item = (char*)spare[--left];
    #ifdef Py_REF_DEBUG
            _Py_NewReference((PyObject*)item);
    #else
            Py_SET_REFCNT((PyObject*)item, 1);
    #endif
            item[record->code_at] = (char)record->code;
            memcpy(item + record->first_at, &first, 8);
            memcpy(item + record->second_at, &second, 8);
            memcpy(item + record->third_at, &third, 4);
            target[index++] = (PyObject*)item;
        }
        *spare_count = left;
        *position = source;
        return index;
    }
    FASTCOORD_BMI2 static void fastcoord_fold_three_bmi2(
        const uint8_t* position, const uint8_t* first, const uint8_t* second, const uint8_t* third,
        uint64_t* a, uint64_t* b, uint64_t* c
    ) {
        *a = fastcoord_fold_bmi2(position, first);
        *b = fastcoord_fold_bmi2(first + 1, second);
        *c = fastcoord_fold_bmi2(second + 1, third);
    }
    #else
    #define fastcoord_has_bmi2() 0
    #define fastcoord_put_three_bmi2(position, first, second, third) (position)
    #define fastcoord_take_records_bmi2(position, end, target, count, record, spare, left) 0
    #define fastcoord_put_records_bmi2(position, last, items, count, record) 0
    #define fastcoord_fold_three_bmi2(position, first, second, third, a, b, c) ((void)0)
    #endif
    """
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
    ctypedef struct Record "FastcoordRecord":
        void* type
        Py_ssize_t code_at
        Py_ssize_t first_at
        Py_ssize_t second_at
        Py_ssize_t third_at
        uint8_t code
        uint8_t tag
    Py_ssize_t put_records_bmi2 "fastcoord_put_records_bmi2"(
        uint8_t** position,
        const uint8_t* last,
        PyObject** items,
        Py_ssize_t count,
        const Record* record,
    ) noexcept
    Py_ssize_t take_records_bmi2 "fastcoord_take_records_bmi2"(
        const uint8_t** position,
        const uint8_t* end,
        PyObject** target,
        Py_ssize_t count,
        const Record* record,
        PyObject** spare,
        Py_ssize_t* spare_count,
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


cdef inline bint find_three(
    const Reader* reader, const uint8_t** first, const uint8_t** second, const uint8_t** third
) noexcept nogil:
    """Find where three consecutive integers end, when they lie within the next 16 bytes.

    One comparison finds all ends at once, so the next event's place does not hang on a chain of
    three lengths. Gives False, and moves nothing, when the bytes do not allow it.
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
    """Give the value of an integer of at most 8 bytes, of which 8 can be read."""
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
    """Give the values of three consecutive integers of at most 8 bytes, found by ``find_three``.

    Three targets, not an array: the compiler would load two of its members at once, right after
    they were stored one by one, and the processor would wait for both stores to drain.
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


cdef inline void trim(Writer* writer, Py_ssize_t capacity) noexcept:
    """Give back what a buffer takes beyond ``capacity`` bytes and its slack."""
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
    """Write an unsigned LEB128 integer and give the position behind it.

    10 bytes and ``WORD_SLACK`` must be reserved. The position travels as a value, not through the
    writer: a store through a byte pointer may change anything, so the compiler would have to load
    the writer's fields again after each.
    """
    cdef uint64_t word
    cdef int size
    if FASTCOORD_WORDS and likely(value < (<uint64_t>1 << 56)):
        # The reader's folds in reverse: 56 bits spread to eight groups of seven.
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
    """Write three integers; each as ``put_uint`` does."""
    if has_bmi2() and likely((first | second | third) < (<uint64_t>1 << 56)):
        return put_three_bmi2(position, first, second, third)
    return put_uint(put_uint(put_uint(position, first), second), third)


cdef inline uint8_t* writer_end(Writer* writer) noexcept nogil:
    """Give the position behind what was written."""
    return writer.start + writer.used


cdef inline void writer_advance(Writer* writer, const uint8_t* position) noexcept nogil:
    """Say that everything before ``position`` is written; it must lie within what was reserved."""
    writer.used = position - writer.start


cdef inline uint8_t* put_bytes(
    uint8_t* position, const void* data, Py_ssize_t size
) noexcept nogil:
    memcpy(position, data, size)
    return position + size


cdef inline int size_of_uint(uint64_t value) noexcept nogil:
    cdef int size = 1
    while value >= 0x80:
        value >>= 7
        size += 1
    return size
