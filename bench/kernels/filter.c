// SPDX-License-Identifier: MIT
// A single-precision filter and a dot product, as of sound: short loops over floats.
// group: fp
// size: 78000
#include "kernel.h"

enum { N = 20000, TAPS = 16 };
static float in[N + TAPS], out[N], taps[TAPS];

static uint64_t kernel(unsigned percent) {
    uint32_t seed = 47;
    for (int i = 0; i < N + TAPS; i++) in[i] = (float)(next_random(&seed) % 256) - 128;
    for (int i = 0; i < TAPS; i++) taps[i] = (float)(i % 5 - 2) / 8; // exact, so sums are exact
    double sum = 0;
    for (unsigned round = 0; round < (percent + 1) / 2; round++) {
        float dot = 0, peak = 0;
        for (int i = 0; i < N; i++) {
            float y = 0;
            for (int k = 0; k < TAPS; k++) y += in[i + k] * taps[k];
            out[i] = y;
            peak = fmaxf(peak, y);
        }
        for (int i = 0; i < N; i += 100) dot += out[i] * in[i];
        sum += dot + peak;
        in[round % N] += 1;
    }
    return fp_digest(sum);
}
