// SPDX-License-Identifier: MIT
// Conversions between integers and both floating-point formats, rounding, comparisons, sign operations.
// group: fp
// size: 3400
// flags: -ffp-contract=off
#include "kernel.h"

static uint64_t kernel(unsigned percent) {
    uint64_t sum = 0, x = 88172645463325252u;
    for (unsigned i = 0; i < percent * 60000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        double d = (double)(int64_t)x, e = (double)(uint32_t)x;
        float f = (float)(int32_t)(x >> 20), g = (float)(d * 0x1p-40);
        sum += (uint64_t)(int64_t)(d * 0.25) + (uint64_t)(int64_t)f;
        sum ^= (uint64_t)(int64_t)(g < f ? -g : g * 3) + (uint64_t)(e * 0.5);
        sum += d < e ? 1 : fabs(d) > 1e18 ? 2 : copysign(1.0, d) < 0 ? 3 : 4;
    }
    return sum;
}
