// SPDX-License-Identifier: MIT
// Signals at every instruction, none lost of very many, all flags of sigaction, handlers that jump, fault and change what they return to.
// Calls: rt_sigaction rt_sigprocmask rt_sigreturn rt_sigqueueinfo sigaltstack mprotect prlimit64 wait4
// kiln: skip-qemu
// qemu: it ends with an error of its own at the program counter's bit 0
#define _GNU_SOURCE
#include "check.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <ucontext.h>

enum { PAGE = 4096, RWX = PROT_READ | PROT_WRITE | PROT_EXEC };

static void handle(int signal, void (*handler)(int, siginfo_t *, void *), int flags) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    CHECK(sigaction(signal, &action, NULL) == 0);
}

// ---- at every instruction ----------------------------------------------------------------------------------------------------
// A breakpoint stands in front of each instruction in turn; its handler is interrupted by another signal, puts the instruction back
// and returns to it. The program's result must be that of an undisturbed run.
#ifdef __riscv
__asm__(".text\n.balign 8\n.option push\n.option norvc\n"
        "steps_begin:\n"
        "    addi sp, sp, -32\n    li a5, 0\n    li a4, 7\n    sd a0, 16(sp)\n    addi a2, a0, 100\n"
        "1:  mul a3, a4, a2\n    add a5, a5, a3\n    xor a5, a5, a1\n    slli a6, a5, 3\n    srli a7, a5, 61\n    or a5, a6, a7\n"
        "    sd a5, 8(sp)\n    lbu t0, 9(sp)\n    sub a2, a2, t0\n    fcvt.d.l fa0, a5\n    fadd.d fa1, fa1, fa0\n    fmul.d fa2, "
        "fa1, fa0\n"
        "    fcvt.l.d t1, fa2, rtz\n    xor a5, a5, t1\n    lr.d t2, (sp)\n    sc.d t3, a5, (sp)\n    sd zero, (sp)\n    amoadd.d "
        "t4, a4, (a1)\n    add a5, a5, t4\n"
        "    divu t5, a5, a4\n    remu t6, a5, a4\n    add a5, t5, t6\n    addi a4, a4, -1\n    bnez a4, 1b\n"
        "    ld a0, 16(sp)\n    addi sp, sp, 32\n    add a0, a0, a5\n    ret\n"
        "steps_end:\n.option pop\n");
extern const uint32_t steps_begin[], steps_end[];
static uint32_t *steps, replaced;
static volatile int stops, others, wrong_place;
static uint32_t *volatile stop_at;

static void other(int signal, siginfo_t *info, void *context) { (void)signal, (void)info, (void)context, others++; }

static void stopped(int signal, siginfo_t *info, void *context) {
    ucontext_t *uc = context;
    (void)signal;
    stops++;
    wrong_place += info->si_addr != stop_at || uc->uc_mcontext.__gregs[REG_PC] != (unsigned long)stop_at;
    raise(SIGUSR1);
    *stop_at = replaced;
    __builtin___clear_cache((char *)stop_at, (char *)(stop_at + 1));
    if (stops & 1) uc->uc_mcontext.__gregs[REG_PC] |= 1; // there is no such bit
}

static long run_steps(void) {
    uint64_t word = 11;
    __asm__ volatile("fmv.d.x fa1, zero" ::: "fa1");
    return ((long (*)(long, uint64_t *))(uintptr_t)steps)(5, &word) + (long)word;
}

