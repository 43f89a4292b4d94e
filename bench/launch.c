// SPDX-License-Identifier: MIT
//
// Runs a command COUNT times, one after the other, and says what it cost:
//
//   launch COUNT COMMAND [ARGUMENT...]      stdout of the first run goes to our stdout, of the others to /dev/null
//
// stderr, last line: `launch: USER_US SYSTEM_US WALL_US PEAK_KB STATUS OPTIMIZER_US OPTIMIZER_PEAK_KB`
//   times are sums over all runs, peaks the largest resident set of any run; user and system are those of every process that the
//   command caused, kiln-opt included; wall is from the command's start to its end, not to that of what outlives it; status: exit
//   code of the last run, 128 + signal if it was killed. OPTIMIZER: the part of kiln-opt; PEAK is without it.
//
// kiln-opt is nobody's child, on purpose; here orphans become ours (PR_SET_CHILD_SUBREAPER), and a run is over when the last one
// has ended. One that does not end within LINGER seconds is a failure.
//
// A program of its own and not Python, since a child's costs and peak include what it was before exec: here that is half a megabyte
// and no page copies.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LINGER = 20 };

extern char **environ;

typedef struct Costs {
    long long user, system, wall, peak, optimizer, optimizer_peak;
    int status;
} Costs;

static long long wall_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static long long us(struct timeval t) { return t.tv_sec * 1000000LL + t.tv_usec; }

static void raise_to(long long *most, long long value) {
    if (value > *most) *most = value;
}

// A zombie still has its name.
static bool is_optimizer(pid_t pid) {
    char path[32], name[32] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file) return false;
    bool found = fgets(name, sizeof name, file) && !strcmp(name, "kiln-opt\n");
    fclose(file);
    return found;
}

// A process that has ended and is still to be reaped; 0: all are gone; -1: none has ended until `deadline` (0: no deadline).
static pid_t next_ended(long long deadline) {
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOWAIT | (deadline ? WNOHANG : 0)) < 0) {
            if (errno == EINTR) continue;
            return 0;
        }
        if (info.si_pid) return info.si_pid;
        long long left = deadline - wall_us();
        if (left <= 0) return -1;
        sigset_t child;
        sigemptyset(&child), sigaddset(&child, SIGCHLD);
        sigtimedwait(&child, NULL, &(struct timespec){left / 1000000, left % 1000000 * 1000});
    }
}

static pid_t start(char **command, bool quiet) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    if (quiet) posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    pid_t pid;
    int error = posix_spawnp(&pid, command[0], &actions, &attributes, command, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (!error) return pid;
    fprintf(stderr, "launch: %s: %s\n", command[0], strerror(error));
    return -1;
}

static void reap(pid_t pid, bool is_command, Costs *costs) {
    struct rusage usage;
    bool optimizer = !is_command && is_optimizer(pid);
    int status;
    wait4(pid, &status, 0, &usage);
    if (is_command) costs->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    costs->user += us(usage.ru_utime), costs->system += us(usage.ru_stime);
    if (optimizer) costs->optimizer += us(usage.ru_utime) + us(usage.ru_stime);
    raise_to(optimizer ? &costs->optimizer_peak : &costs->peak, usage.ru_maxrss);
}

// One run with all that it leaves behind. False: it could not start, or something of it does not end.
static bool run(char **command, bool quiet, Costs *costs) {
    long long began = wall_us(), deadline = 0;
    pid_t pid = start(command, quiet), ended;
    if (pid < 0) return false;
    while ((ended = next_ended(deadline)) > 0) {
        reap(ended, ended == pid, costs);
        if (ended != pid) continue;
        costs->wall += wall_us() - began;
        deadline = wall_us() + LINGER * 1000000LL;
    }
    if (ended < 0) fprintf(stderr, "launch: %s: something that it started still runs %d s after its end\n", command[0], LINGER);
    return ended == 0;
}

int main(int argc, char **argv) {
    int count = argc > 2 ? atoi(argv[1]) : 0;
    if (count < 1) {
        fputs("usage: launch COUNT COMMAND [ARGUMENT...]\n", stderr);
        return 2;
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    sigset_t child;
    sigemptyset(&child), sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    Costs costs = {0};
    for (int i = 0; i < count; i++)
        if (!run(argv + 2, i > 0, &costs)) return 2;
    fprintf(stderr, "launch: %lld %lld %lld %lld %d %lld %lld\n", costs.user, costs.system, costs.wall, costs.peak, costs.status,
            costs.optimizer, costs.optimizer_peak);
    return 0;
}
