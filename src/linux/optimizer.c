// SPDX-License-Identifier: MIT
#include "linux/optimizer.h"
#include "base/channel.h"
#include "engine/cpu.h"
#include "linux/linux.h"
#include "linux/memory.h"
#include "linux/own_fd.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    START_STACK = 64 << 10,
    SERVED_FD = 3,
    PROGRAM_FD = 4,
    MOST_FDS = 65536,
    HIDDEN_FDS = 64,
    GIVE_UP_MS = 5000, // a relative that has the token for so long is dead
};

static char program[PATH_MAX], delay_argument[24], threads_argument[24];
static int program_file = -1, hub = -1, mailbox[2] = {-1, -1};
static bool tried;
static bool handed;          // the hub goes on over execve
static bool before_first;    // this process has not made another one yet, or must be looked at again
static uint64_t empty_since; // ms: the mailbox
static pid_t between;        // the child that starts it, while it is there
static pid_t own_child;      // the optimizer's parent, where it is this process's child

static bool is_there(const char *folder, int length, const char *name) {
    int written = snprintf(program, sizeof program, "%.*s%s", length, folder, name);
    return written < (int)sizeof program && access(program, X_OK) == 0;
}

static void find_program(const OptimizerStart *start) {
    static const char *const places[] = {"kiln-opt", "../libexec/kiln/kiln-opt", "../opt/kiln-opt"};
    const char *slash = strrchr(start->self, '/');
    int length = slash ? (int)(slash - start->self) + 1 : 0;
    if (start->program) {
        snprintf(program, sizeof program, "%s", start->program);
        return;
    }
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (is_there(start->self, length, places[i])) return;
    program[0] = '\0';
}

static void adopt(int *variable, int fd) {
    if (fd < 0) return;
    *variable = fd;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    own_fd_keep(variable);
}

void optimizer_configure(const OptimizerStart *start) {
    adopt(&hub, start->hub);
    adopt(&program_file, start->file);
    handed = hub >= 0;
    tried = start->unwanted;
    if (tried) return;
    before_first = true;
    if (start->delay) snprintf(delay_argument, sizeof delay_argument, "--delay=%u", start->delay);
    if (start->threads) snprintf(threads_argument, sizeof threads_argument, "--threads=%u", start->threads);
    find_program(start);
}

// ---- starting it ---------------------------------------------------------------------------------------------------------------------
// All children run with all signals blocked, on a stack of their own, and call nothing but the kernel; most do it in this process's
// memory.
typedef struct Start {
    int served;
    char *stack;
    bool failed;
} Start;

// A pipe's end that stayed open would be waited for.
static void close_from(int first) {
    if (syscall(SYS_close_range, first, ~0u, 0) == 0) return;
    struct rlimit limit;
    int most = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < MOST_FDS ? (int)limit.rlim_cur + HIDDEN_FDS : MOST_FDS;
    for (int fd = first; fd < most; fd++) close(fd);
}

static int out_of_the_way(int fd) { return fd >= 0 && fd <= PROGRAM_FD ? fcntl(fd, F_DUPFD, PROGRAM_FD + 1) : fd; }

static int run_optimizer(void *argument) {
    Start *start = argument;
    char *argv[] = {program, "--serve", "3", NULL, NULL, NULL}, *envp[] = {NULL};
    int count = 3;
    if (*threads_argument) argv[count++] = threads_argument;
    if (*delay_argument) argv[count++] = delay_argument;
    int null = out_of_the_way(open("/dev/null", O_RDWR)), served = out_of_the_way(start->served),
        file = out_of_the_way(program_file);
    for (int fd = 0; fd < SERVED_FD; fd++) {
        if (null >= 0) dup2(null, fd);
        else close(fd);
    }
    dup2(served, SERVED_FD);
    bool kept = file >= 0 && dup3(file, PROGRAM_FD, O_CLOEXEC) == PROGRAM_FD;
    close_from(kept ? PROGRAM_FD + 1 : PROGRAM_FD);
    setsid();
    if (chdir("/") == 0) execve(program, argv, envp);
    if (kept) syscall(SYS_execveat, PROGRAM_FD, "", argv, envp, AT_EMPTY_PATH);
    start->failed = true;
    _exit(1);
}

static int run_between(void *argument) {
    Start *start = argument;
    __atomic_store_n(&between, getpid(), __ATOMIC_RELEASE);
    int pid = clone(run_optimizer, start->stack + START_STACK / 2, CLONE_VM | CLONE_VFORK, start);
    if (pid < 0) start->failed = true;
    _exit(0);
}

// No exit signal: a wait with __WCLONE or __WALL alone sees such children.
static pid_t start_child(int (*run)(void *), int flags, Start *start) {
    return clone(run, start->stack + START_STACK, flags, start);
}

