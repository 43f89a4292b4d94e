// SPDX-License-Identifier: MIT
// What a program hears of its own faults: signal, code, address, and that it can go on from there.
// Calls: rt_sigaction rt_sigreturn sigaltstack mmap mprotect
#define _GNU_SOURCE
#include "check.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>

static sigjmp_buf jump;
static volatile int signal_seen, code_seen;
static void *volatile address_seen;

static void leave(int signal, siginfo_t *info, void *context) {
    (void)context;
    signal_seen = signal;
    code_seen = info->si_code;
    address_seen = info->si_addr;
    siglongjmp(jump, 1);
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *), int flags) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    CHECK(sigaction(signal, &action, NULL) == 0);
}

static bool saw(int signal, int code, void *address) {
    bool same = signal_seen == signal && code_seen == code && address_seen == address;
    if (!same)
        printf("got signal %d code %d address %p, expected %d %d %p\n", signal_seen, code_seen, address_seen, signal, code,
               address);
    signal_seen = 0;
    return same;
}

#define FAULT(statement)                                                                                                           \
    do {                                                                                                                           \
        if (sigsetjmp(jump, 1) == 0) {                                                                                             \
            statement;                                                                                                             \
            CHECK(!"no fault: " #statement);                                                                                       \
        }                                                                                                                          \
    } while (0)

static char *pages(size_t n, int prot) { return mmap(NULL, n * 4096, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }

static void data_faults(void) {
    volatile char *unmapped = pages(3, PROT_READ | PROT_WRITE), *guarded = pages(2, PROT_READ | PROT_WRITE);
    volatile uint64_t sink = 0;
    munmap((void *)(unmapped + 4096), 4096);
    FAULT(sink = (uint64_t)unmapped[4096 + 17]);
    CHECK(saw(SIGSEGV, SEGV_MAPERR, (void *)(unmapped + 4096 + 17)));
    FAULT(unmapped[8191] = 1);
    CHECK(saw(SIGSEGV, SEGV_MAPERR, (void *)(unmapped + 8191)));
    CHECK(mprotect((void *)guarded, 4096, PROT_READ) == 0);
    sink = (uint64_t)guarded[5];
    FAULT(guarded[5] = 1);
    CHECK(saw(SIGSEGV, SEGV_ACCERR, (void *)(guarded + 5)));
    CHECK(mprotect((void *)guarded, 4096, PROT_NONE) == 0);
    FAULT(sink = *(volatile uint64_t *)(guarded + 64));
    CHECK(saw(SIGSEGV, SEGV_ACCERR, (void *)(guarded + 64)));
    guarded[4096] = 1;
    FAULT(*(volatile int *)16 = 1);
    CHECK(saw(SIGSEGV, SEGV_MAPERR, (void *)16));
    (void)sink;
}

static void fetch_faults(void) {
    char *data = pages(1, PROT_READ | PROT_WRITE);
    void (*volatile function)(void) = (void (*)(void))(uintptr_t)data;
    FAULT(function());
    CHECK(saw(SIGSEGV, SEGV_ACCERR, data));
    munmap(data, 4096);
    FAULT(function());
    CHECK(saw(SIGSEGV, SEGV_MAPERR, data));
    function = NULL;
    FAULT(function());
    CHECK(saw(SIGSEGV, SEGV_MAPERR, NULL));
}

static void bus_faults(void) {
    char name[] = "/tmp/kiln-abi-XXXXXX";
    int fd = mkstemp(name);
    unlink(name);
    CHECK(ftruncate(fd, 100) == 0);
    volatile char *file = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    volatile char sink = file[99];
    FAULT(sink = file[4096 + 8]);
    CHECK(saw(SIGBUS, BUS_ADRERR, (void *)(file + 4096 + 8)));
    void (*volatile function)(void) = (void (*)(void))(uintptr_t)(file + 4096);
    CHECK(mprotect((void *)file, 8192, PROT_READ | PROT_EXEC) == 0);
    FAULT(function());
    CHECK(saw(SIGBUS, BUS_ADRERR, (void *)(file + 4096)));
    (void)sink;
    close(fd);
}

static void instruction_faults(void) {
    void *volatile here = NULL;
#ifdef __riscv
    FAULT(__asm__ volatile("lla %0, 1f\n\tsd %0, %1\n1:\t.word 0" : "=&r"((uintptr_t){0}), "=m"(here)));
    CHECK(saw(SIGILL, ILL_ILLOPC, here));
    FAULT(__asm__ volatile("lla %0, 1f\n\tsd %0, %1\n1:\tebreak" : "=&r"((uintptr_t){0}), "=m"(here)));
    CHECK(saw(SIGTRAP, TRAP_BRKPT, here));
#else
    FAULT(__asm__ volatile("lea 1f(%%rip), %%rax\n\tmov %%rax, %0\n1:\tud2" : "=m"(here)::"rax"));
    CHECK(saw(SIGILL, ILL_ILLOPN, here));
    FAULT(__asm__ volatile("int3"));
    CHECK(saw(SIGTRAP, SI_KERNEL, NULL));
#endif
}

// The handler repairs what was wrong, the access is done again.
static char *volatile repair_page;
static volatile int repairs;
static void repair(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info, (void)context;
    repairs++;
    mprotect(repair_page, 4096, PROT_READ | PROT_WRITE);
}

static void repairing(void) {
    volatile char *page = repair_page = pages(1, PROT_NONE);
    handle(SIGSEGV, repair, 0);
    repairs = 0;
    for (int i = 0; i < 5; i++) {
        page[i]++;
        CHECK(repairs == i + 1 && page[i] == 1);
        mprotect((void *)page, 4096, PROT_READ);
    }
    handle(SIGSEGV, leave, 0);
}

// The handler edits registers: the faulting load gets another base.
static void redirect(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info;
    ucontext_t *uc = context;
#ifdef __riscv
    uc->uc_mcontext.__gregs[10] = (unsigned long)repair_page;
    uc->uc_mcontext.__fpregs.__d.__f[10] = 0x4045000000000000; // 42.0
#else
    uc->uc_mcontext.gregs[REG_RAX] = (greg_t)repair_page;
    uc->uc_mcontext.fpregs->_xmm[0].element[0] = 0;
    uc->uc_mcontext.fpregs->_xmm[0].element[1] = 0x40450000;
#endif
}

static void editing(void) {
    repair_page = pages(1, PROT_READ | PROT_WRITE);
    *(uint64_t *)repair_page = 0x1122334455667788;
    handle(SIGSEGV, redirect, 0);
    uint64_t value = 0;
    double number = 1;
#ifdef __riscv
    register double f __asm__("fa0") = number;
    __asm__ volatile("li a0, 8\n\tld %0, 0(a0)" : "=r"(value), "+f"(f)::"a0", "memory");
#else
    register double f __asm__("xmm0") = number;
    __asm__ volatile("mov $8, %%eax\n\tmov (%%rax), %0" : "=r"(value), "+x"(f)::"rax", "memory");
#endif
    number = f;
    CHECK(value == 0x1122334455667788 && number == 42.0);
    handle(SIGSEGV, leave, 0);
}

// Registers survive a fault in the middle of a computation.
static int __attribute__((noinline)) sum_with_faults(volatile char *page, int n) {
    int a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8;
    for (int i = 0; i < n; i++) {
        a += b ^ i, b += c, c += d & i, d += e, e ^= f, f += g, g += h, h += a & 15;
        page[i & 63] = (char)a;
        if (i % 10 == 0) mprotect((void *)page, 4096, PROT_READ);
    }
    return a + b + c + d + e + f + g + h;
}

static void registers(void) {
    repair_page = pages(1, PROT_READ | PROT_WRITE);
    handle(SIGSEGV, repair, 0);
    repairs = 0;
    int with = sum_with_faults(repair_page, 100);
    CHECK(repairs >= 9);
    CHECK(with == sum_with_faults(repair_page, 100));
    handle(SIGSEGV, leave, 0);
}

static int __attribute__((noinline)) overflow(int n) {
    volatile char fill[4096];
    fill[0] = (char)n;
    return n > 100000000 ? 0 : overflow(n + 1) + fill[0];
}

static void stack_overflow(void) {
    static char memory[65536];
    stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory};
    CHECK(sigaltstack(&stack, NULL) == 0);
    handle(SIGSEGV, leave, SA_ONSTACK);
    FAULT(overflow(0));
    CHECK(signal_seen == SIGSEGV);
    handle(SIGSEGV, leave, 0);
}

// Without a handler, or with the signal blocked or ignored: death by it.
static int fate(void (*action)(void)) {
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        action();
        _exit(0);
    }
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

static void crash(void) { *(volatile int *)8 = 1; }
static void crash_by_default(void) { signal(SIGSEGV, SIG_DFL), crash(); }
static void crash_ignoring(void) { signal(SIGSEGV, SIG_IGN), crash(); }
static void crash_blocking(void) {
    sigset_t set;
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    crash();
}
static void crash_illegal(void) { signal(SIGILL, SIG_DFL), signal(SIGTRAP, SIG_DFL), __builtin_trap(); }
static void crash_abort(void) { abort(); }
static void crash_term(void) { raise(SIGTERM); }
static void crash_without_stack(void) {
    signal(SIGSEGV, SIG_DFL);
    overflow(0);
}

static void deaths(void) {
    CHECK(fate(crash_by_default) == SIGSEGV);
    CHECK(fate(crash_ignoring) == SIGSEGV);
    CHECK(fate(crash_blocking) == SIGSEGV);
    CHECK(fate(crash_abort) == SIGABRT);
    CHECK(fate(crash_term) == SIGTERM);
    CHECK(fate(crash_without_stack) == SIGSEGV);
    int trap = fate(crash_illegal);
    CHECK(trap == SIGILL || trap == SIGTRAP);
}

int main(void) {
    handle(SIGSEGV, leave, 0);
    handle(SIGBUS, leave, 0);
    handle(SIGILL, leave, 0);
    handle(SIGTRAP, leave, 0);
    data_faults();
    fetch_faults();
    bus_faults();
    instruction_faults();
    repairing();
    editing();
    registers();
    stack_overflow();
    deaths();
    return check_summary();
}
