// SPDX-License-Identifier: MIT
// Sieve of Eratosthenes: byte stores with a growing stride.
// group: int
// size: 1500
// loop: single
#include "kernel.h"

enum { LIMIT = 2000000 };
static uint8_t composite[LIMIT];

static uint64_t kernel(unsigned percent) {
    uint64_t sum = 0;
    for (unsigned round = 0; round < (percent + 1) / 2; round++) {
        memset(composite, 0, sizeof composite);
        for (unsigned i = 2; i < LIMIT; i++) {
            if (composite[i]) continue;
            sum += i;
            for (uint64_t j = (uint64_t)i * i; j < LIMIT; j += i) composite[j] = 1;
        }
    }
    return sum;
}
