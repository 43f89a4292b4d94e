// SPDX-License-Identifier: MIT
// Placing queens: recursion with bit masks in registers.
// group: int
// size: 3200
#include "kernel.h"

static uint64_t place(unsigned all, unsigned columns, unsigned left, unsigned right) {
    if (columns == all) return 1;
    uint64_t count = 0;
    for (unsigned free_places = all & ~(columns | left | right); free_places; free_places &= free_places - 1) {
        unsigned bit = free_places & -free_places;
        count += place(all, columns | bit, (left | bit) << 1, (right | bit) >> 1);
    }
    return count;
}

static uint64_t kernel(unsigned percent) {
    uint64_t sum = 0;
    for (unsigned round = 0; round < (percent * 4 + 4) / 5; round++) sum += place((1u << 11) - 1, 0, 0, 0);
    return sum;
}
