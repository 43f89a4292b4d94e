// SPDX-License-Identifier: MIT
// kiln: skip-native skip-interp
// (there are no traces in the interpreter, and a million rounds of it take minutes.)
//
// Faults and signals in a hot loop with loads and stores of all kinds (steps.h).
//
// When the handler is installed matters to a translator that has optimised the loop under the assumption that there is none: before
// the loop is hot, afterwards, and while another thread is in it.
#define STEPS(X)                                                                                                                   \
    X("addi s2, s2, 3", m->x[S2] += 3)                                                                                             \
    X("li a5, 77", m->x[A5] = 77)                                                                                                  \
    X("ld t0, 0(a0)", m->x[T0] = data(m->x[S0], 0))                                                                                \
    X("add a4, a4, t0", m->x[A4] += m->x[T0])                                                                                      \
    X("xori a5, a4, 0x55", m->x[A5] = m->x[A4] ^ 0x55)                                                                             \
    X("addi s2, s2, 1", m->x[S2] += 1)                                                                                             \
    X("sd a4, 0(a1)", (void)0)                                                                                                     \
    X("slli t1, s0, 3", m->x[T1] = m->x[S0] << 3)                                                                                  \
    X("add t2, t1, a5", m->x[T2] = m->x[T1] + m->x[A5])                                                                            \
    X("lw t3, 0(a2)", m->x[T3] = (uint64_t)(int32_t)data(m->x[S0], 2))                                                             \
    X("sub s3, s3, t3", m->x[S3] -= m->x[T3])                                                                                      \
    X("fld fa0, 0(a3)", m->f[FA0] = float_data(m->x[S0]))                                                                          \
    X("mv t4, t2", m->x[T4] = m->x[T2])                                                                                            \
    X("fadd.d fs2, fs2, fa0", m->f[FS2] += m->f[FA0])                                                                              \
    X("fsd fs2, 0(a6)", (void)0)                                                                                                   \
    X("li t4, -5", m->x[T4] = (uint64_t)-5)                                                                                        \
    X("amoadd.d t5, t4, (a7)", m->x[T5] = data(m->x[S0], 5))                                                                       \
    X("xor s4, s4, t5", m->x[S4] ^= m->x[T5])                                                                                      \
    X("mv t6, s4", m->x[T6] = m->x[S4])                                                                                            \
    X("lbu t4, 3(s5)", m->x[T4] = data(m->x[S0], 6) >> 24 & 255)                                                                   \
    X("addi a0, a0, 8", m->x[A0] += 8)                                                                                             \
    X("addi a1, a1, 8", m->x[A1] += 8)                                                                                             \
    X("addi a2, a2, 8", m->x[A2] += 8)                                                                                             \
    X("addi a3, a3, 8", m->x[A3] += 8)                                                                                             \
    X("addi a6, a6, 8", m->x[A6] += 8)                                                                                             \
    X("addi a7, a7, 8", m->x[A7] += 8)                                                                                             \
    X("addi s5, s5, 8", m->x[S5] += 8)                                                                                             \
    X("andi s6, s0, 15", m->x[S6] = m->x[S0] & 15)                                                                                 \
    X("bnez s6, 1f", m->step += m->x[S6] ? 2 : 0)                                                                                  \
    X("addi s7, s7, 9", m->x[S7] += 9)                                                                                             \
    X("xor s8, s8, s7", m->x[S8] ^= m->x[S7])                                                                                      \
    X("1: addi s0, s0, 1", m->x[S0] += 1)                                                                                          \
    X("blt s0, s1, 8b", m->step = m->x[S0] < m->x[S1] ? UINT64_MAX : m->step)
#define POINTER_REGISTERS A0, A1, A2, A3, A6, A7, S5
#define FAULT_OFFSET(p)   ((p) == 6 ? 3 : 0)
#define REFILLED          5
enum { WARM = 300000 };
#include "steps.h"

static void set_up(State *s) { (void)s; }

