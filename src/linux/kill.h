// SPDX-License-Identifier: MIT
#ifndef KILN_LINUX_KILL_H
#define KILN_LINUX_KILL_H

#include "linux/linux.h"

// The guest sends a signal to `target`, as of kill(2). True: it was SIGKILL for a process that shares this memory, which has been asked to
// end, and *result is the call's. False: the call is the kernel's.
bool kill_asked(LinuxThread *t, pid_t target, int signal, long *result);
bool kill_asked_by_descriptor(LinuxThread *t, int fd, int signal, long *result);

// Where the thread holds nothing. obey: if it has been asked to end, it ends here. may: from now on the kernel may kill it, or no more;
// between the two it takes no lock.
void kill_obey(LinuxThread *t);
void kill_may(LinuxThread *t, bool may);

#endif
