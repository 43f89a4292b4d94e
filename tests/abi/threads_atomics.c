// SPDX-License-Identifier: MIT
// Atomic operations under contention, with exact sums, and litmus tests of the memory model, each for a while.
// Calls: clone futex
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

enum { THREADS = 4, ROUNDS = 20000 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void together(int count, void *(*work)(void *)) {
    pthread_t threads[8];
    for (intptr_t i = 0; i < count; i++) pthread_create(&threads[i], NULL, work, (void *)i);
    for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
}

// ---- exact sums ------------------------------------------------------------------------------------------------------
static struct {
    _Atomic uint64_t added, exchanged_sum, largest, smallest, swapped;
    _Atomic uint32_t added32, bits, flipped;
    _Atomic uint16_t half;
    _Atomic uint8_t byte;
    uint64_t reserved;
    uint32_t reserved32;
    _Atomic uint64_t token;
    int failures;
} shared = {.smallest = UINT64_MAX};

// load-reserved and store-conditional with work in between
static void add_reserved(uint64_t *p, uint64_t n) {
#ifdef __riscv
    uint64_t old, failed;
    do
        __asm__ volatile("lr.d.aq %0, (%2)\n add %0, %0, %3\n sc.d.rl %1, %0, (%2)"
                         : "=&r"(old), "=&r"(failed)
                         : "r"(p), "r"(n)
                         : "memory");
    while (failed);
#else
    __atomic_fetch_add(p, n, __ATOMIC_SEQ_CST);
#endif
}

static void add_reserved32(uint32_t *p, uint32_t n) {
#ifdef __riscv
    uint32_t old, failed;
    do
        __asm__ volatile("lr.w %0, (%2)\n addw %0, %0, %3\n sc.w %1, %0, (%2)"
                         : "=&r"(old), "=&r"(failed)
                         : "r"(p), "r"(n)
                         : "memory");
    while (failed);
#else
    __atomic_fetch_add(p, n, __ATOMIC_SEQ_CST);
#endif
}

static uint64_t largest(_Atomic uint64_t *p, uint64_t n) {
#ifdef __riscv
    uint64_t old;
    __asm__ volatile("amomaxu.d.aqrl %0, %1, (%2)" : "=r"(old) : "r"(n), "r"(p) : "memory");
    return old;
#else
    uint64_t old = *p;
    while (old < n && !atomic_compare_exchange_weak(p, &old, n)) {}
    return old;
#endif
}

static uint64_t smallest(_Atomic uint64_t *p, uint64_t n) {
#ifdef __riscv
    uint64_t old;
    __asm__ volatile("amominu.d.aqrl %0, %1, (%2)" : "=r"(old) : "r"(n), "r"(p) : "memory");
    return old;
#else
    uint64_t old = *p;
    while (old > n && !atomic_compare_exchange_weak(p, &old, n)) {}
    return old;
#endif
}

static void *contend(void *argument) {
    uint64_t me = (uint64_t)(uintptr_t)argument, token = 0, sum = 0;
    for (uint64_t i = 0; i < ROUNDS; i++) {
        atomic_fetch_add(&shared.added, i);
        atomic_fetch_sub_explicit(&shared.added32, 3, memory_order_relaxed);
        atomic_fetch_or(&shared.bits, 1u << (i % 32));
        atomic_fetch_xor(&shared.flipped, 0x10001u << me);
        atomic_fetch_add(&shared.half, 1);
        atomic_fetch_add(&shared.byte, 1);
        largest(&shared.largest, me * ROUNDS + i + 1);
        smallest(&shared.smallest, me * ROUNDS + i + 1);
        add_reserved(&shared.reserved, me + 1);
        add_reserved32(&shared.reserved32, 1);
        // Whatever is put in comes out once.
        token = me * ROUNDS + i + 1;
        sum += token - atomic_exchange(&shared.token, token);
    }
    atomic_fetch_add(&shared.exchanged_sum, sum);
    return NULL;
}

static void sums(void) {
    const uint64_t n = ROUNDS;
    together(THREADS, contend);
    CHECK(shared.added == THREADS * (n * (n - 1) / 2));
    CHECK(shared.added32 == (uint32_t) - (3 * THREADS * ROUNDS));
    CHECK(shared.bits == 0xffffffff && shared.flipped == 0);
    CHECK(shared.half == (uint16_t)(THREADS * ROUNDS) && shared.byte == (uint8_t)(THREADS * ROUNDS));
    CHECK(shared.largest == THREADS * n && shared.smallest == 1);
    CHECK(shared.reserved == n * (1 + 2 + 3 + 4) && shared.reserved32 == THREADS * ROUNDS);
    CHECK(shared.exchanged_sum == shared.token); // all that was put in, less all that came out
}

// A lock of one's own making, with acquire and release alone.
static _Atomic int spin_lock;
static uint64_t guarded[16];
static void *use_lock(void *unused) {
    for (int i = 0; i < ROUNDS / 4; i++) {
        while (atomic_exchange_explicit(&spin_lock, 1, memory_order_acquire)) sched_yield();
        for (int k = 0; k < 16; k++) {
            if (guarded[k] != guarded[0]) shared.failures++;
        }
        for (int k = 15; k >= 0; k--) guarded[k]++;
        atomic_store_explicit(&spin_lock, 0, memory_order_release);
    }
    return unused;
}

static void locks(void) {
    together(THREADS, use_lock);
    CHECK(guarded[0] == THREADS * (ROUNDS / 4) && shared.failures == 0);
}

// ---- litmus tests --------------------------------------------------------------------------------------------------------
// Each round all threads start together (a generation is announced), run once, and report; the first thread judges.
enum { SLOTS = 64 };
typedef struct Line {
    _Alignas(64) _Atomic uint64_t value;
} Line;
static Line x[SLOTS], y[SLOTS];

// Plain instructions: for a relaxed store of an _Atomic the compiler may choose an amoswap, which orders more than is asked for.
static void put(Line *line, uint64_t value) { *(volatile uint64_t *)&line->value = value; }
static uint64_t get(Line *line) { return *(volatile uint64_t *)&line->value; }

static _Atomic uint64_t generation, finished;
static _Atomic int over;
static uint64_t seen[4][SLOTS][2];
static int bad_outcomes, players;
static void (*play)(int me, int slot);
static bool (*forbidden)(int slot);

// Two that the threads take turns on; the same one where there is no other.
static int processors[2];
static void find_processors(void) {
    cpu_set_t all;
    int count = 0;
    sched_getaffinity(0, sizeof all, &all);
    for (int i = 0; i < CPU_SETSIZE && count < 2; i++)
        if (CPU_ISSET((unsigned)i, &all)) processors[count++] = i;
    if (count == 1) processors[1] = processors[0];
}

// What one turn of a loop takes, at best. An interpreter needs longer between two instructions than a store to become visible.
static double loop_ns(void) {
    double best = 1e9;
    for (int i = 0; i < 20; i++) {
        double begin = now();
        for (int k = 0; k < 20000; k++) __asm__ volatile("" ::: "memory");
        double each = (now() - begin) / 20000 * 1e9;
        if (each < best) best = each;
    }
    return best;
}

static void *litmus_thread(void *argument) {
    int me = (int)(intptr_t)argument;
    double end = now() + 0.8;
    cpu_set_t processor;
    CPU_ZERO(&processor);
    CPU_SET((unsigned)processors[me % 2], &processor);
    sched_setaffinity(0, sizeof processor, &processor);
    for (uint64_t round = 1;; round++) {
        if (me == 0) {
            for (int i = 0; i < SLOTS; i++) x[i].value = y[i].value = 0;
            atomic_store(&finished, 0);
            if (now() > end) over = 1;
            atomic_store(&generation, round);
        } else {
            for (int i = 0; atomic_load(&generation) != round; i++)
                if (i % 64 == 63) sched_yield();
        }
        if (over) return NULL;
        for (volatile uint64_t i = me ? 0 : round % 256; i; i--) {} // the first thread saw the beginning first
        for (int i = 0; i < SLOTS; i++) play(me, i);
        atomic_fetch_add(&finished, 1);
        for (int i = 0; me == 0 && atomic_load(&finished) != (uint64_t)players; i++)
            if (i % 64 == 63) sched_yield();
        for (int i = 0; me == 0 && i < SLOTS; i++) bad_outcomes += forbidden(i);
    }
}

static bool litmus(int count, void (*program)(int, int), bool (*wrong)(int)) {
    generation = over = bad_outcomes = 0;
    players = count;
    play = program;
    forbidden = wrong;
    together(count, litmus_thread);
    return bad_outcomes == 0;
}

// Message passing: data, then flag.
static void message_passing(int me, int slot) {
    if (me == 0) {
        put(&x[slot], 1);
        atomic_store_explicit(&y[slot].value, 1, memory_order_release);
    } else {
        seen[1][slot][0] = atomic_load_explicit(&y[slot].value, memory_order_acquire);
        seen[1][slot][1] = get(&x[slot]);
    }
}
static void message_passing_fences(int me, int slot) {
    if (me == 0) {
        put(&x[slot], 1);
        atomic_thread_fence(memory_order_release);
        put(&y[slot], 1);
    } else {
        seen[1][slot][0] = get(&y[slot]);
        atomic_thread_fence(memory_order_acquire);
        seen[1][slot][1] = get(&x[slot]);
    }
}
static bool flag_without_data(int slot) { return seen[1][slot][0] && !seen[1][slot][1]; }

// Store buffering: each stores, then reads what the other stores; one must see the other.
static void store_buffering_fences(int me, int slot) {
    put(me ? &y[slot] : &x[slot], 1);
    atomic_thread_fence(memory_order_seq_cst);
    seen[me][slot][0] = get(me ? &x[slot] : &y[slot]);
}
static void store_buffering_exchange(int me, int slot) {
    atomic_exchange(me ? &y[slot].value : &x[slot].value, 1);
    seen[me][slot][0] = atomic_load(me ? &x[slot].value : &y[slot].value);
}
static void store_buffering_sequential(int me, int slot) {
    atomic_store(me ? &y[slot].value : &x[slot].value, 1);
    seen[me][slot][0] = atomic_load(me ? &x[slot].value : &y[slot].value);
}
static bool both_saw_nothing(int slot) { return !seen[0][slot][0] && !seen[1][slot][0]; }

// The same without anything that orders: both may see nothing, on this machine too. It shows that these tests can fail: the threads do
// run at the same time, and what was stored is not seen at once.
static void store_buffering_relaxed(int me, int slot) {
    put(me ? &y[slot] : &x[slot], 1);
    seen[me][slot][0] = get(me ? &x[slot] : &y[slot]);
}

// Load buffering: each reads, then stores what the other reads; not both may see it.
static void load_buffering(int me, int slot) {
    seen[me][slot][0] = atomic_load_explicit(me ? &x[slot].value : &y[slot].value, memory_order_acquire);
    atomic_store_explicit(me ? &y[slot].value : &x[slot].value, 1, memory_order_release);
}
static bool both_saw(int slot) { return seen[0][slot][0] && seen[1][slot][0]; }

// Independent reads of independent writes: two readers agree on the order.
static void independent_reads(int me, int slot) {
    switch (me) {
    case 0: atomic_store(&x[slot].value, 1); break;
    case 1: atomic_store(&y[slot].value, 1); break;
    case 2: seen[2][slot][0] = atomic_load(&x[slot].value), seen[2][slot][1] = atomic_load(&y[slot].value); break;
    default: seen[3][slot][0] = atomic_load(&y[slot].value), seen[3][slot][1] = atomic_load(&x[slot].value); break;
    }
}
static bool disagree(int slot) { return seen[2][slot][0] && !seen[2][slot][1] && seen[3][slot][0] && !seen[3][slot][1]; }

// Coherence: reads of one location never go back.
static void coherence(int me, int slot) {
    if (me == 0) {
        for (uint64_t i = 1; i < 20; i++) put(&x[slot], i);
    } else {
        uint64_t last = 0;
        seen[1][slot][0] = 0;
        for (int i = 0; i < 20; i++) {
            uint64_t v = get(&x[slot]);
            if (v < last) seen[1][slot][0] = 1;
            last = v;
        }
    }
}
static bool went_back(int slot) { return seen[1][slot][0]; }

// An aligned store is seen as a whole or not at all.
static void no_tearing(int me, int slot) {
    if (me == 0) {
        for (int i = 0; i < 10; i++) put(&x[slot], i & 1 ? UINT64_MAX : 0);
    } else {
        seen[1][slot][0] = 0;
        for (int i = 0; i < 10; i++) {
            uint64_t v = get(&x[slot]);
            if (v != 0 && v != UINT64_MAX) seen[1][slot][0] = 1;
        }
    }
}

int main(void) {
    sums();
    locks();
    find_processors();
    bool possible = processors[0] != processors[1] && loop_ns() < 12, found = false;
    for (int i = 0; i < 20 && possible && !found; i++) found = !litmus(2, store_buffering_relaxed, both_saw_nothing);
    CHECK(found || !possible);
    CHECK(litmus(2, message_passing, flag_without_data));
    CHECK(litmus(2, message_passing_fences, flag_without_data));
    CHECK(litmus(2, store_buffering_fences, both_saw_nothing));
    CHECK(litmus(2, store_buffering_exchange, both_saw_nothing));
    CHECK(litmus(2, store_buffering_sequential, both_saw_nothing));
    CHECK(litmus(2, load_buffering, both_saw));
    CHECK(litmus(4, independent_reads, disagree));
    CHECK(litmus(2, coherence, went_back));
    CHECK(litmus(2, no_tearing, went_back));
    return check_summary();
}
