// SPDX-License-Identifier: MIT
// Counting, reversing and scanning bits with shifts and masks; the compiler's built-ins where it has instructions.
// group: int
// size: 3500
// loop: single
#include "kernel.h"

static uint64_t reverse(uint64_t x) {
    x = (x >> 1 & 0x5555555555555555u) | (x & 0x5555555555555555u) << 1;
    x = (x >> 2 & 0x3333333333333333u) | (x & 0x3333333333333333u) << 2;
    x = (x >> 4 & 0x0f0f0f0f0f0f0f0fu) | (x & 0x0f0f0f0f0f0f0f0fu) << 4;
    return __builtin_bswap64(x);
}

static unsigned ones(uint64_t x) {
    x -= x >> 1 & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return (unsigned)(x * 0x0101010101010101u >> 56);
}

static uint64_t kernel(unsigned percent) {
    uint64_t x = 0x123456789abcdefu, sum = 0;
    for (unsigned i = 0; i < percent * 500000; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        sum += ones(x) + (reverse(x) >> 40);
        sum = sum << 7 | sum >> 57;
    }
    return sum;
}