#if defined __has_attribute
#if __has_attribute(no_stack_protector)
#define WITHOUT_THREAD_LOCALS __attribute__((noinline, no_stack_protector))
#endif
#endif
#ifndef WITHOUT_THREAD_LOCALS
#define WITHOUT_THREAD_LOCALS __attribute__((noinline))
#endif

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
enum { SANITIZED = true };
#else
enum { SANITIZED = false };
#endif

WITHOUT_THREAD_LOCALS static void unmap_between(uint64_t start, uint64_t end) {
    if (start < end) host_syscall(SYS_munmap, start, end - start, 0, 0, 0, 0);
}

// The C library has given the kernel a place in its thread-local storage to write to whenever the thread has been interrupted. Without it that
// would kill. The size is what was registered, of which the library says only how much of it is used.
WITHOUT_THREAD_LOCALS static void leave_restartable_sequences(void) {
    enum { LEAST_SIZE = 32 };
    if (!__rseq_size) return;
    uint64_t area = (uint64_t)__builtin_thread_pointer() + (uint64_t)__rseq_offset;
    uint64_t size = __rseq_size < LEAST_SIZE ? LEAST_SIZE : __rseq_size;
    host_syscall(SYS_rseq, area, size, RSEQ_FLAG_UNREGISTER, RSEQ_SIG, 0, 0);
}

// Waits for the children without the memory that the guest would have to pay for: but for Kiln's image and this stack all goes.
WITHOUT_THREAD_LOCALS static void live_on(const char *stack) {
    extern char __executable_start[], _end[];
    uint64_t image = page_down((uint64_t)__executable_start), image_end = page_up((uint64_t)_end), own = (uint64_t)stack;
    bool below = own < image, whole = SANITIZED; // a sanitizer has memory of its own for each access
    leave_restartable_sequences();
    if (!whole) unmap_between(GUEST_PAGE, below ? own : image);
    if (!whole) unmap_between(below ? own + START_STACK : image_end, below ? image : own);
    if (!whole) unmap_between(below ? image_end : own + START_STACK, HOST_AREA_HIGH);
    long pid;
    do pid = host_syscall(SYS_wait4, -1, 0, __WALL, 0, 0, 0);
    while (pid >= 0 || pid == -EINTR);
    host_syscall(SYS_exit_group, 0, 0, 0, 0, 0, 0);
}

static int run_parent(void *argument) {
    Start *start = argument;
    prctl(PR_SET_NAME, "kiln-opt");
    int pid = clone(run_optimizer, start->stack + START_STACK / 2, CLONE_VM | CLONE_VFORK, start);
    if (pid < 0 || start->failed) _exit(1);
    setsid();
    if (chdir("/") != 0) {} // it may keep a folder busy then
    close_from(0);
    live_on(start->stack);
    return 0;
}

// Where every process has the first one of its namespace as its parent in the end, that has to see a child; but one that it does not see: a
// process without a signal, in memory of its own, that never calls execve, as that would give it a signal. Whether kiln-opt can be
// executed turns out when the first channel is opened.
static bool start_below_first(Start *start) {
    pid_t pid = start_child(run_parent, 0, start);
    if (pid > 0) __atomic_store_n(&own_child, pid, __ATOMIC_RELEASE);
    return pid > 0;
}

static bool start_as_orphan(Start *start) {
    int subreaper = 0;
    prctl(PR_GET_CHILD_SUBREAPER, &subreaper, 0, 0, 0);
    if (subreaper) prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
    pid_t pid = start_child(run_between, CLONE_VM | CLONE_VFORK, start), reaped = -1;
    if (pid >= 0)
        while ((reaped = waitpid(pid, NULL, __WCLONE)) < 0 && errno == EINTR) {}
    // Else the wait of another thread has got it, and will ask whose child it was.
    if (reaped == pid) __atomic_store_n(&between, 0, __ATOMIC_RELEASE);
    if (subreaper) prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    return pid >= 0 && !start->failed;
}

static bool start_program(int served) {
    char *stack = mmap(NULL, START_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED) return false;
    Start start = {.served = served, .stack = stack};
    sigset_t all, old;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &old);
    bool started = getpid() == 1 ? start_below_first(&start) : start_as_orphan(&start);
    sigprocmask(SIG_SETMASK, &old, NULL);
    munmap(stack, START_STACK);
    return started;
}

// The new hub, or -1.
static int start_optimizer(void) {
    int ends[2];
    if (!program[0] || (program_file < 0 && access(program, X_OK) != 0)) return -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return -1;
    bool started = start_program(ends[1]);
    close(ends[1]);
    if (started) return ends[0];
    close(ends[0]);
    return -1;
}

// ---- the family's mailbox ------------------------------------------------------------------------------------------------------------
static uint64_t milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void make_mailbox(void) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return;
    mailbox[0] = ends[0];
    mailbox[1] = ends[1];
    bool kept = token_put(mailbox[1], TOKEN_FREE, -1) && own_fd_keep(&mailbox[0]);
    if (kept && own_fd_keep(&mailbox[1])) return;
    if (kept) own_fd_close(&mailbox[0]);
    else close(mailbox[0]);
    close(mailbox[1]);
    mailbox[0] = mailbox[1] = -1;
}

