// SPDX-License-Identifier: MIT
//
// The optimizer's process, as the Linux layer starts it (EngineHooks.optimizer_hub).
//
// It is nobody's child: a child in between starts it and is waited for at once, so that no `wait` of the guest sees it. It holds none of
// the guest's descriptors, terminals or folders, takes no signal meant for the guest's group, and ends when the last process that has an
// end of the hub or of a channel is gone. Until somebody opens a channel it sleeps before its first instruction of LLVM (src/opt/dormant.c),
// so starting it early costs little more than an execve.
//
// Families. The processes that come of one program by fork share one optimizer. If there is a hub at the time of the fork, the child
// inherits it. If there is none yet, they share a mailbox, a pair of sockets made before the first fork, which holds one packet: the token.
// Who takes the free token starts the optimizer and puts the hub back in its place; all others look at the packet without taking it
// (MSG_PEEK), which gives each a copy of the hub. While the mailbox is empty somebody is starting it, and nobody waits for that.
//
// Reapers. A process whose orphans become children of its own (a child subreaper, the first process of a pid namespace) would take the
// optimizers of its descendants for such. So a guest that is one starts the optimizer itself before it makes its first process, or before it
// becomes a subreaper, and its descendants get the hub, over execve too: there is nothing to be started below. A subreaper is none
// while it is started; the first process of a namespace gets a child without a signal as the optimizer's parent, which only a wait with __WALL
// or __WCLONE could see, and those do not see it (optimizer_is_child).
//
// Losses. Before Landlock takes the right to execute files away the optimizer is started, asleep. Before another root directory or user
// may hide its file that is kept open.
#ifndef KILN_LINUX_OPTIMIZER_H
#define KILN_LINUX_OPTIMIZER_H

#include <stdbool.h>
#include <sys/types.h>
#include "engine/engine.h"

typedef struct OptimizerStart {
    const char *program;     // NULL: `kiln-opt` beside `self`, or where `make install` and the build put it
    const char *self;        // Kiln's own path
    unsigned threads, delay; // its --threads (0: as it likes); it holds each answer back for so many milliseconds (tests)
    int hub, file;           // from the Kiln that executed this program, or -1
    bool unwanted;           // nobody will ask for it
} OptimizerStart;
void optimizer_configure(const OptimizerStart *start);
// The hub's descriptor; starts the optimizer the first time. -1: there is none; OPTIMIZER_LATER: not now, as a relative is starting it, or
// not from this task, which shares its parent's memory but not its descriptors. `wait`: for the relative.
enum { OPTIMIZER_LATER = -2 };
int optimizer_hub(bool wait);
bool optimizer_keep_fd(int *fd);

// ---- what the guest does with processes; all without the engine's lock ---------------------------------------------------------------
// It is about to make one, in memory of its own (fork) or in that of this one.
void optimizer_before_process(Engine *engine, bool fork);
// In the child of a fork. `namespace`: the first process of a pid namespace.
void optimizer_in_child(bool namespace);
// It is about to lose the ability to execute files.
void optimizer_before_loss(Engine *engine);
// It is about to become a child subreaper, or the parent of the first process of a pid namespace.
void optimizer_before_reaping(Engine *engine);
// The optimizer's file may not be found any more.
void optimizer_keep_program(void);
// For an execve of Kiln: what its descriptors are called there, or -1.
int optimizer_handed_hub(void);
int optimizer_handed_file(void);
// Is this child, which a wait found, none of the guest's? `reaped`: it is no more.
bool optimizer_is_child(pid_t pid, bool reaped);

#endif