static void every_instruction(void) {
    size_t size = (size_t)((const char *)steps_end - (const char *)steps_begin), count = size / 4;
    steps = mmap(NULL, PAGE, RWX, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(steps, steps_begin, size);
    __builtin___clear_cache((char *)steps, (char *)steps + PAGE);
    handle(SIGTRAP, stopped, 0);
    handle(SIGUSR1, other, 0);
    long expected = run_steps(), good = 0;
    for (size_t i = 0; i < count; i++) {
        stop_at = steps + i;
        replaced = *stop_at;
        *stop_at = 0x00100073; // ebreak
        __builtin___clear_cache((char *)stop_at, (char *)(stop_at + 1));
        good += run_steps() == expected;
    }
    CHECK(count > 30 && good == (long)count && stops == good && others == good && wrong_place == 0);
}
#else
static void every_instruction(void) {
    for (int i = 0; i < 3; i++) CHECK(true);
}
#endif

// ---- very many --------------------------------------------------------------------------------------------------------------
enum { MANY = 100000 };
static volatile int arrived, out_of_order;
static void in_order(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    out_of_order += info->si_value.sival_int != arrived || info->si_code != SI_QUEUE;
    arrived++;
}

// As many at once as the limit allows, again and again.
static void very_many(void) {
    struct rlimit limit;
    int number = SIGRTMIN + 5, sent = 0, most = 0;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    handle(number, in_order, 0);
    CHECK(getrlimit(RLIMIT_SIGPENDING, &limit) == 0 && limit.rlim_cur > 0);
    while (sent < MANY) {
        int before = sent;
        sigprocmask(SIG_BLOCK, &set, NULL);
        while (sent < MANY && sigqueue(getpid(), number, (union sigval){.sival_int = sent}) == 0) sent++;
        if (sent < MANY && errno != EAGAIN) break;
        if (sent - before > most) most = sent - before;
        sigprocmask(SIG_UNBLOCK, &set, NULL);
        if (sent == before) usleep(1000); // other programs of this user have the queue
    }
    CHECK(sent == MANY && arrived == MANY && out_of_order == 0 && most > 0);
}

// ---- flags ------------------------------------------------------------------------------------------------------------------
static volatile int calls, last_child;
static void count_call(int signal, siginfo_t *info, void *context) {
    (void)context;
    calls++;
    last_child = signal == SIGCHLD ? info->si_code : 0;
}
static void again(int signal, siginfo_t *info, void *context) {
    (void)info, (void)context;
    if (++calls == 1) raise(signal); // SA_NODEFER: at once; SA_RESETHAND: by the default action, which ignores it
    calls += 10;
}

// A SIGCHLD between the look at the child and the sleep ends the call.
static pid_t wait_for(pid_t child, int *status) {
    pid_t pid;
    do pid = waitpid(child, status, 0);
    while (pid < 0 && errno == EINTR);
    return pid;
}

static void flags(void) {
    int status;
    handle(SIGCHLD, count_call, SA_NOCLDSTOP);
    calls = 0;
    pid_t child = fork();
    if (child == 0) {
        for (;;) pause();
    }
    CHECK(kill(child, SIGSTOP) == 0 && waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status) && calls == 0);
    CHECK(kill(child, SIGCONT) == 0 && waitpid(child, &status, WCONTINUED) == child && WIFCONTINUED(status) && calls == 0);
    CHECK(kill(child, SIGKILL) == 0 && wait_for(child, &status) == child && calls == 1 && last_child == CLD_KILLED);
    handle(SIGCHLD, count_call, SA_NOCLDWAIT);
    calls = 0;
    child = fork();
    if (child == 0) _exit(3);
    CHECK(wait_for(child, &status) == -1 && errno == ECHILD && calls == 1);
    signal(SIGCHLD, SIG_DFL);

    handle(SIGURG, again, SA_NODEFER);
    calls = 0, raise(SIGURG);
    CHECK(calls == 22);
    handle(SIGURG, again, (int)SA_RESETHAND);
    calls = 0, raise(SIGURG);
    CHECK(calls == 11);
    handle(SIGURG, again, (int)(SA_RESETHAND | SA_NODEFER));
    calls = 0, raise(SIGURG), raise(SIGURG);
    CHECK(calls == 11);
    handle(SIGURG, again, 0);
    calls = 0, raise(SIGURG);
    CHECK(calls == 22);
    signal(SIGURG, SIG_DFL);
}

// ---- out of handlers --------------------------------------------------------------------------------------------------------
static sigjmp_buf outer, inner;
static volatile int depth;
static void jump_inner(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info, (void)context;
    depth++;
    siglongjmp(inner, 1);
}
static void jump_outer(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info, (void)context;
    if (sigsetjmp(inner, 1) == 0) raise(SIGUSR2);
    depth += 100;
    siglongjmp(outer, 1);
}

