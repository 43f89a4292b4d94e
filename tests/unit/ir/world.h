// SPDX-License-Identifier: MIT
//
// A made-up guest for tests of KIR, and a machine that runs its blocks.
#ifndef TEST_IR_WORLD_H
#define TEST_IR_WORLD_H

#include "ir/kir.h"

enum { WORLD_INTS = 4, WORLD_FLOATS = 2, WORLD_VECTORS = 1, WORLD_GLOBALS = WORLD_INTS + WORLD_FLOATS + WORLD_VECTORS };
enum { HELPER_PEEK, HELPER_POKE, HELPER_PURE, HELPER_THREE, WORLD_HELPERS };
extern const KirWorld test_world;

// What running a block shows to the outside, as a hash: every memory access with address and value, every
// call, the exit taken; and, at each place where somebody may look at the globals, their values (home, or
// fault table).
typedef struct Machine {
    KirValue globals[WORLD_GLOBALS];
    uint64_t seed; // decides what loads and calls return
    bool polls;    // what POLL finds
    // after a run
    uint64_t hash;
    uint32_t events;
    bool unsupported; // an operation the machine does not know
} Machine;
void machine_run(Machine *machine, const KirBlock *block);

// A random well-formed block that was not folded; with_calls allows calls and side exits.
KirBlock *random_block(Arena *arena, uint64_t *rng, unsigned length);

static inline uint64_t next_random(uint64_t *rng) {
    uint64_t x = *rng;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *rng = x;
}

#endif
