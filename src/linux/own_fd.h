// SPDX-License-Identifier: MIT
//
// Kiln's own file descriptors in the guest's process (log files, the log's copy of stderr, sockets to the optimizer).
//
// They lie above the guest's soft limit where the hard limit allows it, so the guest cannot get these numbers, are
// close-on-exec, answer EBADF to every call of the guest, survive close_range and do not show in /proc/self/fd.
// The owner keeps the number in a variable; it is updated when the guest claims the number (dup3) and we move away.
#ifndef KILN_LINUX_OWN_FD_H
#define KILN_LINUX_OWN_FD_H

#include <stdbool.h>
#include <stdint.h>

// Moves *fd up and hides it from the guest. The variable must live until own_fd_close. False: no descriptor left; *fd is
// unchanged and visible.
bool own_fd_keep(int *fd);
// Closes it and sets *fd to -1.
void own_fd_close(int *fd);
// Is this number one of ours? (guests pass 64-bit values of which the kernel looks at the low half)
bool own_fd_is(uint64_t fd);
// The guest wants this very number: give it another one. False: none left.
bool own_fd_yield(int fd);
// The lowest own descriptor that is >= from, or -1: for walking over the gaps.
int own_fd_next(int from);

#endif
