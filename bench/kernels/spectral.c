// SPDX-License-Identifier: MIT
// Spectral norm of an infinite matrix by power iteration: conversions and divisions.
// group: fp
// size: 7800
#include "kernel.h"

enum { N = 160 };

static double element(int i, int j) { return 1.0 / ((i + j) * (i + j + 1) / 2 + i + 1); }

static void multiply(const double *v, double *out, int transposed) {
    for (int i = 0; i < N; i++) {
        out[i] = 0;
        for (int j = 0; j < N; j++) out[i] += (transposed ? element(j, i) : element(i, j)) * v[j];
    }
}

static uint64_t kernel(unsigned percent) {
    double u[N], v[N], t[N], uv = 0, vv = 0;
    for (int i = 0; i < N; i++) u[i] = 1;
    for (unsigned round = 0; round < percent * 3; round++) {
        multiply(u, t, 0), multiply(t, v, 1);
        multiply(v, t, 0), multiply(t, u, 1);
        if (round % 4 == 3) { // keeps it in range
            double largest = 0;
            for (int i = 0; i < N; i++) largest = u[i] > largest ? u[i] : largest;
            for (int i = 0; i < N; i++) u[i] /= largest, v[i] /= largest;
        }
    }
    for (int i = 0; i < N; i++) uv += u[i] * v[i], vv += v[i] * v[i];
    return fp_digest(sqrt(uv / vv));
}
