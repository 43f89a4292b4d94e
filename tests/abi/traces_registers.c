// SPDX-License-Identifier: MIT
// Faults in hot loops whose rounds change every register before and after the access: the handler compares all of them, mends the mapping and
// goes on, at each page of a long walk. In loops of several accesses each one faults in turn.
// Calls: rt_sigaction rt_sigreturn mmap mprotect
#define _GNU_SOURCE
#include "check.h"
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { PAGE = 4096, PAGES = 64, STRIDE = 512, ROUNDS = PAGES * PAGE / STRIDE - 1 };

static char *volatile walked;
static volatile unsigned long faults, wrong;

#ifdef __riscv
// Registers 5 to 7, 11 to 31 but for s0, and fa0 to fa7 count: by 1 before the access, by 2 behind it. a0 is the address, s0 the rounds left.
#define EACH(op)                                                                                                                   \
    op(5) op(6) op(7) op(11) op(12) op(13) op(14) op(15) op(16) op(17) op(18) op(19) op(20) op(21) op(22) op(23) op(24) op(25)     \
        op(26) op(27) op(28) op(29) op(30) op(31)
#define CLEAR(n)   "li x" #n ", " #n "\n\t"
#define BEFORE(n)  "addi x" #n ", x" #n ", 1\n\t"
#define BEHIND(n)  "addi x" #n ", x" #n ", 2\n\t"
#define CLOBBER(n) "x" #n,
#define LOOP(name, access)                                                                                                         \
    extern char name##_access[];                                                                                                   \
    static void __attribute__((noinline)) name(char *start, long rounds, double one) {                                             \
        register char *at __asm__("a0") = start;                                                                                   \
        register long left __asm__("s1") = rounds;                                                                                 \
        register double f __asm__("fs1") = one;                                                                                    \
        __asm__ volatile(                                                                                                          \
            EACH(CLEAR) "fsub.d fa0, fs1, fs1\n\tfsub.d fs2, fs1, fs1\n\t"                                                         \
                        "1:\n\t" EACH(                                                                                             \
                            BEFORE) "fadd.d fa0, fa0, fs1\n\tfadd.d fs2, fs2, fs1\n\t"                                             \
                                    ".globl " #name "_access\n" #name "_access: " access "\n\t" EACH(                              \
                                        BEHIND) "fadd.d fa0, fa0, fs1\n\taddi a0, a0, 512\n\taddi s1, s1, -1\n\tbnez s1, 1b"       \
            : "+r"(at), "+r"(left)                                                                                                 \
            : "f"(f)                                                                                                               \
            : EACH(CLOBBER) "fa0", "fs2", "memory");                                                                               \
    }
LOOP(loads, "ld zero, 8(a0)")
LOOP(stores, "sw a1, 4(a0)")
LOOP(float_loads, "fld ft0, 16(a0)")
LOOP(exchanges, "amoswap.w zero, a2, (a0)")
LOOP(maxima, "amomax.d zero, a2, (a0)")

static void compare(int signal, siginfo_t *info, void *context) {
    (void)signal;
    const ucontext_t *uc = context;
    const unsigned long *x = uc->uc_mcontext.__gregs;
    const unsigned long long *f = uc->uc_mcontext.__fpregs.__d.__f;
    unsigned long round = (x[10] - (unsigned long)walked) / STRIDE;
    faults++;
#define LOOK(n) wrong += x[n] != n + 3 * round + 1;
    EACH(LOOK)
    double a = (double)(2 * round + 1), s = (double)(round + 1);
    wrong += memcmp(&f[10], &a, 8) != 0;
    wrong += memcmp(&f[18], &s, 8) != 0;
    wrong += x[9] != ROUNDS - round;
    unsigned long distance = (unsigned long)info->si_addr - x[10];
    wrong += distance > 16;
    mprotect((void *)((unsigned long)info->si_addr & -PAGE), PAGE, PROT_READ | PROT_WRITE);
}

static void walk(const char *name, void (*loop)(char *, long, double), int protection) {
    for (int i = 0; i < 4; i++) { // the later ones are hot from the start
        mprotect(walked, PAGES * PAGE, protection);
        faults = wrong = 0;
        loop(walked, ROUNDS, 1.0);
        printf("%s %s: %s\n", faults == PAGES && wrong == 0 ? "ok" : "FAIL", name, i ? "again" : "first");
        if (faults != PAGES || wrong) printf("%lu faults, %lu wrong\n", faults, wrong);
        *(faults == PAGES && wrong == 0 ? &checks_passed : &checks_failed) += 1;
    }
}

static void all(void) {
    walk("loads", loads, PROT_NONE);
    walk("stores", stores, PROT_NONE);
    walk("stores to read-only pages", stores, PROT_READ);
    walk("loads of floating-point numbers", float_loads, PROT_NONE);
    walk("exchanges", exchanges, PROT_READ);
    walk("maxima", maxima, PROT_NONE);
}
#else
static void compare(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    faults++;
    mprotect((void *)((unsigned long)info->si_addr & -PAGE), PAGE, PROT_READ | PROT_WRITE);
}

static void all(void) {
    static const char *const names[] = {"loads",     "stores", "stores to read-only pages", "loads of floating-point numbers",
                                        "exchanges", "maxima"};
    for (int i = 0; i < 24; i++) {
        volatile char *at = walked;
        mprotect(walked, PAGES * PAGE, PROT_NONE);
        faults = 0;
        for (long round = 0; round < ROUNDS; round++, at += STRIDE) (void)*at;
        printf("%s %s: %s\n", faults == PAGES ? "ok" : "FAIL", names[i / 4], i % 4 ? "again" : "first");
        *(faults == PAGES ? &checks_passed : &checks_failed) += 1;
    }
}
#endif

int main(void) {
    struct sigaction action = {.sa_sigaction = compare, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    walked = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(walked != MAP_FAILED);
    all();
    return check_summary();
}
