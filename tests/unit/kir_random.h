// SPDX-License-Identifier: MIT
//
// Random valid KIR blocks over a made-up guest, for comparing tiers and passes with each other.
#ifndef KILN_TESTS_KIR_RANDOM_H
#define KILN_TESTS_KIR_RANDOM_H

#include "engine/cpu.h"
#include "ir/kir.h"

// The guest: x0..x15 (i64), f0..f7 (f64), v0..v7 (v128), and a few helpers.
enum { RANDOM_INT = 16, RANDOM_FLOAT = 8, RANDOM_VECTOR = 8, RANDOM_GLOBALS = RANDOM_INT + RANDOM_FLOAT + RANDOM_VECTOR };
extern const KirWorld kir_random_world;

// Blocks access [buffer, buffer + RANDOM_BUFFER) and, rarely, bytes behind its end, where the caller puts an
// inaccessible page.
enum { RANDOM_BUFFER = 4096 };

// The way a block is made: through the builder, which folds, or by appending every operation as it comes.
typedef enum RandomMaking { RANDOM_BUILT, RANDOM_RAW } RandomMaking;

// Every odd seed is scalar: no vectors, nothing of 128 bits.
static inline bool kir_random_is_scalar(uint64_t seed) { return seed & 1; }
// The same seed, size and buffer give blocks of the same meaning for both ways of making. `size` = guest
// instructions.
KirBlock *kir_random_block(Arena *arena, RandomMaking making, uint64_t seed, unsigned size, const uint8_t *buffer);

// Fills registers, poll word, floating-point environment and buffer from the seed; many corner values.
void kir_random_state(Cpu *cpu, uint64_t seed, uint8_t *buffer);

#endif
