// SPDX-License-Identifier: MIT
//
// The optimizer's process, as the Linux layer starts it (EngineHooks.optimizer_hub).
//
// It is nobody's child: a child in between starts it and is waited for at once, so that no `wait` of the guest sees it. It holds none of
// the guest's descriptors, terminals or folders, takes no signal meant for the guest's group, and ends when the last process that has an
// end of the hub or of a channel is gone.
//
// A process whose orphans become children of its own takes it for one. So it is not started by the first process of a pid namespace, nor by one
// whose next child would be the first of another; and a subreaper is none while it is started.
#ifndef KILN_LINUX_OPTIMIZER_H
#define KILN_LINUX_OPTIMIZER_H

#include <stdbool.h>

// The program to be started; NULL: `kiln-opt` beside `self` (Kiln's own path), or where `make install` and the build put it.
// `delay`: it holds each answer back for so many milliseconds (tests).
void optimizer_configure(const char *program, const char *self, unsigned delay);
// The hub's descriptor; starts the optimizer the first time. -1: there is none; OPTIMIZER_LATER: not from this process, which shares
// its parent's memory but not its descriptors.
enum { OPTIMIZER_LATER = -2 };
int optimizer_hub(void);
bool optimizer_keep_fd(int *fd);
// The calling process's next child may be the first of a pid namespace (unshare, setns).
void optimizer_namespaces_change(void);

#endif
