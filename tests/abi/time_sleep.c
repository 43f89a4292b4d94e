// SPDX-License-Identifier: MIT
// kiln: skip-qemu
// (it answers EINVAL where Linux answers EFAULT.)
// Clocks, sleeping, interval timers, accounting of time.
// Calls: clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday getitimer setitimer timer_create timer_settime
// Calls: timer_gettime timer_getoverrun timer_delete times getrusage clock_settime
#include "check.h"
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>

static volatile sig_atomic_t handled, value;
static void handler(int signal, siginfo_t *info, void *context) {
    (void)context;
    handled = signal;
    value = info->si_value.sival_int;
}

static double now(clockid_t clock) {
    struct timespec ts;
    CHECK(clock_gettime(clock, &ts) == 0 && ts.tv_nsec >= 0 && ts.tv_nsec < 1000000000);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void clocks(void) {
    struct timespec ts;
    struct timeval tv;
    double a = now(CLOCK_MONOTONIC), b = now(CLOCK_MONOTONIC);
    CHECK(b >= a);
    CHECK(syscall(SYS_gettimeofday, &tv, NULL) == 0 && (double)tv.tv_sec - now(CLOCK_REALTIME) < 2);
    CHECK(clock_getres(CLOCK_MONOTONIC, &ts) == 0 && ts.tv_sec == 0);
    CHECK(syscall(SYS_clock_gettime, CLOCK_BOOTTIME, &ts) == 0);
    CHECK_ERROR(syscall(SYS_clock_gettime, 99, &ts), EINVAL);
    CHECK_ERROR(syscall(SYS_clock_gettime, CLOCK_REALTIME, bad_address), EFAULT);
    CHECK_ERROR(clock_settime(CLOCK_MONOTONIC, &ts), EINVAL);
    double used = now(CLOCK_PROCESS_CPUTIME_ID);
    for (volatile int i = 0; i < 3000000; i++) {}
    CHECK(now(CLOCK_PROCESS_CPUTIME_ID) > used && now(CLOCK_THREAD_CPUTIME_ID) > 0);
    struct rusage usage;
    struct tms t;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0 && usage.ru_maxrss > 0);
    CHECK(times(&t) != -1 && t.tms_cutime >= 0);
}

static void sleeping(void) {
    struct timespec ts = {0, 20000000}, rest = {7, 7};
    double before = now(CLOCK_MONOTONIC);
    CHECK(nanosleep(&ts, &rest) == 0 && now(CLOCK_MONOTONIC) - before >= 0.02);
    CHECK(rest.tv_sec == 7);
    clock_gettime(CLOCK_MONOTONIC, &ts);
    ts.tv_nsec += 20000000;
    if (ts.tv_nsec >= 1000000000) ts.tv_sec++, ts.tv_nsec -= 1000000000;
    CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == 0);
    ts.tv_nsec = 1000000000;
    CHECK_ERROR(nanosleep(&ts, NULL), EINVAL);
    CHECK_ERROR(syscall(SYS_nanosleep, bad_address, NULL), EFAULT);
}

// A handler ends a sleep, with or without SA_RESTART, and the rest is told.
static void interrupted(int flags) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = flags | SA_SIGINFO};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval timer = {.it_value = {0, 30000}}, old;
    struct timespec ts = {10, 0}, rest = {0, 0};
    handled = 0;
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0 && getitimer(ITIMER_REAL, &old) == 0 && old.it_value.tv_usec <= 30000);
    CHECK_ERROR(nanosleep(&ts, &rest), EINTR);
    CHECK(handled == SIGALRM && rest.tv_sec == 9 && rest.tv_nsec > 0);
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    rest.tv_sec = 0;
    CHECK(clock_nanosleep(CLOCK_REALTIME, 0, &ts, &rest) == EINTR && rest.tv_sec == 9);
    CHECK(setitimer(ITIMER_REAL, &(struct itimerval){0}, &old) == 0 && old.it_value.tv_sec == 0);
}

static void posix_timers(void) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGRTMIN + 3, &action, NULL);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3, .sigev_value.sival_int = 4711};
    struct itimerspec set = {{0, 0}, {0, 20000000}}, left;
    timer_t timer;
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    handled = 0;
    CHECK(timer_settime(timer, 0, &set, NULL) == 0 && timer_gettime(timer, &left) == 0 && left.it_value.tv_nsec > 0);
    struct timespec ts = {5, 0};
    CHECK_ERROR(nanosleep(&ts, NULL), EINTR);
    CHECK(handled == SIGRTMIN + 3 && value == 4711);
    CHECK(timer_getoverrun(timer) == 0 && timer_delete(timer) == 0);
    CHECK_ERROR(syscall(SYS_timer_gettime, 12345, &left), EINVAL);
}

int main(void) {
    clocks();
    sleeping();
    interrupted(0);
    interrupted(SA_RESTART);
    posix_timers();
    return check_summary();
}
