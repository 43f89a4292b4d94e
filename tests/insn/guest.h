// SPDX-License-Identifier: MIT
//
// What freestanding guest programs need of Linux: raw system calls, output, the signal frame; and the offsets of the
// register state that enter.S loads and stores.
#ifndef TESTS_INSN_GUEST_H
#define TESTS_INSN_GUEST_H

#include <stddef.h>
#include <stdint.h>

enum { SYS_EXIT = 93, SYS_WRITE = 64, SYS_SIGALTSTACK = 132, SYS_SIGACTION = 134, SYS_MUNMAP = 215, SYS_MPROTECT = 226 };
enum { SIGILL = 4, SIGTRAP = 5, SIGBUS = 7, SIGFPE = 8, SIGSEGV = 11 };
enum { X_OFFSET = 1024, F_OFFSET = 1280, FCSR_OFFSET = 1536, ENTRY_OFFSET = 1544, EXIT_OFFSET = 1552 };

// enter.S, by anchor register
extern void *const enter_table[32], *const leave_table[32];
void run_unit(uint64_t a, void *enter);
void driver_main(uint64_t *stack);

// ---- system calls and output --------------------------------------------------------------------------------------

static inline long syscall4(long number, long a, long b, long c, long d) {
    register long a0 __asm__("a0") = a, a1 __asm__("a1") = b, a2 __asm__("a2") = c, a3 __asm__("a3") = d;
    register long a7 __asm__("a7") = number;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a3), "r"(a7) : "memory");
    return a0;
}

static char out[16384];
static unsigned out_used;

static inline void flush(void) {
    unsigned done = 0;
    while (done < out_used) {
        long n = syscall4(SYS_WRITE, 1, (long)(out + done), out_used - done, 0);
        if (n <= 0) syscall4(SYS_EXIT, 3, 0, 0, 0);
        done += n;
    }
    out_used = 0;
}

static inline void put(const char *text) {
    if (out_used > sizeof out - 256) flush();
    while (*text) out[out_used++] = *text++;
}

static inline void put_hex(uint64_t v) {
    for (int i = 60; i >= 0; i -= 4) out[out_used++] = "0123456789abcdef"[v >> i & 15];
}

static inline void put_dec(unsigned v) {
    char text[12], *p = text + 11;
    *p = 0;
    do *--p = '0' + v % 10;
    while (v /= 10);
    put(p);
}

static inline void put_line(const char *what, const char *reg, int index, uint64_t v) {
    put(what);
    put(" ");
    put(reg);
    if (index >= 0) put_dec(index);
    put(" ");
    put_hex(v);
    put("\n");
}

// ---- signals ----------------------------------------------------------------------------------------------------

// The kernel's riscv ucontext, as far as it is of use here.
typedef struct Context {
    uint64_t flags, link, stack[3], mask[16], align;
    uint64_t x[32]; // x[0] is the pc
    uint64_t f[32];
    uint32_t fcsr;
} Context;
_Static_assert(offsetof(Context, x) == 176, "uc_mcontext");

typedef struct Info {
    int32_t signal, error, code, pad;
    uint64_t address;
} Info;

static inline uint32_t insn_at(uint64_t pc) {
    const uint16_t *p = (const uint16_t *)pc;
    return (p[0] & 3) == 3 ? p[0] | (uint32_t)p[1] << 16 : p[0];
}

typedef void SignalHandler(int number, const Info *info, Context *context);

static inline void catch_signals(SignalHandler *handler) {
    static const int numbers[] = {SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV};
    static struct {
        void *handler;
        uint64_t flags, mask;
    } action;
    static struct {
        void *base;
        uint64_t flags, size;
    } stack;
    static uint8_t signal_stack[16384] __attribute__((aligned(16)));
    stack.base = signal_stack;
    stack.size = sizeof signal_stack;
    syscall4(SYS_SIGALTSTACK, (long)&stack, 0, 0, 0);
    action.handler = (void *)handler;
    action.flags = 0x08000000 | 4; // SA_ONSTACK | SA_SIGINFO
    for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; i++) syscall4(SYS_SIGACTION, numbers[i], (long)&action, 0, 8);
}

#endif
