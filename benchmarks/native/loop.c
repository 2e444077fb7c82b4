/* A codec of StateChange without Python objects: plain structs in an array, LEB128 byte by byte, and
   every read and write checked against the end of its buffer. */

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t change_id;
    uint64_t types;
    uint32_t account_id;
} StateChange;

/* Hides from the compiler that all rounds are equal. */
#define UNKNOWN(pointer) __asm__ volatile("" : "+r"(pointer) : : "memory")

static uint8_t* put(uint8_t* position, const uint8_t* end, uint64_t value) {
    while (value >= 0x80) {
        if (position == end) return NULL;
        *position++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    if (position == end) return NULL;
    *position++ = (uint8_t)value;
    return position;
}

static const uint8_t* get(const uint8_t* position, const uint8_t* end, int bits, uint64_t* value) {
    uint64_t result = 0;
    int shift = 0;
    for (;;) {
        uint8_t byte;
        if (position == end || shift >= bits) return NULL;
        byte = *position++;
        if (shift + 7 > bits && ((byte & 0x7f) >> (bits - shift)) != 0) return NULL;
        result |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) break;
        shift += 7;
    }
    *value = result;
    return position;
}

/* Return the size of the batch, 0 if it does not fit. */
size_t encode(const StateChange* events, size_t count, uint16_t node_id, uint8_t* out, size_t capacity) {
    const uint8_t* end = out + capacity;
    uint8_t* position = put(out, end, node_id);
    if (position == NULL) return 0;
    for (size_t index = 0; index < count; index++) {
        const StateChange* event = &events[index];
        if (position == end) return 0;
        *position++ = 0;
        if ((position = put(position, end, event->change_id)) == NULL) return 0;
        if ((position = put(position, end, event->types)) == NULL) return 0;
        if ((position = put(position, end, event->account_id)) == NULL) return 0;
    }
    return (size_t)(position - out);
}

/* Return the number of events, 0 if the batch is malformed. */
size_t decode(const uint8_t* payload, size_t size, StateChange* events, size_t capacity) {
    const uint8_t* end = payload + size;
    const uint8_t* position;
    uint64_t node_id, account_id;
    size_t count = 0;
    if ((position = get(payload, end, 16, &node_id)) == NULL) return 0;
    while (position != end) {
        StateChange* event = &events[count];
        if (*position++ != 0 || count == capacity) return 0;
        if ((position = get(position, end, 64, &event->change_id)) == NULL) return 0;
        if ((position = get(position, end, 64, &event->types)) == NULL) return 0;
        if ((position = get(position, end, 32, &account_id)) == NULL) return 0;
        event->account_id = (uint32_t)account_id;
        count++;
    }
    return count;
}

/* Encode every batch of an array, so many times; return the size of the last one. */
size_t encode_rounds(
    const StateChange* events, size_t batch, size_t batches, uint8_t* out, size_t capacity, size_t rounds
) {
    size_t size = 0;
    while (rounds-- > 0) {
        for (size_t index = 0; index < batches; index++) {
            UNKNOWN(events);
            size = encode(events + index * batch, batch, 2, out, capacity);
            UNKNOWN(out);
        }
    }
    return size;
}

/* Decode every payload of an array, so many times; return how many events the last one held. */
size_t decode_rounds(
    const uint8_t* const* payloads, const size_t* sizes, size_t batches, StateChange* events,
    size_t capacity, size_t rounds
) {
    size_t count = 0;
    while (rounds-- > 0) {
        for (size_t index = 0; index < batches; index++) {
            UNKNOWN(payloads);
            count = decode(payloads[index], sizes[index], events, capacity);
            UNKNOWN(events);
        }
    }
    return count;
}
