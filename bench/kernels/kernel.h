// SPDX-License-Identifier: MIT
//
// What all kernels share. A kernel is one file with one function `kernel` that works in proportion to `percent` and returns a
// checksum; the benchmark's size is in its head, the tests use 1 and 2. Results must not depend on the machine: no library functions
// whose last digit may differ, floating-point results go through fp_digest.
//
// bench/run reads comment lines of each file:
//   // group: int                   or `fp`
//   // size: 1200                   the benchmark's `percent`: more than 2 seconds of native code on the machine of docs/figures.md
//   // loop: single                 optional: nearly all time goes into straight inner loops that the host's compiler does not vectorise
//   // flags: ...                   optional, for the compiler
//
//   KERNEL [PERCENT [handler]]      with `handler` it catches SIGSEGV
#ifndef KERNEL_H
#define KERNEL_H

#include <inttypes.h>
#include <math.h>
#include <signal.h>
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

static void on_fault(int number) { _Exit(128 + number); }

int main(int argc, char **argv) {
    unsigned percent = argc > 1 ? (unsigned)atoi(argv[1]) : 100;
    if (argc > 2) signal(SIGSEGV, on_fault);
    printf("%016" PRIx64 "\n", kernel(percent ? percent : 1));
    return 0;
}

#endif
