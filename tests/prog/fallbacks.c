// SPDX-License-Identifier: MIT
//
// For tests/insight.py: ROUNDS additions with a static rounding mode, and with CHILD as many more in a child that is waited for.
//   fallbacks ROUNDS [CHILD]
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((noinline)) static void work(long rounds) {
    double sum = 0;
    for (long i = 0; i < rounds; i++) __asm__ volatile("fadd.d %0, %0, %1, rtz" : "+f"(sum) : "f"(1.5));
    printf("%g\n", sum);
    fflush(stdout);
}

int main(int argc, char **argv) {
    work(argc > 1 ? atol(argv[1]) : 1);
    if (argc > 2 && !fork()) {
        work(atol(argv[2]));
        return 0;
    }
    wait(NULL);
    return 0;
}
