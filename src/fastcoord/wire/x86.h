/* Instructions of x86-64. SSE2 finds the last bytes of all integers within 16 bytes at once. The
   BMI2 instructions of x86-64-v3 pack or unpack an integer in one step. primitives.h includes this
   header and has the portable defaults.

   A record is an event with two u64 and one u32, in this order. It has a tag and three integers. */

#ifndef FASTCOORD_X86_H
#define FASTCOORD_X86_H

#include <emmintrin.h>

#define FASTCOORD_SIXTEEN 1

/* Return a bit for each of 16 bytes, set if the byte ends an integer (has no continuation bit). */
static inline uint32_t fastcoord_find_ends(const uint8_t* position) {
    return (uint32_t)_mm_movemask_epi8(_mm_loadu_si128((const __m128i*)position)) ^ 0xffffu;
}

/* Skip records while the integers of each lie within 16 bytes and cannot exceed their widths.
   Return how many were skipped. */
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

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

/* The functions with this attribute are compiled for processors that have the instructions. They
   are chosen at run time. The portable code runs if the instructions are missing, or if they are
   slow because they are microcoded (AMD before Zen 3). */
#define FASTCOORD_BMI2 __attribute__((unused, target("bmi,bmi2,lzcnt")))

static int fastcoord_bmi2 = -1;

/* A processor without lzcnt executes its bytes as bsr, which returns other numbers. Not every
   compiler accepts "lzcnt" in __builtin_cpu_supports, so this function uses cpuid. */
static inline int fastcoord_has_lzcnt(void) {
    unsigned int eax, ebx, ecx, edx;
    return __get_cpuid(0x80000001u, &eax, &ebx, &ecx, &edx) && (ecx & (1u << 5)) != 0;
}

static inline int fastcoord_has_bmi2(void) {
    if (FASTCOORD_LIKELY(fastcoord_bmi2 >= 0)) return fastcoord_bmi2;
    __builtin_cpu_init();
    return fastcoord_bmi2 = __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("bmi")
        && fastcoord_has_lzcnt()
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

/* Write records while each item has this type, each of its integers takes at most 8 bytes, and the
   record begins at `last` or before. Return how many were written. The references in `items` stay
   borrowed, because no Python code runs here. */
FASTCOORD_BMI2 static Py_ssize_t fastcoord_put_records_bmi2(
    uint8_t** position, const uint8_t* last, PyObject** items, Py_ssize_t count,
    const void* type, uint8_t tag
) {
    uint8_t* target = *position;
    Py_ssize_t index = 0;
    while (index < count && target <= last) {
        const FastcoordEvent* event = (const FastcoordEvent*)items[index];
        uint64_t first, second, third;
        if ((const void*)Py_TYPE((PyObject*)event) != type) break;
        first = event->fields[0].number;
        second = event->fields[1].number;
        third = event->fields[2].number;
        if (!FASTCOORD_LIKELY(((first | second) >> 56) == 0)) break;
        *target = tag;
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

/* Read records into objects from the pool, until the records or the objects of the pool end. Return
   how many were read. `target` holds a new reference to each. */
FASTCOORD_BMI2 static Py_ssize_t fastcoord_take_records_bmi2(
    const uint8_t** position, const uint8_t* end, PyObject** target, Py_ssize_t count,
    uint8_t tag, FastcoordPool* pool
) {
    const uint8_t* source = *position;
    PyObject** spare = pool->items;
    Py_ssize_t index = 0;
    Py_ssize_t left = pool->used;
    while (index < count && left > 0 && end - source >= 25 && *source == tag) {
        uint32_t ends = fastcoord_find_ends(source + 1);
        uint32_t later = _blsr_u32(ends);
        uint32_t last = _blsr_u32(later);
        unsigned int first_size, second_size, third_size;
        FastcoordEvent* event;
        if (last == 0) break;
        first_size = (unsigned int)__builtin_ctz(ends) + 1;
        second_size = (unsigned int)__builtin_ctz(later) + 1 - first_size;
        third_size = (unsigned int)__builtin_ctz(last) + 1 - first_size - second_size;
        /* Integers of 8, 8 and 4 bytes cannot exceed their widths. */
        if (first_size > 8 || second_size > 8 || third_size > 4) break;
        source += 1;
        event = (FastcoordEvent*)fastcoord_revive(spare[--left]);
        event->fields[0].number = fastcoord_fold_bmi2(source, source + first_size - 1);
        source += first_size;
        event->fields[1].number = fastcoord_fold_bmi2(source, source + second_size - 1);
        source += second_size;
        event->fields[2].number = fastcoord_fold_bmi2(source, source + third_size - 1);
        source += third_size;
        target[index++] = (PyObject*)event;
    }
    pool->used = left;
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
#endif

#endif
