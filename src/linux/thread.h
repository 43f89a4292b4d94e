// SPDX-License-Identifier: MIT
//
// Threads of a guest process: their beginning and their end.
#ifndef KILN_LINUX_THREAD_H
#define KILN_LINUX_THREAD_H

#include "linux/process.h"

// clone with CLONE_THREAD: a thread's id, or negative errno. The caller has blocked signals (signals_block).
long thread_clone(LinuxThread *t, const CloneRequest *request);
// exit(2). Answers what the system call answers: it may have to start again, and where the thread has company the hook returns to
// engine_run, which ends.
long thread_exit(LinuxThread *t, int status);

// A host thread of Kiln's own, with all signals blocked; it ends when `run` returns.
bool thread_detached(LinuxThread *t, void *(*run)(void *), void *argument);
// There has been another host thread, of the guest's or not. It may still be about to end.
bool threads_were_made(void);

// Around a fork: no other thread of the process has a lock of Kiln's meanwhile. after_fork: in both processes; `child` in the new one,
// where this thread is the only one.
void threads_before_fork(LinuxThread *t);
void threads_after_fork(LinuxThread *t, bool child);

// Does another task share this one's memory, and what is not unshared?
static inline bool thread_shares(const LinuxThread *t) {
    return t->process->shares_memory || __atomic_load_n(&t->process->thread_count, __ATOMIC_RELAXED) > 1;
}

#endif
