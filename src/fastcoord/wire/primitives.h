/* The parts of the byte primitives that depend on the compiler or the processor, with a portable
   default for each. The instructions of each processor are in a separate header. */

#ifndef FASTCOORD_PRIMITIVES_H
#define FASTCOORD_PRIMITIVES_H

#include <Python.h>
#include <stdint.h>
#include <string.h>

#include "event.h"
#include "pool.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && defined(__GNUC__)
#define FASTCOORD_WORDS 1
#define FASTCOORD_LOWEST_BIT(word) __builtin_ctzll(word)
#define FASTCOORD_HIGHEST_BIT(word) (63 - __builtin_clzll(word))
#else
/* The loops that read byte by byte are correct on every processor. */
#define FASTCOORD_WORDS 0
#define FASTCOORD_LOWEST_BIT(word) 0
#define FASTCOORD_HIGHEST_BIT(word) 0
#endif

#if FASTCOORD_WORDS && defined(__SSE2__)
#include "x86.h"
#endif

#ifndef FASTCOORD_SIXTEEN
#define FASTCOORD_SIXTEEN 0
#define fastcoord_find_ends(position) 0u
#define fastcoord_skip_records(position, end, tag) 0
#endif

#ifndef FASTCOORD_BMI2
#define fastcoord_has_bmi2() 0
#define fastcoord_put_three_bmi2(position, first, second, third) (position)
#define fastcoord_take_records_bmi2(position, end, target, count, tag, pool) 0
#define fastcoord_put_records_bmi2(position, last, items, count, type, tag) 0
#define fastcoord_fold_three_bmi2(position, first, second, third, a, b, c) ((void)0)
#endif

#endif
