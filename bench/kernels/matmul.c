// SPDX-License-Identifier: MIT
// Product of double-precision matrices.
// group: fp
// size: 28000
#include "kernel.h"

enum { N = 120 };
static double a[N][N], b[N][N], c[N][N];

static uint64_t kernel(unsigned percent) {
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) a[i][j] = (i * 3 + j) % 17 - 8, b[i][j] = (i + j * 5) % 13 * 0.25;
    for (unsigned round = 0; round < (percent + 3) / 4; round++)
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                double sum = c[i][j] * 0.5;
                for (int k = 0; k < N; k++) sum += a[i][k] * b[k][j];
                c[i][j] = sum;
            }
    double sum = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) sum += c[i][j] * (i - j + 0.5);
    return fp_digest(sum);
}
