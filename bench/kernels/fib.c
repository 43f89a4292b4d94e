// SPDX-License-Identifier: MIT
// Recursive Fibonacci numbers: calls and returns, and little else.
// group: int
// size: 4400
// flags: -fno-inline -fno-optimize-sibling-calls
#include "kernel.h"

static uint64_t fib(unsigned n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

static uint64_t kernel(unsigned percent) {
    uint64_t sum = 0;
    for (unsigned round = 0; round < percent; round++) sum = sum * 3 + fib(26 + round % 2);
    return sum;
}
