// SPDX-License-Identifier: MIT
// kiln: skip-qemu
// (it cannot execute its own program again)
// Deep and wide families of processes, long pipes, signals to all of a group.
// Calls: clone wait4 execve pipe2 read write kill setpgid getpgid getppid rt_sigaction exit_group
#include "check.h"
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>

enum { CHAIN = 150, EXEC_CHAIN = 40, TREE_DEPTH = 7, STORM = 6, STORM_EACH = 25, STAGES = 30, VOLUME = 512 << 10, GROUP = 12 };

static char self[4096];

static int status_of(pid_t pid) {
    int status = -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

// Each has one child; the last one's status comes up through all of them.
static int chain(int depth) {
    if (depth == 0) return 42;
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) _exit(getppid() == parent ? chain(depth - 1) : 1);
    return pid < 0 ? 2 : status_of(pid);
}

// The same, and each executes this program.
static int exec_chain(int depth) {
    if (depth == 0) return 43;
    pid_t pid = fork();
    if (pid == 0) {
        char text[16];
        snprintf(text, sizeof text, "%d", depth - 1);
        execl(self, self, "chain", text, (char *)NULL);
        _exit(3);
    }
    return pid < 0 ? 2 : status_of(pid);
}

// Two children each; every leaf writes its number to one pipe.
static void tree(int depth, uint32_t number, int pipe) {
    if (depth == 0) {
        if (write(pipe, &number, sizeof number) != sizeof number) _exit(1);
        return;
    }
    pid_t children[2];
    for (uint32_t i = 0; i < 2; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            tree(depth - 1, 2 * number + i, pipe);
            _exit(0);
        }
    }
    for (int i = 0; i < 2; i++)
        if (children[i] < 0 || status_of(children[i]) != 0) _exit(1);
}

static void trees(void) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        tree(TREE_DEPTH, 1, ends[1]);
        _exit(0);
    }
    close(ends[1]);
    uint32_t number, count = 0;
    uint64_t sum = 0;
    while (read(ends[0], &number, sizeof number) == sizeof number) count++, sum += number;
    close(ends[0]);
    uint64_t leaves = 1 << TREE_DEPTH;
    CHECK(status_of(pid) == 0 && count == leaves && sum == leaves * (3 * leaves - 1) / 2);
}

// Several at once, each of which starts many.
static void storm(void) {
    pid_t pids[STORM];
    for (int i = 0; i < STORM; i++) {
        pids[i] = fork();
        if (pids[i] != 0) continue;
        int good = 0;
        for (int k = 0; k < STORM_EACH; k++) {
            pid_t pid = k % 2 ? fork() : vfork();
            if (pid == 0) {
                execl(self, self, "chain", "0", (char *)NULL);
                _exit(1);
            }
            good += pid > 0 && status_of(pid) == 43;
        }
        _exit(good == STORM_EACH ? 0 : 1);
    }
    int good = 0;
    for (int i = 0; i < STORM; i++) good += status_of(pids[i]) == 0;
    CHECK(good == STORM);
}

// A pipeline: each stage adds one to every byte.
static void stage(int from, int to) {
    unsigned char bytes[3000];
    for (ssize_t n; (n = read(from, bytes, sizeof bytes)) > 0;) {
        for (ssize_t i = 0; i < n; i++) bytes[i]++;
        for (ssize_t done = 0, more; done < n; done += more)
            if ((more = write(to, bytes + done, (size_t)(n - done))) <= 0) _exit(1);
    }
}

static void pipeline(void) {
    int first[2], from, good = 0;
    pid_t pids[STAGES], writer;
    CHECK(pipe(first) == 0);
    from = first[0];
    if ((writer = fork()) == 0) {
        close(from);
        static unsigned char bytes[VOLUME];
        for (size_t i = 0; i < VOLUME; i++) bytes[i] = (unsigned char)(i * 7 >> 3);
        _exit(write(first[1], bytes, VOLUME) == VOLUME ? 0 : 1);
    }
    close(first[1]);
    for (int i = 0; i < STAGES; i++) {
        int ends[2];
        if (pipe(ends) != 0) break;
        if ((pids[i] = fork()) == 0) {
            close(ends[0]);
            stage(from, ends[1]);
            _exit(0);
        }
        close(from), close(ends[1]);
        from = ends[0];
    }
    size_t count = 0, wrong = 0;
    unsigned char bytes[5000];
    for (ssize_t n; (n = read(from, bytes, sizeof bytes)) > 0; count += (size_t)n)
        for (ssize_t i = 0; i < n; i++) wrong += bytes[i] != (unsigned char)(((count + (size_t)i) * 7 >> 3) + STAGES);
    close(from);
    for (int i = 0; i < STAGES; i++) good += status_of(pids[i]) == 0;
    CHECK(status_of(writer) == 0 && good == STAGES && count == VOLUME && wrong == 0);
}

static volatile sig_atomic_t told;
static void on_signal(int signal) { told = signal; }

// One kill for a process group: who has a handler ends by it, the others by the signal.
static void group(void) {
    pid_t pids[GROUP], leader = 0;
    int ready[2];
    char byte;
    CHECK(pipe(ready) == 0);
    for (int i = 0; i < GROUP; i++) {
        if ((pids[i] = fork()) == 0) {
            setpgid(0, leader);
            sigset_t all, none;
            sigfillset(&all), sigemptyset(&none);
            sigprocmask(SIG_BLOCK, &all, NULL);
            if (i % 2) signal(SIGTERM, on_signal);
            if (write(ready[1], "", 1) != 1) _exit(1);
            while (!told) sigsuspend(&none);
            _exit(told);
        }
        if (!leader) leader = pids[0];
        setpgid(pids[i], leader);
        CHECK(read(ready[0], &byte, 1) == 1 && getpgid(pids[i]) == leader);
    }
    CHECK(kill(-leader, 0) == 0 && kill(-leader, SIGTERM) == 0);
    int good = 0;
    for (int i = 0; i < GROUP; i++) good += status_of(pids[i]) == (i % 2 ? SIGTERM : -SIGTERM);
    CHECK(good == GROUP);
    CHECK_ERROR(kill(-leader, 0), ESRCH);
}

int main(int argc, char **argv) {
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0) self[n] = 0;
    if (argc > 2 && strcmp(argv[1], "chain") == 0) return exec_chain(atoi(argv[2]));
    CHECK(chain(CHAIN) == 42);
    CHECK(exec_chain(EXEC_CHAIN) == 43);
    trees();
    storm();
    pipeline();
    group();
    CHECK_ERROR(waitpid(-1, NULL, WNOHANG), ECHILD);
    return check_summary();
}
