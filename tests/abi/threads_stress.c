// SPDX-License-Identifier: MIT
// Thousands of threads made and ended, with random delays; they leave nothing behind.
// Calls: clone clone3 exit futex mmap munmap mprotect
// kiln: skip-qemu
// (qemu 7.2 keeps memory of threads that have ended.)
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <time.h>

enum { AT_ONCE = 32, WAVES = 60, IN_A_ROW = 1500 };

static void brief(unsigned microseconds) {
    struct timespec t = {0, microseconds * 1000};
    nanosleep(&t, NULL);
}

static unsigned dice(unsigned *state) {
    *state = *state * 1103515245 + 12345;
    return *state >> 16;
}

static __thread unsigned own_sum;
static unsigned done, wrong;

static void linger(unsigned *state) {
    switch (dice(state) % 4) {
    case 0: sched_yield(); break;
    case 1: brief(dice(state) % 300); break;
    case 2:
        for (volatile unsigned i = 0, n = dice(state) % 2000; i < n; i++) {}
        break;
    default: break;
    }
}

// Allocates, counts in thread-local memory, sometimes makes a thread itself.
static void *live(void *argument) {
    unsigned seed = (unsigned)(uintptr_t)argument, state = seed, sum = 0;
    pthread_t child;
    bool has_child = seed % 7 == 0 && pthread_create(&child, NULL, live, (void *)(uintptr_t)(seed + 1)) == 0;
    char *memory = malloc(100 + seed % 5000);
    memset(memory, (int)seed, 100);
    for (int i = 0; i < 10; i++) {
        unsigned add = dice(&state);
        own_sum += add, sum += add;
        linger(&state);
    }
    if (own_sum != sum || memory[99] != (char)seed) __atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
    free(memory);
    if (has_child) pthread_join(child, NULL);
    __atomic_add_fetch(&done, 1, __ATOMIC_RELEASE);
    return argument;
}

static unsigned made;
static bool wave(unsigned seed) {
    pthread_t threads[AT_ONCE];
    bool detached[AT_ONCE], good = true;
    unsigned state = seed;
    for (unsigned i = 0; i < AT_ONCE; i++) {
        unsigned number = seed * AT_ONCE + i;
        int error = pthread_create(&threads[i], NULL, live, (void *)(uintptr_t)number);
        if (error) return false;
        made += number % 7 == 0 ? 2 : 1;
        detached[i] = dice(&state) % 3 == 0;
        if (detached[i]) pthread_detach(threads[i]);
        linger(&state);
    }
    for (unsigned i = 0; i < AT_ONCE; i++) {
        void *result = NULL;
        if (!detached[i]) good &= pthread_join(threads[i], &result) == 0 && result == (void *)(uintptr_t)(seed * AT_ONCE + i);
    }
    return good;
}

static long resident_pages(void) {
    long total = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%ld %ld", &total, &resident) != 2) resident = -1;
    if (f) fclose(f);
    return resident;
}

static void *nothing(void *argument) { return argument; }

static bool in_a_row(int count) {
    for (int i = 0; i < count; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, nothing, NULL) || pthread_join(thread, NULL)) return false;
    }
    return true;
}

int main(void) {
    bool good = true;
    unsigned start = (unsigned)time(NULL) % 1000;
    for (unsigned i = 0; i < WAVES; i++) good &= wave(start + i);
    for (int i = 0; i < 10000 && __atomic_load_n(&done, __ATOMIC_ACQUIRE) < made; i++) brief(1000);
    CHECK(good);
    CHECK(done == made && wrong == 0);
    CHECK(in_a_row(IN_A_ROW / 3));
    long before = resident_pages();
    CHECK(in_a_row(IN_A_ROW));
    long after = resident_pages();
    CHECK(before > 0 && after - before < 256);
    return check_summary();
}
