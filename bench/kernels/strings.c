// SPDX-License-Identifier: MIT
// The C library's string functions on short and middling strings.
// group: int
// size: 4400
#include "kernel.h"

enum { COUNT = 512 };
static char words[COUNT][64], buffer[COUNT * 64];

static uint64_t kernel(unsigned percent) {
    uint32_t seed = 13;
    for (int i = 0; i < COUNT; i++) {
        size_t n = 3 + next_random(&seed) % 60;
        for (size_t j = 0; j < n; j++) words[i][j] = (char)('a' + next_random(&seed) % 26);
    }
    uint64_t sum = 0;
    for (unsigned round = 0; round < percent * 56; round++) {
        char *end = buffer;
        for (int i = 0; i < COUNT; i++) {
            const char *a = words[i], *b = words[(i * 7 + (int)round) % COUNT];
            sum += (uint64_t)(strcmp(a, b) < 0) + strlen(a);
            strcpy(end, b);
            end += strlen(end);
        }
        const char *found = strchr(buffer, 'a' + (int)(round % 26));
        sum += found ? (uint64_t)(found - buffer) : 1;
        sum = sum * 3 + (uint64_t)(memchr(buffer, 0, sizeof buffer) == end);
    }
    return sum;
}
