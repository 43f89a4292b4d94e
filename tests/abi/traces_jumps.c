// SPDX-License-Identifier: MIT
// kiln: skip-native skip-interp
// (as traces_loop.c)
//
// A hot loop (steps.h) that jumps to one of four places in an order that cannot be predicted, calls and returns, and in some rounds meets
// instructions that trap (a breakpoint, an unknown instruction, a control register that is not there) and sends itself SIGFPE. All
// registers are compared at each trap, at each of these signals, and wherever a timer or another thread interrupts.
#include <sys/syscall.h>

// a6 is what the number of a round is masked with: at 0 it traps.
#define STEPS(X)                                                                                                                   \
    X("ld t3, 0(a0)", m->x[T3] = data(m->x[S0], 0))                                                                                \
    X("andi s6, t3, 3", m->x[S6] = m->x[T3] & 3)                                                                                   \
    X("slli s6, s6, 3", m->x[S6] <<= 3)                                                                                            \
    X("add s9, s10, s6", m->x[S9] = m->x[S10] + m->x[S6])                                                                          \
    X("addi a5, a5, 1", m->x[A5] += 1)                                                                                             \
    X("jr s9", m->step += m->x[S6] / 4)                                                                                            \
    X("jump_targets: addi s2, s2, 7", m->x[S2] += 7)                                                                               \
    X("j 7f", m->step += 6)                                                                                                        \
    X("xori s3, s3, 0x11", m->x[S3] ^= 0x11)                                                                                       \
    X("j 7f", m->step += 4)                                                                                                        \
    X("sub s4, s4, t3", m->x[S4] -= m->x[T3])                                                                                      \
    X("j 7f", m->step += 2)                                                                                                        \
    X("add t4, t4, s2", m->x[T4] += m->x[S2])                                                                                      \
    X("j 7f", (void)0)                                                                                                             \
    X("7: jal t0, 5f", (m->x[T0] = loop_pcs[m->step + 1], m->step += 1))                                                           \
    X("j 6f", m->step += 3)                                                                                                        \
    X("5: addi s7, s7, 9", m->x[S7] += 9)                                                                                          \
    X("xor s8, s8, s7", m->x[S8] ^= m->x[S7])                                                                                      \
    X("jr t0", m->step -= 4)                                                                                                       \
    X("6: add a4, a4, t3", m->x[A4] += m->x[T3])                                                                                   \
    X("sd a4, 0(a1)", (void)0)                                                                                                     \
    X("fadd.d fs2, fs2, fa0", m->f[FS2] += m->f[FA0])                                                                              \
    X("and s11, s0, a6", m->x[S11] = m->x[S0] & m->x[A6])                                                                          \
    X("addi t5, t5, 3", m->x[T5] += 3)                                                                                             \
    X("bnez s11, 4f", m->step += m->x[S11] ? 18 : 0)                                                                               \
    X("addi t5, t5, 1", m->x[T5] += 1)                                                                                             \
    X("ebreak", m->traps++)                                                                                                        \
    X("addi t5, t5, 1", m->x[T5] += 1)                                                                                             \
    X(".word 0x0000000b", m->traps++)                                                                                              \
    X("addi t5, t5, 1", m->x[T5] += 1)                                                                                             \
    X("csrr zero, 0x8ff", m->traps++)                                                                                              \
    X("mv t1, a0", m->x[T1] = m->x[A0])                                                                                            \
    X("mv t2, a1", m->x[T2] = m->x[A1])                                                                                            \
    X("mv t6, a7", m->x[T6] = m->x[A7])                                                                                            \
    X("li a7, 178", m->x[A7] = SYS_gettid)                                                                                         \
    X("ecall", m->x[A0] = (uint64_t)syscall(SYS_gettid))                                                                           \
    X("li a1, 8", m->x[A1] = SIGFPE)                                                                                               \
    X("li a7, 130", m->x[A7] = SYS_tkill)                                                                                          \
    X("ecall", (m->x[A0] = 0, m->signals++))                                                                                       \
    X("mv a0, t1", m->x[A0] = m->x[T1])                                                                                            \
    X("mv a1, t2", m->x[A1] = m->x[T2])                                                                                            \
    X("mv a7, t6", m->x[A7] = m->x[T6])                                                                                            \
    X("addi t5, t5, 1", m->x[T5] += 1)                                                                                             \
    X("4: addi a0, a0, 8", m->x[A0] += 8)                                                                                          \
    X("addi a1, a1, 8", m->x[A1] += 8)                                                                                             \
    X("addi s0, s0, 1", m->x[S0] += 1)                                                                                             \
    X("blt s0, s1, 8b", m->step = m->x[S0] < m->x[S1] ? UINT64_MAX : m->step)
#define POINTER_REGISTERS A0, A1
#define FAULT_OFFSET(p)   0
#define REFILLED          0
enum { WARM = 60000 };
#include "steps.h"

extern const char jump_targets[];
static uint64_t mask;

static void set_up(State *s) {
    s->x[S10] = (uint64_t)jump_targets;
    s->x[A6] = mask;
}

static const uint64_t rounds[] = {0, 1, 2, 3, 50, 51, 64, 100, 127, 128, 129, 1000, 3000};
enum { ROUNDS = sizeof rounds / sizeof *rounds };

static bool jumps_alone(void) {
    mask = UINT64_MAX;
    return run_plain(WARM) && run_plain(WARM) && run_plain(777);
}
static bool some_traps(void) {
    mask = 63;
    return run_plain(WARM) && run_plain(WARM) && run_plain(777);
}
static bool traps_all_the_time(void) {
    mask = 0;
    return run_plain(2000) && run_plain(2000) && run_plain(777);
}
static bool faults_and_traps(void) {
    mask = 15;
    handle_faults();
    return faults(rounds, ROUNDS) == ROUNDS * POINTERS && run_plain(WARM / 4) && faults(rounds, ROUNDS) == ROUNDS * POINTERS;
}
static bool faults_when_hot(void) {
    mask = 63;
    if (!run_plain(WARM)) return false;
    handle_faults();
    return faults(rounds, ROUNDS) == ROUNDS * POINTERS && run_plain(WARM) && faults(rounds, ROUNDS) == ROUNDS * POINTERS;
}
static bool timers_and_jumps(void) {
    mask = UINT64_MAX;
    return timers();
}
static bool timers_and_traps(void) {
    mask = 127;
    return timers();
}
static bool threads_and_traps(void) {
    mask = 127;
    return signals_of_thread();
}

// Without a handler the process dies of it.
static bool dies(void) {
    mask = UINT64_MAX;
    if (!run_plain(WARM)) return false;
    mask = 511;
    signal(SIGTRAP, SIG_DFL);
    return run_plain(WARM);
}
static bool dies_of_unknown_instruction(void) {
    mask = 511;
    signal(SIGILL, SIG_DFL);
    return run_plain(WARM);
}

int main(void) {
    make_regions();
    handle_traps();
    CHECK(in_child(jumps_alone) == 0);
    CHECK(in_child(some_traps) == 0);
    CHECK(in_child(traps_all_the_time) == 0);
    CHECK(in_child(faults_and_traps) == 0);
    CHECK(in_child(faults_when_hot) == 0);
    CHECK(in_child(timers_and_jumps) == 0);
    CHECK(in_child(timers_and_traps) == 0);
    CHECK(in_child(threads_and_traps) == 0);
    CHECK(WTERMSIG(in_child(dies)) == SIGTRAP);
    CHECK(WTERMSIG(in_child(dies_of_unknown_instruction)) == SIGILL);
    return check_summary();
}
