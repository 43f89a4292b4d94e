// SPDX-License-Identifier: MIT
// RLIMIT_NPROC: where it is reached, neither a process nor a thread comes into being, and the error says so; when it is raised, they do.
// Calls: clone clone3 setrlimit prlimit64
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void *nothing(void *argument) { return argument; }
static int child_stack(void *argument) { return *(int *)argument; }

// Of root no limit is asked, so it becomes a user with no other process.
static void become_somebody(void) {
    uid_t uid = 20000 + (uid_t)getpid() % 40000;
    if (getuid() == 0) CHECK(syscall(SYS_setresuid, uid, uid, uid) == 0 && getuid() == uid);
}

static void limit_to(rlim_t soft) {
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NPROC, &limit) == 0);
    limit.rlim_cur = soft == RLIM_INFINITY ? limit.rlim_max : soft;
    CHECK(setrlimit(RLIMIT_NPROC, &limit) == 0);
}

static bool thread_runs(void) {
    pthread_t thread;
    void *result = NULL;
    int error = pthread_create(&thread, NULL, nothing, &thread);
    if (error) return errno = error, false;
    return pthread_join(thread, &result) == 0 && result == &thread;
}

static bool ends_with(pid_t child, int code) {
    int status;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == code;
}

static pid_t fork_and_end(int code) {
    pid_t child = fork();
    if (child == 0) _exit(code);
    return child;
}

static void none_are_made(void) {
    static char stack[65536] __attribute__((aligned(16)));
    int code = 3;
    char *words[] = {"none", NULL};
    for (int i = 0; i < 20; i++) {
        CHECK_ERROR(fork_and_end(3), EAGAIN);
        CHECK_ERROR(clone(child_stack, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &code), EAGAIN);
        CHECK(!thread_runs() && errno == EAGAIN);
    }
    pid_t child;
    CHECK(posix_spawn(&child, "/proc/self/exe", NULL, NULL, words, NULL) == EAGAIN);
    CHECK_ERROR(waitpid(-1, NULL, 0), ECHILD);
}

static void some_are_made(void) {
    CHECK(ends_with(fork_and_end(3), 3));
    CHECK(thread_runs());
}

static int under_the_limit(void) {
    become_somebody();
    limit_to(1);
    none_are_made();
    limit_to(RLIM_INFINITY);
    some_are_made();
    limit_to(1);
    none_are_made();
    return checks_failed ? 1 : 0;
}

int main(void) {
    some_are_made();
    pid_t child = fork();
    if (child == 0) _exit(under_the_limit());
    CHECK(ends_with(child, 0));
    return check_summary();
}
