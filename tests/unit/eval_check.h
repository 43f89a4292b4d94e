// SPDX-License-Identifier: MIT
//
// What the evaluator's tests share: counting checks, one operation under a chosen floating-point environment,
// random numbers with many corner values among them.
#ifndef KILN_TESTS_EVAL_CHECK_H
#define KILN_TESTS_EVAL_CHECK_H

#include <stdio.h>
#include "ir/kir.h"

extern unsigned checks_passed, checks_failed;
#define CHECK(condition, ...)                                                                                                      \
    do {                                                                                                                           \
        if (condition) checks_passed++;                                                                                            \
        else if (checks_failed++ < 50) printf("FAIL %s:%d: ", __FILE__, __LINE__), printf(__VA_ARGS__), putchar('\n');             \
    } while (0)

enum { MXCSR_NEAREST = 0x1f80, MXCSR_DOWN = 0x3f80, MXCSR_UP = 0x5f80, MXCSR_ZERO = 0x7f80, MXCSR_STICKY = 0x3d };

static inline uint32_t read_mxcsr(void) {
    uint32_t mxcsr;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr) : : "memory");
    return mxcsr;
}
static inline void write_mxcsr(uint32_t mxcsr) { __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr) : "memory"); }

// One operation: its operands' types, values, and the environment it runs under. `flags` is what it raised
// (KIR_FFLAG_*).
typedef struct Run {
    KirInsn insn;
    uint8_t types[3];
    KirValue a, b, c;
    uint32_t mxcsr;
    unsigned flags;
} Run;

static inline unsigned flags_of(uint32_t mxcsr) {
    return (mxcsr & 1) << 4 | (mxcsr & 4) << 1 | (mxcsr & 8) >> 1 | (mxcsr & 16) >> 3 | (mxcsr & 32) >> 5;
}

static inline KirValue run(Run *r) {
    uint32_t before = read_mxcsr();
    write_mxcsr(r->mxcsr ? r->mxcsr : MXCSR_NEAREST);
    KirValue result = kir_eval(&r->insn, r->types, r->a, r->b, r->c);
    r->flags = flags_of(read_mxcsr());
    write_mxcsr(before);
    return result;
}

static inline KirValue scalar(uint64_t bits) { return (KirValue){.u64 = {bits, 0}}; }

static inline uint64_t next_random(uint64_t *state) { // xorshift64*
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1du;
}

#endif
