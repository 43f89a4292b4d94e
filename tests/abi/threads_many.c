// SPDX-License-Identifier: MIT
// Ten thousand threads created and joined, threads that end in every order, locks whose owners are killed.
// Calls: clone exit exit_group futex set_robust_list get_robust_list
// kiln: skip-qemu
// qemu: it keeps memory of threads that have ended
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { THREADS = 10000, ORDERED = 5, ORDERS = 120 };

static void *echo(void *argument) { return argument; }
static void created_and_joined(void) {
    intptr_t good = 0;
    for (intptr_t i = 0; i < THREADS; i++) {
        pthread_t thread;
        void *result = NULL;
        good += pthread_create(&thread, NULL, echo, (void *)(i + 1)) == 0 && pthread_join(thread, &result) == 0 &&
                result == (void *)(i + 1);
    }
    CHECK(good == THREADS);
}

// ---- in every order -----------------------------------------------------------------------------------------------------------
// Five threads, one of them the main one of a process, end in each of the 120 orders; the last one's status is the process's.
static volatile int turn, order[ORDERED];
static void *end_in_turn(void *argument) {
    int me = (int)(intptr_t)argument;
    while (order[turn] != me) sched_yield();
    turn++;
    if (me == 0) pthread_exit(NULL); // the main thread
    return NULL;
}

static void in_order(int number) {
    int left[ORDERED], count = ORDERED;
    for (int i = 0; i < ORDERED; i++) left[i] = i;
    for (int i = 0; i < ORDERED; i++) {
        int k = number % count;
        number /= count;
        order[i] = left[k];
        left[k] = left[--count];
    }
    pthread_t thread;
    for (intptr_t i = 1; i < ORDERED; i++) pthread_create(&thread, NULL, end_in_turn, (void *)i);
    end_in_turn(NULL);
}

static void every_order(void) {
    int good = 0, status;
    for (int i = 0; i < ORDERS; i++) {
        pid_t child = fork();
        if (child == 0) in_order(i);
        good += waitpid(child, &status, 0) == child && status == 0;
    }
    CHECK(good == ORDERS);
}

// ---- killed -------------------------------------------------------------------------------------------------------------------
typedef struct Shared {
    pthread_mutex_t lock;
    volatile int held;
    volatile uint64_t value;
} Shared;
static Shared *shared;

static void *hold(void *unused) {
    pthread_mutex_lock(&shared->lock);
    shared->held = 1;
    for (;;) shared->value++;
    return unused;
}

static void killed_owner(void) {
    pthread_mutexattr_t attributes;
    int good = 0, status;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&shared->lock, &attributes);
    for (int i = 0; i < 40; i++) {
        shared->held = 0;
        pid_t child = fork();
        if (child == 0) { // the owner is the main thread or another one
            pthread_t thread;
            if (i & 1) hold(NULL);
            pthread_create(&thread, NULL, hold, NULL);
            for (;;) sched_yield();
        }
        while (!shared->held) sched_yield();
        kill(child, SIGKILL);
        good += pthread_mutex_lock(&shared->lock) == EOWNERDEAD && pthread_mutex_consistent(&shared->lock) == 0;
        good += pthread_mutex_unlock(&shared->lock) == 0 && waitpid(child, &status, 0) == child && status == SIGKILL;
    }
    CHECK(good == 80);
}

int main(void) {
    created_and_joined();
    every_order();
    killed_owner();
    return check_summary();
}
