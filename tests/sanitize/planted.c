/* Two deliberate mistakes. The sanitizers must stop both, or the run proves nothing. */

#include <limits.h>
#include <stdlib.h>

__attribute__((visibility("default"))) int read_past_the_end(int size)
{
    volatile char *memory = malloc((size_t)size);
    int value;
    if (memory == NULL)
        return -1;
    memory[0] = 1;
    value = memory[size];
    free((void *)memory);
    return value;
}

__attribute__((visibility("default"))) int overflow(int more)
{
    return INT_MAX + more;
}
