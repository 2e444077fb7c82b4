/* Counts which edges of the instrumented extensions an input takes.
 *
 * The compiler puts a call of __sanitizer_cov_trace_pc into every basic block. Each pair of blocks
 * that follow one another gets a counter; fold() turns the counters since begin() into bits, one
 * for each order of magnitude, and says how many of them no input before had set.
 */

#include <stdint.h>
#include <string.h>

#define PUBLIC __attribute__((visibility("default")))
#define EDGES 65536u

static uint8_t taken[EDGES];
static uint8_t seen[EDGES];
static uintptr_t first;
static uintptr_t previous;

PUBLIC void __sanitizer_cov_trace_pc(void)
{
    uintptr_t here = (uintptr_t)__builtin_return_address(0);
    uint32_t edge;
    /* Relative to the first block ever, so that the loader's random addresses do not matter. */
    if (first == 0)
        first = here;
    here = (here - first) * 0x9E3779B1u;
    edge = (uint32_t)((here ^ (previous >> 1)) >> 8) % EDGES;
    previous = here;
    if (taken[edge] != UINT8_MAX)
        taken[edge]++;
}

PUBLIC void begin(void)
{
    memset(taken, 0, sizeof taken);
    previous = 0;
}

static uint8_t magnitude(uint8_t count)
{
    if (count <= 3)
        return (uint8_t)(1u << (count - 1));
    if (count < 8)
        return 1u << 3;
    if (count < 16)
        return 1u << 4;
    if (count < 32)
        return 1u << 5;
    return count < 128 ? 1u << 6 : 1u << 7;
}

PUBLIC unsigned fold(void)
{
    unsigned fresh = 0;
    for (uint32_t word = 0; word < EDGES; word += 8) {
        uint64_t eight;
        memcpy(&eight, taken + word, 8);
        if (eight == 0)
            continue;
        for (uint32_t edge = word; edge < word + 8; edge++) {
            uint8_t bit = taken[edge] == 0 ? 0 : magnitude(taken[edge]);
            if (bit & (uint8_t)~seen[edge])
                fresh++;
            seen[edge] |= bit;
        }
    }
    return fresh;
}

PUBLIC unsigned edges_seen(void)
{
    unsigned count = 0;
    for (uint32_t edge = 0; edge < EDGES; edge++)
        count += seen[edge] != 0;
    return count;
}
