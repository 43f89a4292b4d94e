// SPDX-License-Identifier: MIT
// For tests/run: 256 functions on four pages, all called; then N times one of them is written and all changes are announced in one of
// these ways, and the function is called. How many translations that costs is seen in --stats.
//
//   exact WAY N    WAY: range, all (an empty range), instruction; upper case: what is written is what was there
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FUNCTIONS = 256, STEP = 64 };

static void emit(char *to, int n) {
    uint32_t code[2] = {0x00000513u | (uint32_t)n << 20, 0x00008067u};
    memcpy(to, code, sizeof code);
}

static void announce(int way, char *start) {
    switch (way) {
    case 'r': syscall(SYS_riscv_flush_icache, start, start + 8, 0); break;
    case 'a': syscall(SYS_riscv_flush_icache, 0, 0, 0); break;
    default: __asm__ volatile("fence.i" ::: "memory");
    }
}

int main(int argc, char **argv) {
    int way = argc > 2 ? argv[1][0] : 'r', wrong = 0;
    char *code = mmap(NULL, FUNCTIONS * STEP, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < FUNCTIONS; i++) emit(code + i * STEP, i);
    syscall(SYS_riscv_flush_icache, code, code + FUNCTIONS * STEP, 0);
    for (int i = 0; i < FUNCTIONS; i++) wrong += ((int (*)(void))(uintptr_t)(code + i * STEP))() != i;
    for (int i = 0; i < atoi(argv[2]); i++) {
        int which = i * 37 % FUNCTIONS, n = isupper(way) ? which : 1000 + i % 1000;
        emit(code + which * STEP, n);
        announce(tolower(way), code + which * STEP);
        for (int k = 0; k < 3; k++) wrong += ((int (*)(void))(uintptr_t)(code + which * STEP))() != n;
    }
    printf("%d wrong\n", wrong);
    return wrong != 0;
}
