// SPDX-License-Identifier: MIT
// Atomic additions, exchanges and compare-and-swap loops of one thread.
// group: int
// size: 430
#include "kernel.h"

static uint64_t cells[64];
static uint32_t small[64];

static uint64_t kernel(unsigned percent) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < percent * 300000; i++) {
        uint64_t *cell = &cells[i % 64];
        sum += __atomic_fetch_add(cell, i, __ATOMIC_SEQ_CST);
        uint64_t old = __atomic_load_n(cell, __ATOMIC_ACQUIRE);
        while (!__atomic_compare_exchange_n(cell, &old, old * 3 + 1, 1, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {}
        sum ^= __atomic_exchange_n(&small[i * 5 % 64], i, __ATOMIC_RELEASE);
        __atomic_fetch_or(&small[i % 64], 1u << i % 32, __ATOMIC_RELAXED);
    }
    return sum;
}
