// SPDX-License-Identifier: MIT
//
// The serialised forms of requests and results: what is written is read back, and no bytes crash a reader. What a mutated message reads
// as is written again, so that every pointer and count of it is used. Messages over a channel, small and large.
//
//   test_request [--seed N] [--count N]
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "arguments.h"
#include "base/channel.h"
#include "ir/request.h"
#include "kir_random.h"

enum { DEFAULT_COUNT = 60, MUTATIONS = 150, BLOCKS = 5 };

static unsigned long passed, failed;
static uint64_t state;

static uint64_t next_random(void) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1du >> 33;
}

static void check(bool ok, uint64_t seed, const char *what) {
    if (ok) {
        passed++;
        return;
    }
    printf("FAIL --seed %lu: %s\n", seed, what);
    failed++;
}

// ---- something to write -----------------------------------------------------------------------------------------------------------
static void make_request(Arena *arena, TraceRequest *request, uint64_t seed) {
    static const uint8_t buffer[RANDOM_BUFFER];
    unsigned count = 1 + (unsigned)(seed % BLOCKS);
    TraceBlock *blocks = arena_alloc(arena, count * sizeof *blocks);
    *request = (TraceRequest){.id = seed,
                              .heat = (uint32_t)next_random(),
                              .assumptions = TRACE_PRIVATE_MEMORY,
                              .options = TRACE_WANT_TEXT,
                              .disabled_passes = (uint32_t)next_random(),
                              .world = kir_random_world,
                              .blocks = blocks,
                              .block_count = count};
    request->layout =
        (TraceLayout){.bias = 128, .cpu = -900, .pc = -8, .ibc_entries = 1024, .ibc_entry_bytes = 16, .ibc_code = 8, .pc_shift = 1};
    for (unsigned i = 0; i < 10; i++) request->pinned_int[i] = i < 7 ? (uint16_t)i : 0xffff;
    for (unsigned i = 0; i < 8; i++) request->pinned_float[i] = (uint16_t)(RANDOM_INT + i);
    for (unsigned i = 0; i < count; i++) {
        KirBlock *kir = kir_random_block(arena, RANDOM_RAW, seed + 1000 * i, 1 + (unsigned)(seed % 7), buffer);
        int32_t *next = arena_alloc(arena, (kir->exit_count + 1) * sizeof *next);
        for (uint32_t j = 0; j < kir->exit_count; j++) {
            next[j] = TRACE_LEAVES;
            if (kir->exits[j].kind != KIR_EXIT_DIRECT || next_random() % 2) continue;
            kir->exits[j].target = kir->pc; // all blocks begin there
            next[j] = (int32_t)(next_random() % count);
        }
        bool indirect = kir->insns[kir->count - 1].op == KIR_EXIT_IND;
        blocks[i] =
            (TraceBlock){.kir = kir, .next = next, .next_indirect = indirect ? 0 : TRACE_LEAVES, .weight = (uint32_t)next_random()};
    }
}

static void make_result(Arena *arena, TraceResult *result, uint64_t seed) {
    uint32_t exits = (uint32_t)(next_random() % 5), entries = (uint32_t)(next_random() % 5), faults = (uint32_t)(next_random() % 5);
    TraceExit *exit = arena_alloc(arena, (exits + 1) * sizeof *exit);
    TraceFaultEntry *entry = arena_alloc(arena, (entries + 1) * sizeof *entry);
    TraceFault *fault = arena_alloc(arena, (faults + 1) * sizeof *fault);
    uint8_t *object = arena_alloc(arena, 100);
    for (uint32_t i = 0; i < exits; i++)
        exit[i] = (TraceExit){.exit = {.target = next_random(), .link = next_random()}, .kind = i % 2, .block = i};
    for (uint32_t i = 0; i < entries; i++) entry[i] = (TraceFaultEntry){(uint16_t)i, i % 4, (uint8_t)i, -(int64_t)next_random()};
    for (uint32_t i = 0; i < faults; i++) fault[i] = (TraceFault){i * 8, entries / 2, entries - entries / 2, next_random()};
    for (int i = 0; i < 100; i++) object[i] = (uint8_t)next_random();
    *result = (TraceResult){.id = seed,
                            .compile_ns = next_random(),
                            .exits = exit,
                            .exit_count = exits,
                            .entries = entry,
                            .entry_count = entries,
                            .faults = fault,
                            .fault_count = faults,
                            .fallbacks = 7};
    if (seed % 4 == 0) result->reason = REASON_UNSUPPORTED;
    else result->object = object, result->object_size = 1 + (uint32_t)(seed % 100);
    if (seed % 3 == 0) result->text[TRACE_TEXT_LLVM] = "define", result->text[TRACE_TEXT_ASM] = "";
}

// ---- both kinds through one test ----------------------------------------------------------------------------------------------------
typedef struct Kind {
    const char *name;
    size_t (*make)(Arena *arena, uint64_t seed, uint8_t **data);
    // False: refused. Else what was read, written again.
    bool (*again)(Arena *arena, const uint8_t *data, size_t size, uint8_t **out, size_t *out_size);
} Kind;

