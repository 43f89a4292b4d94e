// SPDX-License-Identifier: MIT
// Random numbers by 64- and 128-bit products: the high half of multiplications.
// group: int
// size: 490
// loop: single
#include "kernel.h"

static uint64_t kernel(unsigned percent) {
    uint64_t x = 1, w = 0, sum = 0;
    for (unsigned i = 0; i < percent * 3000000; i++) {
        w += 0xb5ad4eceda1ce2a9u;
        x = x * x + w;
        x = x >> 32 | x << 32;
        unsigned __int128 p = (unsigned __int128)(x ^ sum) * 0xe7037ed1a0b428dbu;
        sum += (uint64_t)p ^ (uint64_t)(p >> 64);
    }
    return sum;
}
