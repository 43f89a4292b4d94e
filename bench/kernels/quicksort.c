// SPDX-License-Identifier: MIT
// Quicksort of random words: branches that cannot be predicted, recursion.
// group: int
// size: 570
#include "kernel.h"

enum { N = 200000 };
static uint32_t data[N];

static void sort(uint32_t *low, uint32_t *high) {
    while (high - low > 12) {
        uint32_t pivot = low[(high - low) / 2], *i = low - 1, *j = high;
        for (;;) {
            while (*++i < pivot) {}
            while (*--j > pivot) {}
            if (i >= j) break;
            uint32_t t = *i;
            *i = *j, *j = t;
        }
        sort(low, j + 1);
        low = j + 1;
    }
    for (uint32_t *i = low + 1; i < high; i++) {
        uint32_t value = *i, *j = i;
        for (; j > low && j[-1] > value; j--) *j = j[-1];
        *j = value;
    }
}

static uint64_t kernel(unsigned percent) {
    uint64_t sum = 0;
    uint32_t seed = 11;
    for (unsigned round = 0; round < (percent * 2 + 4) / 5; round++) {
        for (int i = 0; i < N; i++) data[i] = next_random(&seed);
        sort(data, data + N);
        for (int i = 0; i < N; i += 997) sum = sum * 3 + data[i];
    }
    return sum;
}
