// SPDX-License-Identifier: MIT
//
// What all kernels share. A kernel is one file with one function `kernel` that works in proportion to `percent` and returns a
// checksum; 100 is the benchmark's size, the tests use less. Results must not depend on the machine: no library functions
// whose last digit may differ, floating-point results go through fp_digest.
//
// bench/run reads two comment lines of each file:  `// group: int` or `fp`, and optionally `// flags: ...` for the compiler.
#ifndef KERNEL_H
#define KERNEL_H

#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t kernel(unsigned percent);

// Six digits of a number: equal whether or not a compiler fused multiplications and additions.
static inline uint64_t fp_digest(double x) {
    char text[32];
    uint64_t hash = 0;
    snprintf(text, sizeof text, "%.6g", x);
    for (char *p = text; *p; p++) hash = hash * 31 + (unsigned char)*p;
    return hash;
}

static inline uint32_t next_random(uint32_t *state) { // xorshift
    uint32_t x = *state;
    x ^= x << 13, x ^= x >> 17, x ^= x << 5;
    return *state = x;
}

int main(int argc, char **argv) {
    unsigned percent = argc > 1 ? (unsigned)atoi(argv[1]) : 100;
    printf("%016" PRIx64 "\n", kernel(percent ? percent : 1));
    return 0;
}

#endif
