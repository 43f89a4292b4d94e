// SPDX-License-Identifier: MIT
#include "linux/optimizer.h"
#include "engine/cpu.h"
#include "linux/linux.h"
#include "linux/own_fd.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { START_STACK = 64 << 10, SERVED_FD = 3, MOST_FDS = 65536, HIDDEN_FDS = 64 };

static char program[PATH_MAX], delay_argument[24];
static int hub = -1;
static bool tried;
static pid_t foreign_children; // the process whose children are born into another pid namespace

static bool is_there(const char *folder, int length, const char *name) {
    int written = snprintf(program, sizeof program, "%.*s%s", length, folder, name);
    return written < (int)sizeof program && access(program, X_OK) == 0;
}

void optimizer_configure(const char *chosen, const char *self, unsigned delay) {
    if (delay) snprintf(delay_argument, sizeof delay_argument, "--delay=%u", delay);
    static const char *const places[] = {"kiln-opt", "../libexec/kiln/kiln-opt", "../opt/kiln-opt"};
    const char *slash = strrchr(self, '/');
    int length = slash ? (int)(slash - self) + 1 : 0;
    if (chosen) {
        snprintf(program, sizeof program, "%s", chosen);
        return;
    }
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (is_there(self, length, places[i])) return;
    program[0] = '\0';
}

// ---- starting it ---------------------------------------------------------------------------------------------------------------------
// Both children run in this process's memory until the second one's execve, with all signals blocked, on a stack of their own; they call
// nothing but the kernel.
typedef struct Start {
    int served;
    char *stack;
    bool failed;
} Start;

// A pipe's end that stayed open would be waited for.
static void close_others(void) {
    if (syscall(SYS_close_range, SERVED_FD + 1, ~0u, 0) == 0) return;
    struct rlimit limit;
    int most = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < MOST_FDS ? (int)limit.rlim_cur + HIDDEN_FDS : MOST_FDS;
    for (int fd = SERVED_FD + 1; fd < most; fd++) close(fd);
}

static int run_optimizer(void *argument) {
    Start *start = argument;
    char *argv[] = {program, "--serve", "3", *delay_argument ? delay_argument : NULL, NULL}, *envp[] = {NULL};
    int null = open("/dev/null", O_RDWR);
    if (null >= 0 && null < SERVED_FD) null = fcntl(null, F_DUPFD, SERVED_FD + 1);
    int served = start->served == SERVED_FD ? fcntl(start->served, F_DUPFD, SERVED_FD + 1) : start->served;
    for (int fd = 0; fd < SERVED_FD; fd++) {
        if (null >= 0) dup2(null, fd);
        else close(fd);
    }
    dup2(served, SERVED_FD);
    close_others();
    setsid();
    if (chdir("/") == 0) execve(program, argv, envp);
    start->failed = true;
    _exit(1);
}

static int run_between(void *argument) {
    Start *start = argument;
    int pid = clone(run_optimizer, start->stack + START_STACK / 2, CLONE_VM | CLONE_VFORK, start);
    if (pid < 0) start->failed = true;
    _exit(0);
}

// False: what is started here would have this process as its parent in the end, or be the first of a namespace.
static bool can_start(void) { return getpid() != 1 && getpid() != foreign_children; }

void optimizer_namespaces_change(void) { foreign_children = getpid(); }

static bool start_program(int served) {
    char *stack = mmap(NULL, START_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED) return false;
    Start start = {.served = served, .stack = stack};
    int subreaper = 0;
    prctl(PR_GET_CHILD_SUBREAPER, &subreaper, 0, 0, 0);
    if (subreaper) prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
    sigset_t all, old;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &old);
    int pid = clone(run_between, stack + START_STACK, CLONE_VM | CLONE_VFORK, &start); // no exit signal: seen by __WCLONE alone
    if (pid >= 0)
        while (waitpid(pid, NULL, __WCLONE) < 0 && errno == EINTR) {}
    sigprocmask(SIG_SETMASK, &old, NULL);
    if (subreaper) prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    munmap(stack, START_STACK);
    return pid >= 0 && !start.failed;
}

static bool shares_memory(void) {
    const LinuxThread *t = current_cpu ? current_cpu->thread : NULL;
    return t && t->process->shares_memory;
}

int optimizer_hub(void) {
    // The engine's channel would be a descriptor of this process alone.
    if (shares_memory()) return OPTIMIZER_LATER;
    if (hub >= 0 || tried || !can_start()) return hub;
    tried = true;
    int ends[2];
    if (!program[0] || access(program, X_OK) != 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return -1;
    bool started = start_program(ends[1]);
    close(ends[1]);
    hub = ends[0];
    if (started && own_fd_keep(&hub)) return hub;
    close(hub);
    return hub = -1;
}

bool optimizer_keep_fd(int *fd) {
    if (own_fd_keep(fd)) return true;
    close(*fd);
    *fd = -1;
    return false;
}