static void jumping(void) {
    static char memory[65536];
    stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory}, now;
    int good = 0;
    sigset_t set;
    CHECK(sigaltstack(&stack, NULL) == 0);
    handle(SIGUSR1, jump_outer, SA_ONSTACK);
    handle(SIGUSR2, jump_inner, SA_ONSTACK);
    for (int i = 0; i < 300; i++) {
        depth = 0;
        if (sigsetjmp(outer, 1) == 0) raise(SIGUSR1);
        sigprocmask(SIG_SETMASK, NULL, &set);
        sigaltstack(NULL, &now);
        good += depth == 101 && !sigismember(&set, SIGUSR1) && !sigismember(&set, SIGUSR2) && now.ss_flags == 0;
    }
    CHECK(good == 300);
    stack.ss_flags = SS_DISABLE;
    sigaltstack(&stack, NULL);
}

// ---- an alternate stack that a handler asks for by changing its frame; flags that nobody knows -------------------------------------------
static volatile int frame_size;
static void change_frame(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info;
    stack_t *stack = &((ucontext_t *)context)->uc_stack;
    stack->ss_flags = 0;
    stack->ss_size = (size_t)frame_size;
    if (!frame_size) stack->ss_sp = NULL;
}

static void frames(void) {
    static char memory[65536];
    stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory}, now;
    CHECK(sigaltstack(&stack, NULL) == 0);
    handle(SIGUSR1, change_frame, 0);
    for (int i = 0; i < 3; i++) {
        frame_size = (int[]){0, 64, 32768}[i];
        raise(SIGUSR1);
        sigaltstack(NULL, &now);
        CHECK(now.ss_sp == memory && now.ss_size == (i == 2 ? 32768 : sizeof memory) && now.ss_flags == 0);
    }
    stack.ss_flags = SS_DISABLE;
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_handler = SIG_DFL, .sa_flags = SA_RESTART | 0x400}, known;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && sigaction(SIGUSR1, NULL, &known) == 0);
    CHECK((known.sa_flags & SA_RESTART) && !(known.sa_flags & 0x400));
}

// ---- faults inside handlers, and barriers -------------------------------------------------------------------------------------
static char *barrier;
static volatile int barrier_hits, inside;
static void lift(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    barrier_hits++;
    mprotect((char *)((uintptr_t)info->si_addr & ~(uintptr_t)(PAGE - 1)), PAGE, PROT_READ | PROT_WRITE);
}
static void write_inside(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info, (void)context;
    barrier[inside * PAGE] = (char)inside;
    inside++;
}

static void barriers(void) {
    enum { PAGES = 64 };
    barrier = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    handle(SIGSEGV, lift, 0);
    handle(SIGUSR1, write_inside, 0);
    int good = 0;
    while (inside < PAGES) raise(SIGUSR1);
    for (int i = 0; i < PAGES; i++) good += barrier[i * PAGE] == (char)i;
    CHECK(good == PAGES && barrier_hits == PAGES);
    barrier_hits = good = 0;
    for (int round = 0; round < 50; round++) {
        mprotect(barrier, PAGES * PAGE, PROT_READ);
        for (int i = 0; i < PAGES * PAGE; i += 1024) *(volatile uint64_t *)(barrier + i) += (uint64_t)i;
        __atomic_fetch_add((uint64_t *)barrier, 1, __ATOMIC_SEQ_CST);
    }
    CHECK(barrier_hits == 50 * PAGES);
    for (int i = PAGE; i < PAGES * PAGE; i += PAGE) good += *(uint64_t *)(barrier + i) == (uint64_t)i * 50 + (uint64_t)(i / PAGE);
    CHECK(good == PAGES - 1 && *(uint64_t *)barrier == 50);
    signal(SIGSEGV, SIG_DFL);
}

// ---- no memory ----------------------------------------------------------------------------------------------------------------
static void no_memory(void) {
    struct rlimit old, tight;
    CHECK(mmap(NULL, (size_t)1 << 47, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == ENOMEM);
    CHECK(malloc((size_t)1 << 46) == NULL);
    CHECK(getrlimit(RLIMIT_DATA, &old) == 0);
    tight = (struct rlimit){1 << 20, old.rlim_max};
    CHECK(setrlimit(RLIMIT_DATA, &tight) == 0);
    handle(SIGUSR1, count_call, 0);
    calls = 0;
    CHECK(mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == ENOMEM);
    for (int i = 0; i < 100; i++) raise(SIGUSR1);
    CHECK(calls == 100);
    CHECK(setrlimit(RLIMIT_DATA, &old) == 0 && malloc(64 << 20) != NULL);
}

int main(void) {
    every_instruction();
    very_many();
    flags();
    jumping();
    frames();
    barriers();
    no_memory();
    return check_summary();
}