static void leave_family(void) {
    if (mailbox[0] < 0) return;
    own_fd_close(&mailbox[0]);
    own_fd_close(&mailbox[1]);
}

// Nobody has the token: a relative is starting the optimizer, or died of it.
static int wait_for_token(bool wait) {
    uint64_t now = milliseconds();
    if (!empty_since) empty_since = now;
    if (now - empty_since > GIVE_UP_MS) return -1;
    if (wait) poll(&(struct pollfd){.fd = mailbox[0], .events = POLLIN}, 1, GIVE_UP_MS);
    return OPTIMIZER_LATER;
}

static int hub_of_family(bool wait) {
    for (;;) {
        int fd = -1;
        Token token = token_look(mailbox[0], false, &fd);
        if (token == TOKEN_FREE) token = token_look(mailbox[0], true, &fd); // a relative may have been faster
        else if (token == TOKEN_HUB) return fd;
        switch (token) {
        case TOKEN_FREE:
            fd = start_optimizer();
            token_put(mailbox[1], fd >= 0 ? TOKEN_HUB : TOKEN_NONE, fd);
            return fd;
        case TOKEN_HUB: token_put(mailbox[1], TOKEN_HUB, fd); return fd;
        case TOKEN_NONE: return -1;
        case TOKEN_TAKEN:
            if (wait_for_token(wait) == -1) return -1;
            if (!wait) return OPTIMIZER_LATER;
        }
    }
}

// ---- who asks ------------------------------------------------------------------------------------------------------------------------
// The engine's channel would be a descriptor of this task alone.
static bool has_other_descriptors(void) {
    const LinuxThread *t = current_cpu ? current_cpu->thread : NULL;
    return (t && t->process->shares_memory) || own_fds_are_a_copy();
}

int optimizer_hub(bool wait) {
    if (has_other_descriptors()) return OPTIMIZER_LATER;
    if (hub >= 0 || tried) return hub;
    int fd = mailbox[0] >= 0 ? hub_of_family(wait) : start_optimizer();
    if (fd == OPTIMIZER_LATER) return fd;
    tried = true;
    if (fd < 0) return -1;
    hub = fd;
    if (own_fd_keep(&hub)) return hub;
    close(hub);
    return hub = -1;
}

bool optimizer_keep_fd(int *fd) {
    if (own_fd_keep(fd)) return true;
    close(*fd);
    *fd = -1;
    return false;
}

static void start_early(Engine *engine) {
    engine_lock(engine);
    optimizer_hub(false);
    engine_unlock(engine);
}

void optimizer_before_loss(Engine *engine) {
    if (!tried && hub < 0) start_early(engine);
}

void optimizer_before_reaping(Engine *engine) {
    optimizer_before_loss(engine);
    handed = true;
}

static bool is_reaper(void) {
    int subreaper = 0;
    return getpid() == 1 || (prctl(PR_GET_CHILD_SUBREAPER, &subreaper, 0, 0, 0) == 0 && subreaper);
}

void optimizer_before_process(Engine *engine, bool fork) {
    if (own_child) optimizer_is_child(waitpid(own_child, NULL, WNOHANG | __WCLONE), true);
    if (!program[0] || has_other_descriptors()) return;
    if (before_first && is_reaper()) optimizer_before_reaping(engine);
    before_first = false;
    if (!fork || tried || hub >= 0 || mailbox[0] >= 0) return;
    engine_lock(engine);
    if (!tried && hub < 0 && mailbox[0] < 0) make_mailbox();
    engine_unlock(engine);
}

void optimizer_in_child(bool namespace) {
    own_child = between = 0;
    before_first = true;
    empty_since = 0;
    if (namespace) leave_family();
}

void optimizer_keep_program(void) {
    if (tried || hub >= 0 || program_file >= 0 || !program[0] || has_other_descriptors()) return;
    int fd = open(program, O_PATH | O_CLOEXEC);
    if (fd < 0) return;
    program_file = fd;
    if (own_fd_keep(&program_file)) return;
    close(fd);
    program_file = -1;
}

int optimizer_handed_hub(void) { return handed && !own_fd_is_given(&hub) ? hub : -1; }
int optimizer_handed_file(void) { return own_fd_is_given(&program_file) ? -1 : program_file; }

static bool is(pid_t *one, pid_t pid, bool reaped) {
    return reaped ? __atomic_compare_exchange_n(one, &pid, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
                  : __atomic_load_n(one, __ATOMIC_ACQUIRE) == pid;
}

bool optimizer_is_child(pid_t pid, bool reaped) { return pid > 0 && (is(&between, pid, reaped) || is(&own_child, pid, reaped)); }
