// SPDX-License-Identifier: MIT
// kiln: skip-native skip-interp
// (as traces_loop.c)
//
// A hot loop (steps.h) that changes its rounding mode: to those that the host has, to the one that it lacks, and to numbers that are none, with which
// arithmetic is an illegal instruction. All sums are exact, but the sign of a zero depends on it.
#define STEPS(X)                                                                                                                   \
    X("ld t3, 0(a0)", m->x[T3] = data(m->x[S0], 0))                                                                                \
    X("srl t0, s0, a2", m->x[T0] = m->x[S0] >> m->x[A2])                                                                           \
    X("and t0, t0, a3", m->x[T0] &= m->x[A3])                                                                                      \
    X("fsrm t0", m->rounding = (int)m->x[T0] + 1)                                                                                  \
    X("addi a4, a4, 1", m->x[A4] += 1)                                                                                             \
    X("fadd.d fs2, fs2, fa0", m->x[T0] > 4 ? (void)m->traps++ : (void)(m->f[FS2] += m->f[FA0]))                                    \
    X("fmv.d.x fa1, zero", m->f[FA0 + 1] = 0)                                                                                      \
    X("fsub.d fa1, fa1, fa1", m->x[T0] > 4 ? (void)m->traps++ : (void)(m->f[FA0 + 1] = m->x[T0] == 2 ? -0.0 : 0.0))                \
    X("addi a5, a5, 3", m->x[A5] += 3)                                                                                             \
    X("fadd.d fs2, fs2, fa0, rtz", m->f[FS2] += m->f[FA0])                                                                         \
    X("frrm t1", m->x[T1] = m->x[T0])                                                                                              \
    X("add t2, t2, t1", m->x[T2] += m->x[T1])                                                                                      \
    X("addi a0, a0, 8", m->x[A0] += 8)                                                                                             \
    X("addi s0, s0, 1", m->x[S0] += 1)                                                                                             \
    X("blt s0, s1, 8b", m->step = m->x[S0] < m->x[S1] ? UINT64_MAX : m->step)
#define POINTER_REGISTERS A0
#define FAULT_OFFSET(p)   0
#define REFILLED          0
enum { WARM = 30000 };
#include "steps.h"

static uint64_t modes, shift;

static void set_up(State *s) {
    s->x[A2] = shift;
    s->x[A3] = modes;
}

// Modes up to `most`, each for 1 << `rounds` rounds.
static void choose(uint64_t most, uint64_t rounds) {
    modes = most;
    shift = rounds;
}

static bool all_of_them(void) {
    choose(7, 0);
    return run_plain(WARM / 4) && run_plain(WARM / 4);
}
static bool in_turn(void) {
    choose(7, 9);
    return run_plain(WARM) && run_plain(WARM);
}
static bool those_of_the_host(void) {
    choose(3, 0);
    return run_plain(WARM) && run_plain(WARM);
}
static bool timers_in_turn(void) {
    choose(7, 12);
    return timers();
}
static bool faults_in_all(void) {
    static const uint64_t rounds[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 100, 101, 102, 103, 104, 105, 106, 107, 2000};
    enum { ROUNDS = sizeof rounds / sizeof *rounds };
    handle_faults();
    choose(7, 0);
    if (faults(rounds, ROUNDS) != ROUNDS) return false;
    choose(7, 5);
    return faults(rounds, ROUNDS) == ROUNDS && run_plain(WARM / 4) && faults(rounds, ROUNDS) == ROUNDS;
}

int main(void) {
    make_regions();
    handle_traps();
    CHECK(in_child(all_of_them) == 0);
    CHECK(in_child(in_turn) == 0);
    CHECK(in_child(those_of_the_host) == 0);
    CHECK(in_child(timers_in_turn) == 0);
    CHECK(in_child(faults_in_all) == 0);
    return check_summary();
}
