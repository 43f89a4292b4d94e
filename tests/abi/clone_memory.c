// SPDX-License-Identifier: MIT
// Processes that share their parent's memory and run beside it: CLONE_VM without CLONE_THREAD and CLONE_VFORK.
// Calls: clone wait4 execve futex
// kiln: skip-qemu
// qemu: it cannot
#define _GNU_SOURCE
#include "check.h"
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { STACK = 1 << 18, CHILDREN = 12 };
static char *stacks[CHILDREN];
static volatile uint64_t words[CHILDREN];
static volatile int go, exit_signal_seen;
static char *self;

static pid_t start(int i, int (*run)(void *), int flags) {
    if (!stacks[i]) stacks[i] = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return clone(run, stacks[i] + STACK, CLONE_VM | flags, (void *)(intptr_t)i);
}

static int status_of(pid_t pid) {
    int status = -1;
    return waitpid(pid, &status, __WALL) == pid ? status : -1;
}

// ---- memory -------------------------------------------------------------------------------------------------------------
static int write_word(void *argument) {
    words[(intptr_t)argument] = (uint64_t)getpid();
    return 40 + (int)(intptr_t)argument;
}

static void one_after_the_other(void) {
    for (int i = 0; i < CHILDREN; i++) {
        pid_t pid = start(i, write_word, SIGCHLD);
        CHECK(pid > 0 && status_of(pid) == (40 + i) << 8 && words[i] == (uint64_t)pid);
    }
    int flags = CLONE_FS | CLONE_FILES | CLONE_IO | SIGCHLD;
    pid_t pid = start(0, write_word, flags);
    CHECK(status_of(pid) == 40 << 8 && words[0] == (uint64_t)pid);
    pid_t parent_tid = 0;
    pid = clone(write_word, stacks[0] + STACK, CLONE_VM | CLONE_PARENT_SETTID | SIGCHLD, NULL, &parent_tid);
    CHECK(pid > 0 && parent_tid == pid && status_of(pid) == 40 << 8);
}

// All run at the same time as the parent, in code that is translated there and then.
static uint64_t mix(uint64_t x, int rounds) {
    for (int i = 0; i < rounds; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        switch (x % 5) {
        case 0: x += 3; break;
        case 1: x *= 5; break;
        case 2: x ^= x >> 3; break;
        default: x -= 9; break;
        }
    }
    return x;
}

static int compute(void *argument) {
    int me = (int)(intptr_t)argument;
    while (!go) sched_yield();
    words[me] = mix((uint64_t)me + 1, 200000);
    return 0;
}

static void beside(void) {
    pid_t pids[CHILDREN];
    int good = 0;
    go = 0;
    for (int i = 0; i < CHILDREN; i++) pids[i] = start(i, compute, SIGCHLD);
    go = 1;
    uint64_t mine = mix(1, 200000);
    for (int i = 0; i < CHILDREN; i++) good += status_of(pids[i]) == 0;
    CHECK(good == CHILDREN && words[0] == mine);
    good = 0;
    for (int i = 0; i < CHILDREN; i++) good += words[i] == mix((uint64_t)i + 1, 200000);
    CHECK(good == CHILDREN);
}

// ---- ends ---------------------------------------------------------------------------------------------------------------
static int run_program(void *argument) {
    char *arguments[] = {self, "child", NULL};
    execv(self, arguments);
    return 99 + (argument == NULL);
}
static int cannot_run(void *argument) {
    char *arguments[] = {"x", NULL};
    execv("/nowhere/at/all", arguments);
    words[(intptr_t)argument] = (uint64_t)errno;
    return 5;
}
static int wait_forever(void *argument) {
    words[(intptr_t)argument] = 1;
    for (;;) mix(1, 1000);
}
static int crash(void *argument) {
    *(volatile int *)8 = (int)(intptr_t)argument;
    return 0;
}
static void on_signal(int signal) { exit_signal_seen = signal; }

static void ends(void) {
    CHECK(status_of(start(0, run_program, SIGCHLD)) == 23 << 8);
    CHECK(status_of(start(1, cannot_run, SIGCHLD)) == 5 << 8 && words[1] == ENOENT);
    words[2] = 0;
    pid_t pid = start(2, wait_forever, SIGCHLD);
    while (!words[2]) sched_yield();
    CHECK(kill(pid, SIGKILL) == 0 && status_of(pid) == SIGKILL);
    CHECK(WTERMSIG(status_of(start(3, crash, SIGCHLD))) == SIGSEGV);
    signal(SIGUSR1, on_signal);
    pid = start(4, write_word, SIGUSR1);
    CHECK(status_of(pid) == 44 << 8 && exit_signal_seen == SIGUSR1);
    pid = start(5, write_word, 0);
    CHECK(status_of(pid) == 45 << 8);
}

// A handler of the child's own does not become the parent's.
static volatile int handled_by;
static void by_child(int signal) { handled_by = 100 + signal; }
static void by_parent(int signal) { handled_by = 200 + signal; }
static int handle_own(void *argument) {
    signal(SIGUSR2, by_child);
    raise(SIGUSR2);
    return handled_by != 100 + SIGUSR2 || argument;
}
static void signals(void) {
    signal(SIGUSR2, by_parent);
    CHECK(status_of(start(0, handle_own, SIGCHLD)) == 0);
    raise(SIGUSR2);
    CHECK(handled_by == 200 + SIGUSR2);
}

// ---- the parent goes first --------------------------------------------------------------------------------------------------
static int pipe_ends[2];
static int outlive(void *argument) {
    while (getppid() == (pid_t)words[0]) usleep(1000);
    words[1] = mix((uint64_t)(intptr_t)argument, 50000);
    char byte = words[1] == mix((uint64_t)(intptr_t)argument, 50000) ? 'y' : 'n';
    return write(pipe_ends[1], &byte, 1) != 1;
}
static void orphan(void) {
    CHECK(pipe(pipe_ends) == 0);
    fflush(stdout);
    pid_t parent = fork();
    if (parent == 0) {
        words[0] = (uint64_t)getpid();
        pid_t child = start(7, outlive, SIGCHLD);
        mix(3, 1000);
        _exit(child < 0);
    }
    char byte = 0;
    CHECK(status_of(parent) == 0);
    close(pipe_ends[1]);
    CHECK(read(pipe_ends[0], &byte, 1) == 1 && byte == 'y');
    CHECK(read(pipe_ends[0], &byte, 1) == 0);
}

int main(int argc, char **argv) {
    if (argc > 1) return 23;
    self = argv[0];
    one_after_the_other();
    beside();
    ends();
    signals();
    for (int i = 0; i < 5; i++) orphan();
    return check_summary();
}
