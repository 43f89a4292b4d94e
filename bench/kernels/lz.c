// SPDX-License-Identifier: MIT
// LZ77 with a hash of three bytes: compresses, expands, compares.
// group: int
// size: 1600
#include "kernel.h"

enum { SIZE = 100000, HASHES = 1 << 12 };
static uint8_t input[SIZE], packed[SIZE * 2], output[SIZE + 300];

static size_t pack(void) {
    static int32_t last[HASHES];
    memset(last, 0xff, sizeof last);
    size_t out = 0;
    for (int32_t i = 0; i < SIZE;) {
        int32_t length = 0, from = -1;
        if (i + 3 < SIZE) {
            uint32_t hash = (uint32_t)(input[i] | input[i + 1] << 8 | input[i + 2] << 16) * 2654435761u >> 20;
            from = last[hash], last[hash] = i;
            if (from >= 0 && i - from < 65536)
                while (length < 255 && i + length < SIZE && input[from + length] == input[i + length]) length++;
        }
        if (length >= 4) {
            packed[out++] = (uint8_t)length;
            packed[out++] = (uint8_t)(i - from);
            packed[out++] = (uint8_t)((i - from) >> 8);
            i += length;
        } else {
            packed[out++] = 0;
            packed[out++] = input[i++];
        }
    }
    return out;
}

static size_t expand(size_t size) {
    size_t out = 0;
    for (size_t i = 0; i < size;) {
        unsigned length = packed[i++];
        if (!length) {
            output[out++] = packed[i++];
            continue;
        }
        size_t distance = (size_t)(packed[i] | packed[i + 1] << 8);
        i += 2;
        for (; length; length--, out++) output[out] = output[out - distance];
    }
    return out;
}

static uint64_t kernel(unsigned percent) {
    uint32_t seed = 23;
    uint64_t sum = 0;
    for (unsigned round = 0; round < percent * 4; round++) {
        for (int i = 0; i < SIZE; i++) input[i] = (uint8_t)(i % 1000 < 700 && i > 1500 ? input[i - 1500] : next_random(&seed) % 16);
        size_t size = pack();
        sum = sum * 5 + size + (expand(size) == SIZE && memcmp(input, output, SIZE) == 0);
    }
    return sum;
}
