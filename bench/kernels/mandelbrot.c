// SPDX-License-Identifier: MIT
// Mandelbrot set: short double-precision loop with a compare at its end. Not fused, as counts at the rim would change.
// group: fp
// size: 11000
// flags: -ffp-contract=off
#include "kernel.h"

static uint64_t kernel(unsigned percent) {
    uint64_t sum = 0;
    int height = (int)(percent * 16);
    for (int row = 0; row < height; row++)
        for (int column = 0; column < 160; column++) {
            double cr = column / 60.0 - 2, ci = row * 2.4 / height - 1.2, r = 0, i = 0;
            int n = 0;
            for (; n < 150; n++) {
                double rr = r * r, ii = i * i;
                if (rr + ii > 4) break;
                i = 2 * r * i + ci;
                r = rr - ii + cr;
            }
            sum = sum * 3 + (uint64_t)n;
        }
    return sum;
}