static size_t write_request(Arena *arena, uint64_t seed, uint8_t **data) {
    TraceRequest request;
    make_request(arena, &request, seed);
    size_t size = trace_request_write(&request, NULL, 0);
    *data = arena_alloc(arena, size);
    return trace_request_write(&request, *data, size);
}
static bool request_again(Arena *arena, const uint8_t *data, size_t size, uint8_t **out, size_t *out_size) {
    TraceRequest request;
    if (!trace_request_read(arena, &request, data, size)) return false;
    *out_size = trace_request_write(&request, NULL, 0);
    *out = arena_alloc(arena, *out_size);
    trace_request_write(&request, *out, *out_size);
    return true;
}
static size_t write_result(Arena *arena, uint64_t seed, uint8_t **data) {
    TraceResult result;
    make_result(arena, &result, seed);
    size_t size = trace_result_write(&result, NULL, 0);
    *data = arena_alloc(arena, size);
    return trace_result_write(&result, *data, size);
}
static bool result_again(Arena *arena, const uint8_t *data, size_t size, uint8_t **out, size_t *out_size) {
    TraceResult result;
    if (!trace_result_read(arena, &result, data, size)) return false;
    *out_size = trace_result_write(&result, NULL, 0);
    *out = arena_alloc(arena, *out_size);
    trace_result_write(&result, *out, *out_size);
    return true;
}
static const Kind kinds[] = {{"request", write_request, request_again}, {"result", write_result, result_again}};

// A copy of its own size on the heap, so that a sanitizer sees the first byte that is read behind it.
static bool read_exactly(Arena *arena, const Kind *kind, const uint8_t *data, size_t size, uint8_t **out, size_t *out_size) {
    uint8_t *copy = malloc(size + 1);
    if (!copy) abort();
    memcpy(copy, data, size);
    copy = realloc(copy, size ? size : 1);
    bool ok = kind->again(arena, copy, size, out, out_size);
    free(copy);
    return ok;
}

static void mutate(uint8_t *data, size_t *size) {
    for (unsigned n = 1 + (unsigned)(next_random() % 4); n; n--) {
        size_t at = next_random() % *size;
        switch (next_random() % 5) {
        case 0: data[at] = (uint8_t)next_random(); break;
        case 1: data[at] ^= (uint8_t)(1u << next_random() % 8); break;
        case 2: data[at] = 0xff; break;
        case 3: data[at]++; break;
        default:
            if (*size > 8 && next_random() % 4 == 0) *size -= next_random() % 8;
        }
    }
}

static void one_seed(Arena *arena, const Kind *kind, uint64_t seed) {
    uint8_t *data, *out;
    size_t size = kind->make(arena, seed, &data), out_size;
    bool ok = read_exactly(arena, kind, data, size, &out, &out_size);
    check(ok && out_size == size && !memcmp(out, data, size), seed, kind->name);
    for (unsigned i = 0; i < MUTATIONS; i++) {
        size_t cut = next_random() % size;
        if (i % 8 == 0) check(!read_exactly(arena, kind, data, cut, &out, &out_size), seed, "a part of a message is taken for one");
        uint8_t *copy = arena_alloc(arena, size);
        size_t mutated = size;
        memcpy(copy, data, size);
        mutate(copy, &mutated);
        read_exactly(arena, kind, copy, mutated, &out, &out_size);
        passed++; // it came back
    }
}

// ---- channels -----------------------------------------------------------------------------------------------------------------------
static void send_and_receive(int from, int to, size_t size) {
    uint8_t *data = malloc(size), *received = NULL;
    if (!data) abort();
    for (size_t i = 0; i < size; i++) data[i] = (uint8_t)next_random();
    size_t received_size = 0;
    check(channel_send(from, data, size) == CHANNEL_OK, size, "sent");
    check(channel_receive(to, &received, &received_size) == CHANNEL_OK, size, "received");
    check(received_size == size && !memcmp(received, data, size), size, "the same");
    free(received);
    free(data);
}

static void test_channels(void) {
    int hub[2], far;
    uint8_t *data, byte = 0;
    size_t size;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, hub)) abort();
    int near;
    check(channel_open(hub[0], &near) == CHANNEL_OK && channel_accept(hub[1], &far) == CHANNEL_OK, 0, "a channel is handed over");
    int none;
    check(channel_accept(hub[1], &none) == CHANNEL_AGAIN, 0, "there is one channel");
    static const size_t sizes[] = {1, 100, CHANNEL_PACKET, CHANNEL_PACKET + 1, 1 << 20, CHANNEL_LARGEST};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        send_and_receive(near, far, sizes[i]);
        send_and_receive(far, near, sizes[i]);
    }
    check(channel_receive(near, &data, &size) == CHANNEL_AGAIN, 0, "nothing is there");
    check(channel_send(near, &byte, 0) == CHANNEL_TOO_LARGE, 0, "nothing is not sent");
    check(channel_send(near, &byte, CHANNEL_LARGEST + 1) == CHANNEL_TOO_LARGE, 0, "too much is not sent");
    unsigned sent = 0;
    while (sent < 100000 && channel_send(near, &byte, 1) == CHANNEL_OK) sent++;
    check(channel_send(near, &byte, 1) == CHANNEL_AGAIN, sent, "a full channel does not wait");
    close(far);
    check(channel_send(near, &byte, 1) == CHANNEL_BROKEN, 0, "the other end is gone");
    check(channel_receive(near, &data, &size) == CHANNEL_BROKEN, 0, "the other end is gone, received");
    close(hub[1]);
    check(channel_open(hub[0], &near) == CHANNEL_BROKEN, 0, "the hub is gone");
}

int main(int argc, char **argv) {
    uint64_t seed = number_argument(argc, argv, "--seed", 1), count = number_argument(argc, argv, "--count", DEFAULT_COUNT);
    for (uint64_t i = seed; i < seed + count; i++)
        for (unsigned k = 0; k < 2; k++) {
            Arena arena = {0};
            state = i * 2 + 1;
            for (int warm_up = 0; warm_up < 8; warm_up++) next_random();
            one_seed(&arena, &kinds[k], i);
            arena_free(&arena);
        }
    test_channels();
    printf("%lu passed, %lu failed\n", passed, failed);
    return failed != 0;
}
