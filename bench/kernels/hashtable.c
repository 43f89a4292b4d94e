// SPDX-License-Identifier: MIT
// Open-addressed hash table: multiplications, probes, stores at random places.
// group: int
// size: 1200
#include "kernel.h"

enum { SLOTS = 1 << 16 };
static uint64_t keys[SLOTS], values[SLOTS];

static size_t find(uint64_t key) {
    size_t slot = (key * 0x9e3779b97f4a7c15u) >> 48;
    while (keys[slot] && keys[slot] != key) slot = (slot + 1) % SLOTS;
    return slot;
}

static uint64_t kernel(unsigned percent) {
    uint32_t seed = 5;
    uint64_t sum = 0;
    for (unsigned round = 0; round < percent * 6; round++) {
        memset(keys, 0, sizeof keys);
        for (int i = 0; i < 40000; i++) {
            uint64_t key = next_random(&seed) % 30000 + 1;
            size_t slot = find(key);
            if (!keys[slot]) keys[slot] = key, values[slot] = 0;
            values[slot] += (uint64_t)i;
        }
        for (uint64_t key = 1; key <= 30000; key++) {
            size_t slot = find(key);
            if (keys[slot]) sum = sum * 7 + values[slot];
        }
    }
    return sum;
}