static bool handler_first(void) {
    static const uint64_t rounds[] = {0, 1, 2, 3, 7, 49, 50, 51, 52, 99, 100, 101, 102, 500, 2000};
    handle_faults();
    return faults(rounds, 15) == 15 * POINTERS && run_plain(WARM) && faults(rounds, 15) == 15 * POINTERS;
}

static bool handler_when_hot(void) {
    static const uint64_t rounds[] = {0, 1, 50, 1000};
    if (!run_plain(WARM)) return false;
    handle_faults();
    return faults(rounds, 4) == 4 * POINTERS && run_plain(WARM) && faults(rounds, 4) == 4 * POINTERS;
}

// Something else happens between the loop and the handler: answers of an optimizer come in, and are not used before.
static bool handler_between(void) {
    for (int i = 0; i < 60; i++) {
        if (!run_plain(1500)) return false;
        for (int k = 0; k < 40; k++) getppid();
        if (i % 10 == 0) usleep(5000);
    }
    handle_faults();
    static const uint64_t rounds[] = {5, 300};
    return faults(rounds, 2) == 2 * POINTERS;
}

// One thread is in the loop while another one installs the handler.
static volatile int inside, installed;
static void *loop_in_thread(void *argument) {
    unsigned pointer = (unsigned)(uintptr_t)argument;
    bool good = true;
    while (!installed) {
        good = good && run_plain(20000);
        inside++;
    }
    Expected e = prepare(pointer, 3000, PROTECTED);
    State s = e.model;
    own = &e;
    run_loop(&s);
    own = NULL;
    return good && same_end(&e, &s) && e.seen == 1 ? argument : (void *)99;
}

static unsigned of_thread;
static bool handler_while_inside(void) {
    pthread_t thread;
    void *result;
    if (pthread_create(&thread, NULL, loop_in_thread, (void *)(uintptr_t)of_thread) != 0) return false;
    while (inside < 8) sched_yield();
    handle_faults();
    installed = 1;
    pthread_join(thread, &result);
    return result == (void *)(uintptr_t)of_thread;
}

// Without a handler the process dies of it, whatever was assumed.
static bool dies(void) { return run_plain(WARM) && run_fault(0, 100, PROTECTED); }
static bool dies_by_store(void) { return run_plain(WARM) && run_fault(1, 70, UNMAPPED); }
static bool dies_ignoring(void) {
    signal(SIGSEGV, SIG_IGN);
    return run_plain(WARM) && run_fault(2, 70, UNMAPPED);
}

// Timers and faults in one.
static bool both(void) {
    static const uint64_t rounds[] = {10, 400};
    handle(SIGALRM, on_timer);
    handle_faults();
    struct itimerval timer = {{0, 300}, {0, 300}};
    setitimer(ITIMER_REAL, &timer, NULL);
    int good = 0;
    for (unsigned pointer = 0; pointer < POINTERS; pointer++)
        for (int i = 0; i < 2; i++) {
            Expected e = prepare(pointer, rounds[i], PROTECTED);
            State s = e.model;
            own = &e;
            run_loop(&s);
            own = NULL;
            good += same_end(&e, &s) && e.seen == 1;
        }
    return good == 2 * POINTERS;
}

int main(void) {
    make_regions();
    CHECK(in_child(handler_first) == 0);
    CHECK(in_child(handler_when_hot) == 0);
    CHECK(in_child(handler_between) == 0);
    for (of_thread = 0; of_thread < POINTERS; of_thread++) CHECK(in_child(handler_while_inside) == 0);
    CHECK(WTERMSIG(in_child(dies)) == SIGSEGV);
    CHECK(WTERMSIG(in_child(dies_by_store)) == SIGSEGV);
    CHECK(WTERMSIG(in_child(dies_ignoring)) == SIGSEGV);
    CHECK(in_child(timers) == 0);
    CHECK(in_child(signals_of_thread) == 0);
    CHECK(in_child(both) == 0);
    return check_summary();
}
