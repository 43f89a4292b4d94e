// SPDX-License-Identifier: MIT
// Fast Fourier transform, in place; the roots of unity by half-angle formulas, so that no library decides their digits.
// group: fp
// size: 10000
#include "kernel.h"

enum { LOG = 12, N = 1 << LOG };
static double re[N], im[N], root_re[LOG + 1], root_im[LOG + 1];

static void transform(int sign) {
    for (unsigned i = 1, j = 0; i < N; i++) {
        unsigned bit = N >> 1;
        for (; j & bit; bit >>= 1) j ^= bit;
        j ^= bit;
        if (i >= j) continue;
        double t = re[i];
        re[i] = re[j], re[j] = t;
        t = im[i], im[i] = im[j], im[j] = t;
    }
    for (int level = 1; level <= LOG; level++) {
        unsigned half = 1u << (level - 1);
        double step_re = root_re[level], step_im = sign * root_im[level];
        for (unsigned block = 0; block < N; block += 2 * half) {
            double wr = 1, wi = 0;
            for (unsigned k = block; k < block + half; k++) {
                double xr = re[k + half] * wr - im[k + half] * wi, xi = re[k + half] * wi + im[k + half] * wr;
                re[k + half] = re[k] - xr, im[k + half] = im[k] - xi;
                re[k] += xr, im[k] += xi;
                double t = wr * step_re - wi * step_im;
                wi = wr * step_im + wi * step_re, wr = t;
            }
        }
    }
}

static uint64_t kernel(unsigned percent) {
    root_re[1] = -1, root_im[1] = 0, root_re[2] = 0, root_im[2] = 1;
    for (int i = 3; i <= LOG; i++) root_re[i] = sqrt((1 + root_re[i - 1]) / 2), root_im[i] = root_im[i - 1] / (2 * root_re[i]);
    uint32_t seed = 41;
    for (int i = 0; i < N; i++) re[i] = next_random(&seed) % 1000 * 0.001, im[i] = 0;
    double power = 0;
    for (unsigned round = 0; round < percent * 2; round++) {
        transform(1);
        if (round == 0)
            for (int i = 0; i < N; i++) power += (i % 7) * (re[i] * re[i] + im[i] * im[i]);
        transform(-1);
        for (int i = 0; i < N; i++) re[i] /= N, im[i] /= N;
    }
    double sum = power;
    for (int i = 0; i < N; i++) sum += re[i] * (i % 5);
    return fp_digest(sum);
}
