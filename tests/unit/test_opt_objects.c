// SPDX-License-Identifier: MIT
//
// Messages that are not what the two processes send each other. Requests: kiln-opt refuses them, or compiles what it has checked. Objects
// that are not what the optimizer makes: host_place_trace refuses them, or places what it has checked. Neither reads or writes where it
// should not. Nothing of them is run. Odd seeds are in exact mode, with fault tables.
//
//   test_opt_objects [--seed N] [--count N]
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "arguments.h"
#include "engine/internal.h"
#include "kir_random.h"
#include "opt_tier.h"

enum { DEFAULT_COUNT = 12, MUTATIONS = 400, REQUESTS = 60 };

static unsigned long passed, failed, placed, refused, answered, unread;
static uint64_t state;

static uint64_t next_random(void) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1du >> 33;
}

static size_t make_request(Engine *engine, Arena *arena, uint64_t seed, uint8_t **data) {
    static const uint8_t buffer[RANDOM_BUFFER];
    KirBlock *kir = kir_random_block(arena, RANDOM_RAW, seed, 5, buffer);
    int32_t *next = arena_alloc(arena, (kir->exit_count + 1) * sizeof *next);
    for (uint32_t i = 0; i < kir->exit_count; i++) next[i] = TRACE_LEAVES;
    TraceBlock block = {.kir = kir, .next = next, .next_indirect = TRACE_LEAVES};
    TraceRequest request = {.assumptions = seed % 2 ? 0 : TRACE_NO_FAULT_HANDLER, .blocks = &block, .block_count = 1};
    return opt_tier_write(engine, &kir_random_world, &request, arena, data);
}

static void mutate(uint8_t *data, uint32_t *size) {
    for (unsigned n = 1 + (unsigned)(next_random() % 3); n; n--) {
        // Headers and tables are at the start and the end; most of it is code.
        size_t at = next_random() % *size;
        if (next_random() % 3 == 0 && *size > 64) at = next_random() % 64;
        else if (next_random() % 2 && *size > 640) at = *size - 1 - next_random() % 640;
        switch (next_random() % 4) {
        case 0: data[at] = (uint8_t)next_random(); break;
        case 1: data[at] ^= (uint8_t)(1u << next_random() % 8); break;
        case 2: data[at] = 0xff; break;
        default:
            if (next_random() % 8 == 0) *size -= (uint32_t)(next_random() % *size);
        }
    }
}

// A copy of its own size, for the sanitizer.
static uint8_t *copy_of(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) abort();
    return memcpy(copy, data, size);
}

// What mutated requests are answered; most are no requests any more.
static void ask_wrongly(const uint8_t *data, size_t size) {
    for (unsigned i = 0; i < REQUESTS; i++) {
        Arena arena = {0};
        TraceResult result;
        uint32_t mutated = (uint32_t)size;
        uint8_t *longer = copy_of(data, size);
        mutate(longer, &mutated);
        uint8_t *copy = copy_of(longer, mutated);
        Reason reason = opt_tier_answer(copy, mutated, &arena, &result);
        if (reason == REASON_BAD_REQUEST) unread++;
        else answered++;
        passed++; // it came back
        free(copy);
        free(longer);
        arena_free(&arena);
    }
}

static void check_nothing_taken(const CodeMemory *before, const CodeMemory *after, uint64_t seed) {
    if (before->code_next == after->code_next && before->data_next == after->data_next) {
        passed++;
        return;
    }
    printf("FAIL --seed %lu: a refused object took memory\n", seed);
    failed++;
}

static void one_seed(Engine *engine, Arena *arena, uint64_t seed) {
    TraceResult result;
    HostCompiled out;
    uint8_t *data;
    size_t size = make_request(engine, arena, seed, &data);
    ask_wrongly(data, size);
    if (opt_tier_answer(data, size, arena, &result) != REASON_NONE) {
        printf("FAIL --seed %lu: no object\n", seed);
        failed++;
        return;
    }
    for (unsigned i = 0; i < MUTATIONS; i++) {
        TraceResult mutated = result;
        uint8_t *copy = copy_of(result.object, result.object_size);
        if (i) mutate(copy, &mutated.object_size);
        if (i % 7 == 6) mutated.exit_count = (uint32_t)(next_random() % (result.exit_count + 1));
        mutated.object = copy;
        CodeMemory before = engine->memory;
        Reason reason = host_place_trace(engine->host, &engine->memory, &mutated, arena, &out);
        if (reason != REASON_NONE) check_nothing_taken(&before, &engine->memory, seed), refused++;
        else placed++, passed++;
        if (i == 0 && reason != REASON_NONE) printf("FAIL --seed %lu: a good object is refused\n", seed), failed++;
        engine->memory.code_next = before.code_next; // room for the next one
        free(copy);
    }
}

int main(int argc, char **argv) {
    static const uint16_t ints[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, floats[8] = {16, 17, 18, 19, 20, 21, 22, 23};
    static const EngineOptions options;
    uint64_t seed = number_argument(argc, argv, "--seed", 1), count = number_argument(argc, argv, "--count", DEFAULT_COUNT);
    Engine *engine = fast_tier_new(&kir_random_world, ints, floats, &options);
    for (uint64_t i = seed; i < seed + count; i++) {
        Arena arena = {0};
        state = i * 2 + 1;
        for (int warm_up = 0; warm_up < 8; warm_up++) next_random();
        one_seed(engine, &arena, i);
        arena_free(&arena);
    }
    printf("objects: %lu placed, %lu refused; requests: %lu answered, %lu refused\n", placed, refused, answered, unread);
    printf("%lu passed, %lu failed\n", passed, failed);
    return failed != 0;
}
