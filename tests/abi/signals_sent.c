// SPDX-License-Identifier: MIT
// Signals that usually come from faults, sent by somebody instead.
// Calls: kill rt_sigpending rt_sigtimedwait rt_sigprocmask ppoll pselect6 rt_sigsuspend
// kiln: skip-qemu
// qemu: it has its own idea of blocking SIGSEGV
#define _GNU_SOURCE
#include "check.h"
#include <poll.h>
#include <signal.h>
#include <sys/select.h>
#include <time.h>

static volatile sig_atomic_t count;
static volatile int last_signal, last_code;

static void note(int signal, siginfo_t *info, void *context) {
    (void)context;
    count++;
    last_signal = signal;
    last_code = info->si_code;
}

static void handle(int signal) {
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(signal, &action, NULL) == 0);
}

int main(void) {
    sigset_t set, pending;
    siginfo_t info;
    struct timespec none = {0, 0};
    sigemptyset(&set);
    sigaddset(&set, SIGSEGV);
    sigaddset(&set, SIGFPE);
    handle(SIGSEGV);
    handle(SIGFPE);
    kill(getpid(), SIGSEGV);
    CHECK(count == 1 && last_signal == SIGSEGV && last_code == SI_USER);
    sigprocmask(SIG_BLOCK, &set, NULL);
    kill(getpid(), SIGSEGV);
    raise(SIGFPE);
    CHECK(count == 1);
    CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGSEGV) && sigismember(&pending, SIGFPE));
    CHECK(sigtimedwait(&set, &info, &none) == SIGFPE && info.si_signo == SIGFPE);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    CHECK(count == 2 && last_signal == SIGSEGV);
    info = (siginfo_t){.si_signo = SIGSEGV, .si_code = SEGV_MAPERR};
    info.si_addr = (void *)0x1234;
    CHECK(syscall(SYS_rt_sigqueueinfo, getpid(), SIGSEGV, &info) == 0 && count == 3 && last_code == SEGV_MAPERR);
    // One that waits ends a call whose temporary mask lets it in.
    sigset_t none_set;
    sigemptyset(&none_set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    kill(getpid(), SIGSEGV);
    CHECK_ERROR(ppoll(NULL, 0, NULL, &none_set), EINTR);
    kill(getpid(), SIGSEGV);
    CHECK_ERROR(pselect(0, NULL, NULL, NULL, NULL, &none_set), EINTR);
    kill(getpid(), SIGSEGV);
    CHECK_ERROR(sigsuspend(&none_set), EINTR);
    CHECK(count == 6 && sigprocmask(SIG_UNBLOCK, &set, &pending) == 0 && sigismember(&pending, SIGSEGV) && count == 6);
    signal(SIGSEGV, SIG_IGN);
    CHECK(kill(getpid(), SIGSEGV) == 0 && count == 6);
    return check_summary();
}
