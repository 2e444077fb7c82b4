/* libnats, the C client, with one event in each message, as structs. Same protocol as worker.py:
 *
 *   libnats publish|paced|produce|check|time|latency|read URL SUBJECT StateChange|AppEvent COUNT DISTINCT RATE FILE PATIENCE
 */

#include <nats/nats.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define APP_BYTES 40

typedef struct {
    uint64_t change_id, types;
    uint32_t account_id;
    uint16_t kind;
    uint8_t payload[APP_BYTES];
} Event;

static int is_app;
static int64_t count, taken, *arrivals;
static int is_checking;
/* The user's loop: events made from fresh numbers in the publishing loop, every field read. */
#define ACCOUNTS 10007
#define KINDS 500
static int is_reading, is_producing;
static uint64_t changes[ACCOUNTS], total;
static uint8_t payloads[KINDS][APP_BYTES];
static char problem[200];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000ll + time.tv_nsec;
}

static double processor_seconds(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec
        + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void must(natsStatus status, const char* what) {
    if (status != NATS_OK) {
        fprintf(stderr, "%s: %s\n", what, natsStatus_GetText(status));
        exit(1);
    }
}

static Event numbered(int64_t number) {
    Event event = {0};
    event.account_id = (uint32_t)((1 << 15) + number % 30011);
    event.change_id = (1u << 21) + (uint64_t)number;
    event.types = 27;
    event.kind = (uint16_t)(number % 500);
    for (int index = 0; index < APP_BYTES; index++)
        event.payload[index] = (uint8_t)(number >> (8 * (3 - index % 4)));
    return event;
}

static Event fresh(int64_t number) {
    Event event = {0};
    event.account_id = (uint32_t)(number % ACCOUNTS);
    event.change_id = (1u << 21) + (uint64_t)number;
    event.types = (uint64_t)number % 64;
    event.kind = (uint16_t)(number % KINDS);
    if (is_app)
        for (int index = 0; index < APP_BYTES; index++)
            event.payload[index] = (uint8_t)(number >> (8 * (3 - index % 4)));
    return event;
}

static void read_fields(const Event* event) {
    if (is_app) {
        memcpy(payloads[event->kind % KINDS], event->payload, APP_BYTES);
        total += event->kind;
    } else {
        changes[event->account_id % ACCOUNTS] = event->change_id;
        total += event->types;
    }
}

static uint64_t check_sum(void) {
    uint64_t sum = 0;
    for (uint64_t account = 0; account < ACCOUNTS; account++) sum += account * changes[account];
    for (uint64_t kind = 0; kind < KINDS; kind++) {
        const uint8_t* bytes = payloads[kind];
        sum += kind * ((uint64_t)bytes[0] << 24 | (uint64_t)bytes[1] << 16 | (uint64_t)bytes[2] << 8 | bytes[3]);
    }
    return sum;
}

static uint8_t* put(uint8_t* position, uint64_t value) {
    while (value >= 0x80) {
        *position++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *position++ = (uint8_t)value;
    return position;
}

static const uint8_t* get(const uint8_t* position, const uint8_t* end, uint64_t* value) {
    *value = 0;
    for (int shift = 0; position != NULL && position < end && shift < 64; shift += 7) {
        *value |= (uint64_t)(*position & 0x7f) << shift;
        if (*position++ < 0x80) return position;
    }
    return NULL;
}

static int encode(const Event* event, uint8_t* out) {
    uint8_t* position = put(out, 2);
    if (is_app) {
        *position++ = 21;
        position = put(position, event->kind);
        position = put(position, APP_BYTES);
        memcpy(position, event->payload, APP_BYTES);
        return (int)(position + APP_BYTES - out);
    }
    *position++ = 0;
    position = put(position, event->change_id);
    position = put(position, event->types);
    return (int)(put(position, event->account_id) - out);
}

static int decode(const uint8_t* payload, int size, Event* event) {
    const uint8_t* end = payload + size;
    uint64_t value, length;
    const uint8_t* position = get(payload, end, &value);
    if (position == NULL || position == end) return 0;
    if (*position++ == 21) {
        if ((position = get(position, end, &value)) == NULL) return 0;
        event->kind = (uint16_t)value;
        position = get(position, end, &length);
        if (position == NULL || length != APP_BYTES || end - position != APP_BYTES) return 0;
        memcpy(event->payload, position, APP_BYTES);
        return 1;
    }
    position = get(position, end, &event->change_id);
    position = get(position, end, &event->types);
    position = get(position, end, &value);
    event->account_id = (uint32_t)value;
    return position == end;
}

static void arrive(natsConnection* client, natsSubscription* from, natsMsg* message, void* closure) {
    Event event = {0};
    int64_t place = taken;
    if (!decode((const uint8_t*)natsMsg_GetData(message), natsMsg_GetDataLength(message), &event))
        snprintf(problem, sizeof problem, "event %lld is malformed", (long long)place);
    if (is_reading) read_fields(&event);
    if (is_checking) {
        Event expected = numbered(place);
        if (is_app ? memcmp(event.payload, expected.payload, APP_BYTES) || event.kind != expected.kind
                   : event.change_id != expected.change_id || event.types != expected.types
                       || event.account_id != expected.account_id)
            snprintf(problem, sizeof problem, "event %lld is not in its place", (long long)place);
    }
    if (arrivals != NULL && place < count) {
        arrivals[2 * place] = (int64_t)event.change_id;
        arrivals[2 * place + 1] = now();
    }
    natsMsg_Destroy(message);
    if (++taken == count) {
        pthread_mutex_lock(&lock);
        pthread_cond_signal(&changed);
        pthread_mutex_unlock(&lock);
    }
    (void)client, (void)from, (void)closure;
}

static int64_t told_to_begin(void) {
    char line[200];
    const char* start;
    if (fgets(line, sizeof line, stdin) == NULL) exit(1);
    start = strstr(line, "\"start\": ");
    return start == NULL ? 0 : atoll(start + strlen("\"start\": "));
}

static void ready(void) {
    printf("{\"ready\": true, \"version\": \"%s\"}\n", nats_GetVersion());
    fflush(stdout);
}

static void publish(natsConnection* client, const char* subject, int64_t distinct, int64_t rate) {
    Event* events = malloc(sizeof(Event) * (size_t)distinct);
    uint8_t buffer[64 + APP_BYTES];
    int64_t start;
    double before, used;
    for (int64_t index = 0; index < distinct; index++)
        if (!is_producing) events[index] = numbered(index);
    ready();
    start = told_to_begin();
    before = processor_seconds();
    if (rate == 0) start = now();
    for (int64_t index = 0; index < count; index++) {
        if (rate != 0) {
            int64_t due = start + (int64_t)(index * 1e9 / rate);
            struct timespec moment = {due / 1000000000, due % 1000000000};
            while (now() < due) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, NULL);
        }
        Event made;
        const Event* event = &events[index % distinct];
        if (is_producing) {
            made = fresh(index);
            event = &made;
        }
        must(natsConnection_Publish(client, subject, buffer, encode(event, buffer)), "publish");
    }
    must(natsConnection_Flush(client), "flush");
    used = processor_seconds() - before;
    printf("{\"start\": %lld, \"end\": %lld, \"cpu\": %f}\n", (long long)start, (long long)now(), used);
    fflush(stdout);
    told_to_begin();
    free(events);
}

static void subscribe(natsConnection* client, const char* subject, const char* file, int patience) {
    natsSubscription* subscription;
    struct timespec limit;
    double before = processor_seconds();
    int64_t end;
    must(natsConnection_Subscribe(&subscription, client, subject, arrive, NULL), "subscribe");
    must(natsSubscription_SetPendingLimits(subscription, -1, -1), "limits");
    must(natsConnection_Flush(client), "flush");
    ready();
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += patience;
    pthread_mutex_lock(&lock);
    while (taken < count)
        if (pthread_cond_timedwait(&changed, &lock, &limit) != 0 && taken < count) {
            snprintf(problem, sizeof problem, "not everything had arrived after %d s", patience);
            break;
        }
    pthread_mutex_unlock(&lock);
    end = now();
    if (arrivals != NULL) {
        FILE* out = fopen(file, "wb");
        if (out == NULL || fwrite(arrivals, 16, (size_t)count, out) != (size_t)count) exit(1);
        fclose(out);
    }
    printf(
        "{\"end\": %lld, \"cpu\": %f, \"problem\": %s%s%s, \"total\": %llu, \"check\": %llu}\n",
        (long long)end, processor_seconds() - before, *problem ? "\"" : "null", problem,
        *problem ? "\"" : "", (unsigned long long)total, (unsigned long long)check_sum());
    fflush(stdout);
    natsSubscription_Destroy(subscription);
}

int main(int argc, char** argv) {
    natsOptions* options;
    natsConnection* client;
    const char* role = argv[1];
    if (argc != 10) return 2;
    is_app = strcmp(argv[4], "AppEvent") == 0;
    count = atoll(argv[5]);
    is_checking = strcmp(role, "check") == 0;
    is_reading = strcmp(role, "read") == 0;
    is_producing = strcmp(role, "produce") == 0;
    if (strcmp(role, "latency") == 0) arrivals = calloc((size_t)count, 16);
    must(natsOptions_Create(&options), "options");
    must(natsOptions_SetURL(options, argv[2]), "url");
    /* At a pace, each message leaves at once; otherwise they are gathered, as is the default. */
    must(natsOptions_SetSendAsap(options, strcmp(role, "paced") == 0), "options");
    must(natsConnection_Connect(&client, options), "connect");
    if (strcmp(role, "publish") == 0 || is_producing)
        publish(client, argv[3], atoll(argv[6]), 0);
    else if (strcmp(role, "paced") == 0)
        publish(client, argv[3], count, atoll(argv[7]));
    else
        subscribe(client, argv[3], argv[8], atoi(argv[9]));
    natsConnection_Close(client);
    natsConnection_Destroy(client);
    natsOptions_Destroy(options);
    nats_Close();
    return 0;
}
