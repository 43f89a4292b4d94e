// SPDX-License-Identifier: MIT
// Pi and an integral from random points: integers to doubles, comparisons whose result counts.
// group: fp
// size: 17000
// flags: -ffp-contract=off
#include "kernel.h"

static uint64_t kernel(unsigned percent) {
    uint32_t seed = 53;
    uint64_t inside = 0;
    double integral = 0;
    for (unsigned i = 0; i < percent * 50000; i++) {
        double x = next_random(&seed) / 4294967296.0, y = next_random(&seed) / 4294967296.0;
        inside += x * x + y * y < 1;
        integral += sqrt(x) * y;
    }
    return inside * 1000003 + fp_digest(integral);
}
