// SPDX-License-Identifier: MIT
//
// Runs a command COUNT times, one after the other, and says what it cost:
//
//   launch COUNT COMMAND [ARGUMENT...]      stdout of the first run goes to our stdout, of the others to /dev/null
//
// stderr, last line: `launch: USER_US SYSTEM_US WALL_US PEAK_KB STATUS` (times: sums over all runs; peak: the largest resident
// set of any run; status: exit code of the last run, 128 + signal if it was killed). A program of its own and not
// Python, since a child's costs and peak include what it was before exec: here that is half a megabyte and no page copies.
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static long long wall_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static long long us(struct timeval t) { return t.tv_sec * 1000000LL + t.tv_usec; }

int main(int argc, char **argv) {
    int count = argc > 2 ? atoi(argv[1]) : 0;
    if (count < 1) {
        fputs("usage: launch COUNT COMMAND [ARGUMENT...]\n", stderr);
        return 2;
    }
    posix_spawn_file_actions_t quiet;
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    long long user = 0, system_time = 0, peak = 0, start = wall_us();
    int status = 0;
    for (int i = 0; i < count; i++) {
        struct rusage usage;
        pid_t pid;
        int error = posix_spawnp(&pid, argv[2], i ? &quiet : NULL, NULL, argv + 2, environ);
        if (error || wait4(pid, &status, 0, &usage) < 0) {
            fprintf(stderr, "launch: %s: %s\n", argv[2], strerror(error));
            return 2;
        }
        user += us(usage.ru_utime), system_time += us(usage.ru_stime);
        if (usage.ru_maxrss > peak) peak = usage.ru_maxrss;
    }
    fprintf(stderr, "launch: %lld %lld %lld %lld %d\n", user, system_time, wall_us() - start, peak,
            WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return 0;
}
