// SPDX-License-Identifier: MIT
// Threads and signals, one thing a run: threads WHAT COUNT. Prints the same however long it takes.
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static long count;

// ---- computing on one or two threads, each the same work ------------------------------------------------------------------
static void *compute(void *argument) {
    uint64_t x = (uint64_t)(uintptr_t)argument + 1, table[256];
    for (int i = 0; i < 256; i++) table[i] = x * (uint64_t)i;
    for (long i = 0; i < count; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        table[x & 255] += x;
        if (x & 4) x += table[x >> 8 & 255];
    }
    return (void *)(uintptr_t)(x & 0xffff);
}

static uint64_t together(int threads, void *(*work)(void *)) {
    pthread_t handles[2];
    uint64_t sum = 0;
    for (intptr_t i = 0; i < threads; i++) pthread_create(&handles[i], NULL, work, (void *)i);
    for (int i = 0; i < threads; i++) {
        void *result;
        pthread_join(handles[i], &result);
        sum += (uint64_t)(uintptr_t)result;
    }
    return sum;
}

// ---- a counter that two threads add to ------------------------------------------------------------------------------------
static _Atomic uint64_t counter;
static void *add(void *unused) {
    for (long i = 0; i < count; i++) atomic_fetch_add(&counter, 1);
    return unused;
}

// ---- threads made and joined ----------------------------------------------------------------------------------------------
static void *nothing(void *argument) { return argument; }
static uint64_t create(void) {
    uint64_t sum = 0;
    for (intptr_t i = 0; i < count; i++) {
        pthread_t handle;
        void *result;
        if (pthread_create(&handle, NULL, nothing, (void *)i)) return 0;
        pthread_join(handle, &result);
        sum += (uint64_t)(uintptr_t)result;
    }
    return sum;
}

// ---- kill, handler, return ------------------------------------------------------------------------------------------------
static volatile uint64_t handled;
static void handle(int signal) { handled += (uint64_t)signal; }
static uint64_t round_trips(void) {
    signal(SIGUSR1, handle);
    for (long i = 0; i < count; i++) kill(getpid(), SIGUSR1);
    return handled;
}

static uint64_t clock_calls(void) {
    uint64_t backwards = 0;
    struct timespec last = {0}, now;
    for (long i = 0; i < count; i++, last = now) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        backwards += now.tv_sec < last.tv_sec || (now.tv_sec == last.tv_sec && now.tv_nsec < last.tv_nsec);
    }
    return backwards;
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    const char *what = argv[1];
    uint64_t result = 0;
    count = atol(argv[2]);
    if (!strcmp(what, "compute1")) result = together(1, compute);
    else if (!strcmp(what, "compute2")) result = together(2, compute);
    else if (!strcmp(what, "counter")) together(2, add), result = counter;
    else if (!strcmp(what, "create")) result = create();
    else if (!strcmp(what, "signal")) result = round_trips();
    else if (!strcmp(what, "clock")) result = clock_calls();
    else return 2;
    printf("%s %llu\n", what, (unsigned long long)result);
    return 0;
}
