// SPDX-License-Identifier: MIT
//
// A handful of descriptors, so a small array that is scanned. Slots are filled at start and by the guest's first traced
// call; a reader on another thread sees a slot that is set or empty, never half.
#include "linux/own_fd.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/resource.h>
#include <unistd.h>

enum { OWN_FD_MAX = 16, OWN_FD_LIMIT = 4096 };

static int *own_fds[OWN_FD_MAX];
static bool fixed;
static __thread OwnFdState task; // given: bit i: the guest has claimed what own_fds[i] was here

OwnFdState own_fds_copied(bool copied) {
    OwnFdState before = task;
    task.copy |= copied;
    return before;
}

void own_fds_restore(OwnFdState state) { task = state; }

void own_fds_fix(void) { fixed = true; }

bool own_fds_are_a_copy(void) { return task.copy; }

void own_fds_after_fork(void) {
    for (int i = 0; i < OWN_FD_MAX; i++) {
        if (!(task.given >> i & 1) || !own_fds[i]) continue;
        *own_fds[i] = -1;
        own_fds[i] = NULL;
    }
    task = (OwnFdState){0};
}

// A copy of `fd` at or above the guest's soft limit. Raising the limit for a moment is enough: a descriptor stays valid
// when the limit falls below it. Where limits are huge a low bound keeps the kernel's table, which fork copies, small.
static int copy_high(int fd) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return -1;
    if (limit.rlim_cur > OWN_FD_LIMIT) return fcntl(fd, F_DUPFD_CLOEXEC, 1000);
    struct rlimit raised = {.rlim_cur = limit.rlim_cur + 2 * OWN_FD_MAX, .rlim_max = limit.rlim_max};
    if (raised.rlim_cur <= limit.rlim_max && setrlimit(RLIMIT_NOFILE, &raised) == 0) {
        int copy = fcntl(fd, F_DUPFD_CLOEXEC, (int)limit.rlim_cur);
        setrlimit(RLIMIT_NOFILE, &limit);
        if (copy >= 0) return copy;
    }
    int low = limit.rlim_cur > 2 * OWN_FD_MAX ? (int)limit.rlim_cur - 2 * OWN_FD_MAX : 3;
    return fcntl(fd, F_DUPFD_CLOEXEC, low);
}

bool own_fd_keep(int *fd) {
    if (task.copy) return false;
    for (int i = 0; i < OWN_FD_MAX; i++) {
        if (own_fds[i]) continue;
        int copy = copy_high(*fd);
        if (copy < 0) return false;
        close(*fd);
        *fd = copy;
        __atomic_store_n(&own_fds[i], fd, __ATOMIC_RELEASE);
        return true;
    }
    return false;
}

void own_fd_close(int *fd) {
    for (int i = 0; i < OWN_FD_MAX; i++)
        if (own_fds[i] == fd) __atomic_store_n(&own_fds[i], NULL, __ATOMIC_RELEASE);
    close(*fd);
    *fd = -1;
}

// What is in slot i for this task, or NULL.
static int *own_at(int i) {
    int *own = __atomic_load_n(&own_fds[i], __ATOMIC_ACQUIRE);
    return own && !(task.given >> i & 1) ? own : NULL;
}

static int find(int fd) {
    for (int i = 0; i < OWN_FD_MAX; i++) {
        int *own = own_at(i);
        if (own && *own == fd) return i;
    }
    return -1;
}

bool own_fd_is(uint64_t fd) { return find((int)fd) >= 0; }

bool own_fd_is_given(const int *fd) {
    for (int i = 0; task.given && i < OWN_FD_MAX; i++)
        if (own_fds[i] == fd && task.given >> i & 1) return true;
    return false;
}

bool own_fd_yield(int fd) {
    int slot = find(fd);
    if (slot < 0) return true;
    if (task.copy) {
        task.given |= 1u << slot;
        return true;
    }
    if (fixed) return false;
    int *own = own_fds[slot];
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, fd + 1);
    if (copy < 0) copy = copy_high(fd);
    if (copy < 0) return false;
    *own = copy;
    return true;
}

int own_fd_next(int from) {
    int lowest = -1;
    for (int i = 0; i < OWN_FD_MAX; i++) {
        int *own = own_at(i);
        if (own && *own >= from && (lowest < 0 || *own < lowest)) lowest = *own;
    }
    return lowest;
}
