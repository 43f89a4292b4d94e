// SPDX-License-Identifier: MIT
// Gaussian elimination with pivots: comparisons of magnitudes, row operations.
// group: fp
// size: 5700
#include "kernel.h"

enum { N = 100 };
static double a[N][N], b[N];

static double solve(void) {
    for (int k = 0; k < N; k++) {
        int pivot = k;
        for (int i = k + 1; i < N; i++)
            if (fabs(a[i][k]) > fabs(a[pivot][k])) pivot = i;
        for (int j = k; j < N; j++) {
            double t = a[k][j];
            a[k][j] = a[pivot][j], a[pivot][j] = t;
        }
        double t = b[k];
        b[k] = b[pivot], b[pivot] = t;
        for (int i = k + 1; i < N; i++) {
            double f = a[i][k] / a[k][k];
            for (int j = k + 1; j < N; j++) a[i][j] -= f * a[k][j];
            b[i] -= f * b[k];
        }
    }
    double sum = 0;
    for (int k = N - 1; k >= 0; k--) {
        for (int j = k + 1; j < N; j++) b[k] -= a[k][j] * b[j];
        b[k] /= a[k][k];
        sum += fabs(b[k]);
    }
    return sum;
}

static uint64_t kernel(unsigned percent) {
    uint32_t seed = 43;
    double sum = 0;
    for (unsigned round = 0; round < percent * 2; round++) {
        for (int i = 0; i < N; i++) {
            b[i] = next_random(&seed) % 100;
            for (int j = 0; j < N; j++) a[i][j] = next_random(&seed) % 1000 * 0.01 + (i == j) * 60;
        }
        sum += solve();
    }
    return fp_digest(sum);
}
