// SPDX-License-Identifier: MIT
//
// Starts a command COUNT times with posix_spawn, one after the other, its output to /dev/null, and says how many ended well:
//
//   spawn COUNT COMMAND [ARGUMENT...]
//
// What it costs a program to start others, without a shell in between.
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv) {
    int count = argc > 2 ? atoi(argv[1]) : 0, good = 0;
    posix_spawn_file_actions_t quiet;
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    for (int i = 0; i < count; i++) {
        pid_t pid;
        int status;
        if (posix_spawn(&pid, argv[2], &quiet, NULL, argv + 2, environ) == 0 && waitpid(pid, &status, 0) == pid && status == 0)
            good++;
    }
    printf("%d of %d\n", good, count);
    return count < 1 || good != count;
}
