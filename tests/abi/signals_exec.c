// SPDX-License-Identifier: MIT
// A signal around an execve is handled before it or is there after it, never lost; the mask goes over, and what is pending.
// Calls: execve rt_sigprocmask rt_sigpending kill
// kiln: skip-qemu
// qemu: it executes no guest programs by itself
#define _GNU_SOURCE
#include "check.h"
#include <signal.h>
#include <sys/wait.h>

enum { ROUNDS = 60 };
static int ready[2], report[2], release[2];

static void handler(int signal) {
    if (write(report[1], "h", 1) != 1) _exit(signal);
}

// The program that was executed: says that it is there, waits until the signal has been sent, and ends well if none kills it.
static int executed(char **argv) {
    sigset_t mask;
    char byte = 'x';
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int i = 1; i < 32; i++)
        if (sigismember(&mask, i)) return 9;
    return read(atoi(argv[2]), &byte, 1) == 1 ? 0 : 8;
}

static int executed_with_mask(void) {
    sigset_t mask, pending;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    sigpending(&pending);
    bool blocked = sigismember(&mask, SIGUSR1) && sigismember(&mask, SIGSEGV) && !sigismember(&mask, SIGUSR2);
    return blocked && sigismember(&pending, SIGUSR1) && sigismember(&pending, SIGSEGV) && !sigismember(&pending, SIGUSR2) ? 0 : 7;
}

static void around(char *self) {
    int good = 0, handled = 0, killed = 0;
    for (int i = 0; i < ROUNDS; i++) {
        if (pipe(ready) || pipe2(report, O_NONBLOCK) || pipe(release)) _exit(1);
        pid_t child = fork();
        if (child == 0) {
            char fd[16], *arguments[] = {self, "executed", fd, NULL};
            snprintf(fd, sizeof fd, "%d", release[0]);
            signal(SIGUSR1, handler);
            if (write(ready[1], "r", 1) == 1) execv(self, arguments);
            _exit(10);
        }
        char byte;
        if (read(ready[0], &byte, 1) != 1) _exit(1);
        for (volatile int k = 0; k < i * 3000; k++) {}
        kill(child, SIGUSR1);
        if (write(release[1], "s", 1) != 1) _exit(1);
        int status;
        waitpid(child, &status, 0);
        bool by_handler = read(report[0], &byte, 1) == 1, by_death = WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1;
        good += by_handler != by_death && (by_death || status == 0);
        if (by_handler == by_death) printf("# round %d: status %#x, handler %d\n", i, status, by_handler);
        handled += by_handler, killed += by_death;
        for (int k = 0; k < 2; k++) close(ready[k]), close(report[k]), close(release[k]);
    }
    CHECK(good == ROUNDS && handled + killed == ROUNDS);
}

static void inherited(char *self) {
    pid_t child = fork();
    if (child == 0) {
        sigset_t set;
        sigemptyset(&set), sigaddset(&set, SIGUSR1), sigaddset(&set, SIGSEGV);
        sigprocmask(SIG_SETMASK, &set, NULL);
        raise(SIGUSR1), raise(SIGSEGV);
        char *nowhere[] = {"/nowhere", NULL}, *arguments[] = {self, "mask", NULL};
        execv("/nowhere", nowhere); // a failed one takes nothing away
        execv(self, arguments);
        _exit(10);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

int main(int argc, char **argv) {
    if (argc > 2) return executed(argv);
    if (argc > 1) return executed_with_mask();
    around(argv[0]);
    inherited(argv[0]);
    return check_summary();
}
