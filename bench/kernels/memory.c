// SPDX-License-Identifier: MIT
// memcpy, memmove, memset and memcmp of many sizes and alignments: bandwidth of plain loads and stores.
// group: int
// size: 6400
#include "kernel.h"

enum { SIZE = 1 << 18 };
static uint8_t a[SIZE + 64], b[SIZE + 64];

static uint64_t kernel(unsigned percent) {
    uint32_t seed = 31;
    uint64_t sum = 0;
    for (int i = 0; i < SIZE; i++) a[i] = (uint8_t)next_random(&seed);
    for (unsigned round = 0; round < percent * 1000; round++) {
        size_t size = round % 4 == 0 ? 60000 + round % 1000 : 16 + round * 7 % 4000;
        size_t from = next_random(&seed) % (SIZE - size), to = next_random(&seed) % (SIZE - size);
        memcpy(b + to, a + from, size);
        memset(b + from, (int)round, size / 4);
        memmove(b + from + 1, b + from, size / 2);
        sum = sum * 3 + b[to] + (memcmp(a + from, b + to, size) > 0);
    }
    return sum;
}
