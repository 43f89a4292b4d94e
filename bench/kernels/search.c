// SPDX-License-Identifier: MIT
// Substring search with a skip table (Horspool) and, by itself, the naive way.
// group: int
// size: 660
#include "kernel.h"

enum { LENGTH = 200000 };
static char text[LENGTH + 1];

static unsigned skip_search(const char *needle, size_t n) {
    size_t skip[256];
    unsigned found = 0;
    for (int i = 0; i < 256; i++) skip[i] = n;
    for (size_t i = 0; i + 1 < n; i++) skip[(unsigned char)needle[i]] = n - 1 - i;
    for (size_t at = 0; at + n <= LENGTH; at += skip[(unsigned char)text[at + n - 1]]) {
        size_t i = n;
        while (i && text[at + i - 1] == needle[i - 1]) i--;
        found += i == 0;
    }
    return found;
}

static unsigned naive_search(const char *needle, size_t n) {
    unsigned found = 0;
    for (size_t at = 0; at + n <= LENGTH; at++) {
        size_t i = 0;
        while (i < n && text[at + i] == needle[i]) i++;
        found += i == n;
    }
    return found;
}

static uint64_t kernel(unsigned percent) {
    uint32_t seed = 9;
    for (int i = 0; i < LENGTH; i++) text[i] = (char)('a' + next_random(&seed) % 4);
    uint64_t sum = 0;
    for (unsigned round = 0; round < percent * 4; round++) {
        const char *needle = text + next_random(&seed) % (LENGTH - 16);
        size_t n = 4 + round % 12;
        sum = sum * 3 + skip_search(needle, n) + naive_search(needle, n);
    }
    return sum;
}
