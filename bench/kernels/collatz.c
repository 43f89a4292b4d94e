// SPDX-License-Identifier: MIT
// Collatz sequences and greatest common divisors: division, remainder, data-dependent loops.
// group: int
// size: 830
// loop: single
#include "kernel.h"

static unsigned steps(uint64_t n) {
    unsigned count = 0;
    for (; n != 1; count++) n = n % 2 ? 3 * n + 1 : n / 2;
    return count;
}

static uint32_t gcd(uint32_t a, uint32_t b) {
    while (b) {
        uint32_t r = a % b;
        a = b, b = r;
    }
    return a;
}

static uint64_t kernel(unsigned percent) {
    uint64_t sum = 0;
    uint32_t seed = 19;
    for (unsigned i = 1; i <= percent * 15000; i++) {
        sum += steps(i);
        uint32_t a = next_random(&seed), b = next_random(&seed);
        sum += gcd(a, b) + (uint64_t)((int64_t)(a - (uint64_t)b) / (int32_t)(i + 1));
    }
    return sum;
}
