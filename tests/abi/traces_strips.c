// SPDX-License-Identifier: MIT
// kiln: skip-native skip-interp
// (as traces_loop.c)
//
// A hot loop (steps.h) of the simplest kind, which a translator may repeat or run with vectors, interrupted by a timer and by another thread:
// registers are those of one instruction of one round, and as much is stored as belongs to them. Then faults in it.
#define STEPS(X)                                                                                                                   \
    X("ld t0, 0(a0)", m->x[T0] = data(m->x[S0], 0))                                                                                \
    X("addi a0, a0, 8", m->x[A0] += 8)                                                                                             \
    X("add t0, t0, a4", m->x[T0] += m->x[A4])                                                                                      \
    X("sd t0, 0(a1)", (void)0)                                                                                                     \
    X("addi a1, a1, 8", m->x[A1] += 8)                                                                                             \
    X("addi s0, s0, 1", m->x[S0] += 1)                                                                                             \
    X("blt s0, s1, 8b", m->step = m->x[S0] < m->x[S1] ? UINT64_MAX : m->step)
#define POINTER_REGISTERS A0, A1
#define FAULT_OFFSET(p)   0
#define REFILLED          1
enum { WARM = 300000, STORE = 3 };
#include "steps.h"

static void set_up(State *s) { (void)s; }

static uint64_t stored(uint64_t round, const State *s) { return data(round, 0) + s->x[A4]; }

// What lies around the place that is stored to next. (A region of faults begins elsewhere.)
static void look_at_memory(Expected *e) {
    const State *m = &e->model;
    uint64_t next = m->x[S0] + (m->step > STORE && m->step < STEP_COUNT - 1);
    const uint64_t *at = (const uint64_t *)region[1];
    for (uint64_t i = next < 40 ? 0 : next - 40; i < next + 40 && i < m->x[S1]; i++)
        if (at[i] != (i < next ? stored(i, m) : data(i, 1))) note_wrong(e, 105);
}

static const uint64_t rounds[] = {0, 1, 2, 7, 8, 9, 100, 1023, 1024, 1025, 2049, 3000};
enum { ROUNDS = sizeof rounds / sizeof *rounds };

static bool timers_with_memory(void) {
    look = look_at_memory;
    return run_plain(WARM) && timers();
}
static bool threads_with_memory(void) {
    look = look_at_memory;
    return run_plain(WARM) && signals_of_thread();
}
static bool faults_when_hot(void) {
    if (!run_plain(WARM)) return false;
    handle_faults();
    return faults(rounds, ROUNDS) == ROUNDS * POINTERS && run_plain(WARM) && faults(rounds, ROUNDS) == ROUNDS * POINTERS;
}
static bool dies(void) { return run_plain(WARM) && run_fault(0, 1000, PROTECTED); }
static bool dies_by_store(void) { return run_plain(WARM) && run_fault(1, 2000, UNMAPPED); }

int main(void) {
    make_regions();
    CHECK(in_child(timers_with_memory) == 0);
    CHECK(in_child(threads_with_memory) == 0);
    CHECK(in_child(faults_when_hot) == 0);
    CHECK(WTERMSIG(in_child(dies)) == SIGSEGV);
    CHECK(WTERMSIG(in_child(dies_by_store)) == SIGSEGV);
    return check_summary();
}
