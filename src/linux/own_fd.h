// SPDX-License-Identifier: MIT
//
// Kiln's own file descriptors in the guest's process (log files, the log's copy of stderr, sockets to the optimizer).
//
// They lie above the guest's soft limit where the hard limit allows it, so the guest cannot get these numbers, are
// close-on-exec, answer EBADF to every call of the guest, survive close_range and do not show in /proc/self/fd.
// The owner keeps the number in a variable; it is updated when the guest claims the number (dup3) and we move away.
//
// A task may share this memory, but not the descriptors: the child of a vfork, a process of CLONE_VM, a thread after
// unshare(CLONE_FILES). It has a copy of the table, so the variables are another's: when it claims a number, it gets the number and loses the
// descriptor, which is given up for this task alone.
#ifndef KILN_LINUX_OWN_FD_H
#define KILN_LINUX_OWN_FD_H

#include <stdbool.h>
#include <stdint.h>

// The calling task's descriptors have become a copy (`copied` false: nothing changes); gives the state before. And back to that, where the
// task only lent its thread-local variables. In the child of a fork by such a task memory is its own again, and what was given up is closed for good.
typedef struct OwnFdState {
    bool copy;
    uint32_t given;
} OwnFdState;
OwnFdState own_fds_copied(bool copied);
void own_fds_restore(OwnFdState state);
// From now on another process, with memory of its own, shares the table: no descriptor can be given another number.
void own_fds_fix(void);
void own_fds_after_fork(void);
bool own_fds_are_a_copy(void);

// Moves *fd up and hides it from the guest. The variable must live until own_fd_close. False: no descriptor left, or the descriptors
// are a copy; *fd is unchanged and visible.
bool own_fd_keep(int *fd);
// Closes it and sets *fd to -1.
void own_fd_close(int *fd);
// Is this number one of ours? (guests pass 64-bit values of which the kernel looks at the low half)
bool own_fd_is(uint64_t fd);
// Has this task given up the descriptor whose number is kept in *fd?
bool own_fd_is_given(const int *fd);
// The guest wants this very number: give it another one. False: none left.
bool own_fd_yield(int fd);
// The lowest own descriptor that is >= from, or -1: for walking over the gaps.
int own_fd_next(int from);

#endif
