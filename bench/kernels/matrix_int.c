// SPDX-License-Identifier: MIT
// Product of integer matrices: inner loop with two strided loads and a 32-bit multiplication.
// group: int
// size: 5800
#include "kernel.h"

enum { N = 200 };
static int32_t a[N][N], b[N][N], c[N][N];

static uint64_t kernel(unsigned percent) {
    uint32_t seed = 3;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) a[i][j] = (int32_t)next_random(&seed) % 1000, b[i][j] = (int32_t)next_random(&seed) % 1000;
    for (unsigned round = 0; round < (percent + 1) / 2; round++)
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                int32_t sum = (int32_t)round;
                for (int m = 0; m < N; m++) sum += a[i][m] * b[m][j];
                c[i][j] = (c[i][j] >> 1) + (sum & 0xffff);
            }
    uint64_t sum = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) sum = sum * 31 + (uint32_t)c[i][j];
    return sum;
}
