// SPDX-License-Identifier: MIT
//
// For tests/insight.py: a loop that gets hot, in a child, and in the program that this one becomes. Words are done in order:
//   work   the loop        fork   in the child the loop, then the end; the parent waits
//   exec PROGRAM ...       becomes it
//   small                  no file may become longer than 8 KiB from now on, as on a full disk
// Prints its process id whenever it has worked.
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((noinline)) static uint64_t work(uint64_t rounds) {
    uint64_t sum = rounds;
    for (uint64_t i = 0; i < rounds; i++) sum = sum * 6364136223846793005u + (sum >> 33) + i;
    return sum;
}

static void report(void) {
    static volatile uint64_t kept;
    kept = work(200000);
    printf("%d\n", (int)getpid());
    fflush(stdout);
}

int main(int argc, char **argv) {
    report();
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "work")) report();
        else if (!strcmp(argv[i], "small")) setrlimit(RLIMIT_FSIZE, &(struct rlimit){8192, RLIM_INFINITY});
        else if (!strcmp(argv[i], "fork")) {
            int status;
            if (!fork()) {
                report();
                return 0;
            }
            wait(&status);
        } else if (!strcmp(argv[i], "exec")) {
            execv(argv[i + 1], argv + i + 1);
            return 1;
        }
    }
    return 0;
}
