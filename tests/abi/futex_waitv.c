// SPDX-License-Identifier: MIT
// Waiting on several words at once: woken through each of them, too late, not at all, interrupted, and called wrongly.
// Calls: futex_waitv
// kiln: skip-qemu
// (It is absent there.)
#include "check.h"
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

enum { WORDS = 3, MILLISECOND = 1000000 };

static uint32_t words[WORDS] = {1, 2, 3};
static struct futex_waitv waiters[WORDS];

static void name_words(unsigned flags) {
    for (int i = 0; i < WORDS; i++)
        waiters[i] = (struct futex_waitv){.val = words[i], .uaddr = (uint64_t)&words[i], .flags = FUTEX_32 | flags};
}

static struct timespec in(clockid_t clock, long milliseconds) {
    struct timespec ts;
    clock_gettime(clock, &ts);
    ts.tv_nsec += milliseconds % 1000 * MILLISECOND;
    ts.tv_sec += milliseconds / 1000 + ts.tv_nsec / 1000000000;
    ts.tv_nsec %= 1000000000;
    return ts;
}

static long wait_until(int count, clockid_t clock, long milliseconds) {
    struct timespec ts = in(clock, milliseconds);
    return syscall(SYS_futex_waitv, waiters, count, 0, &ts, clock);
}

static bool is_over(clockid_t clock, struct timespec end) {
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec != end.tv_sec ? now.tv_sec > end.tv_sec : now.tv_nsec >= end.tv_nsec;
}

// ---- woken --------------------------------------------------------------------------------------------------------------
static int wake_operation;

// Wakes whoever waits on the word, however late that is.
static void *wake(void *word) {
    while (syscall(SYS_futex, word, wake_operation, 1) == 0) usleep(1000);
    return NULL;
}

static void woken(void) {
    for (int private = 0; private < 2; private ++) {
        name_words(private ? FUTEX_PRIVATE_FLAG : 0);
        wake_operation = FUTEX_WAKE | (private ? FUTEX_PRIVATE_FLAG : 0);
        int good = 0;
        for (int i = 0; i < WORDS; i++) {
            pthread_t thread;
            pthread_create(&thread, NULL, wake, &words[i]);
            good += wait_until(WORDS, CLOCK_MONOTONIC, 20000) == i;
            pthread_join(thread, NULL);
        }
        CHECK(good == WORDS);
    }
    pthread_t thread; // the second of two
    pthread_create(&thread, NULL, wake, &words[1]);
    CHECK(syscall(SYS_futex_waitv, waiters, 2, 0, NULL, 0) == 1); // for ever
    pthread_join(thread, NULL);
}

// ---- not woken ----------------------------------------------------------------------------------------------------------
static void too_late(void) {
    name_words(FUTEX_PRIVATE_FLAG);
    static const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME};
    for (int i = 0; i < 2; i++) {
        struct timespec end = in(clocks[i], 30);
        CHECK_ERROR(syscall(SYS_futex_waitv, waiters, 2, 0, &end, clocks[i]), ETIMEDOUT);
        CHECK(is_over(clocks[i], end));
    }
    CHECK_ERROR(wait_until(2, CLOCK_MONOTONIC, 0), ETIMEDOUT);
}

static void refused(void) {
    name_words(FUTEX_PRIVATE_FLAG);
    waiters[1].val++;
    CHECK_ERROR(wait_until(2, CLOCK_MONOTONIC, 20000), EAGAIN);
    CHECK_ERROR(wait_until(1, CLOCK_MONOTONIC, 1), ETIMEDOUT); // the other word is not looked at
    name_words(FUTEX_PRIVATE_FLAG);
    CHECK_ERROR(wait_until(0, CLOCK_MONOTONIC, 1), EINVAL);
    CHECK_ERROR(wait_until(FUTEX_WAITV_MAX + 1, CLOCK_MONOTONIC, 1), EINVAL);
    CHECK_ERROR(wait_until(2, CLOCK_PROCESS_CPUTIME_ID, 1), EINVAL);
    waiters[1].__reserved = 1;
    CHECK_ERROR(wait_until(2, CLOCK_MONOTONIC, 1), EINVAL);
    name_words(0x1000);
    CHECK_ERROR(wait_until(2, CLOCK_MONOTONIC, 1), EINVAL);
    name_words(FUTEX_PRIVATE_FLAG);
    waiters[1].uaddr++;
    CHECK_ERROR(wait_until(2, CLOCK_MONOTONIC, 1), EINVAL);
    waiters[1].uaddr = (uint64_t)bad_address;
    CHECK_ERROR(wait_until(2, CLOCK_MONOTONIC, 1), EFAULT);
    CHECK_ERROR(syscall(SYS_futex_waitv, bad_address, 2, 0, NULL, CLOCK_MONOTONIC), EFAULT);
}

// ---- interrupted --------------------------------------------------------------------------------------------------------
static volatile int handled, over;
static pthread_t waiting;

static void handler(int signal) { handled += signal == SIGUSR1; }

// One comes while the other thread waits, whenever it begins to.
static void *send(void *unused) {
    while (!over) {
        pthread_kill(waiting, SIGUSR1);
        usleep(5000);
    }
    return unused;
}

static void interrupted(void) {
    name_words(FUTEX_PRIVATE_FLAG);
    waiting = pthread_self();
    for (int restarts = 0; restarts < 2; restarts++) {
        sigaction(SIGUSR1, &(struct sigaction){.sa_handler = handler, .sa_flags = restarts ? SA_RESTART : 0}, NULL);
        pthread_t thread;
        handled = over = 0;
        struct timespec end = in(CLOCK_MONOTONIC, restarts ? 100 : 20000);
        pthread_create(&thread, NULL, send, NULL);
        errno = 0;
        long result = syscall(SYS_futex_waitv, waiters, 2, 0, &end, CLOCK_MONOTONIC);
        int number = errno;
        over = 1;
        pthread_join(thread, NULL);
        if (restarts) CHECK(result == -1 && number == ETIMEDOUT && is_over(CLOCK_MONOTONIC, end) && handled > 1);
        else CHECK(result == -1 && number == EINTR && !is_over(CLOCK_MONOTONIC, end) && handled > 0);
    }
}

int main(void) {
    woken();
    too_late();
    refused();
    interrupted();
    return check_summary();
}
