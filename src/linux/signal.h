// SPDX-License-Identifier: MIT
//
// Between the files that deal with signals: signal.c (host handlers, delivery), sys_signal.c, hooks.c, process.c.
#ifndef KILN_LINUX_SIGNAL_H
#define KILN_LINUX_SIGNAL_H

#include "base/sanitize.h"
#include "linux/linux.h"

INTERRUPTS_SANITIZER static inline uint64_t signal_bit(int signal) { return UINT64_C(1) << (signal - 1); }
// Signals that the guest's own instructions raise. Never blocked on the host.
#define SYNCHRONOUS_SIGNALS                                                                                                        \
    (signal_bit(SIGILL) | signal_bit(SIGTRAP) | signal_bit(SIGBUS) | signal_bit(SIGFPE) | signal_bit(SIGSEGV))
#define UNBLOCKABLE_SIGNALS (signal_bit(SIGKILL) | signal_bit(SIGSTOP))

// The kernel's struct sigaction on x86-64.
typedef struct HostSigaction {
    void *handler;
    uint64_t flags;
    void *restorer;
    uint64_t mask;
} HostSigaction;

// At start: takes dispositions and mask over from the host and installs the handlers of the synchronous signals.
void signals_start(LinuxThread *t);
// process->actions is filled in as it is asked for: to be called, with the lock, before the guest learns of an action.
void signal_read_action(LinuxProcess *process, int signal);
// Makes the host's disposition of an asynchronous signal follow process->actions.
void signal_follow_action(const LinuxProcess *process, int signal);
// In a process that shares its parent's memory, at its start and with all signals blocked.
void signals_share_memory(LinuxProcess *process);
// Before execve: the host's state becomes what the new program shall inherit; after a failed one: back. Between the two handlers may
// run, so execve itself is a safe_syscall: a signal that comes before it is delivered first.
void signals_leave_for_exec(LinuxThread *t);
void signals_return_from_exec(LinuxThread *t);
// In a child: nothing is pending.
void signals_forget(LinuxThread *t);
// Reinstalls the handlers of synchronous signals (CLONE_CLEAR_SIGHAND took them away).
void signals_install_synchronous(void);

// An instruction of the guest raised this.
void signal_raise_fault(LinuxThread *t, int signal, int code, uint64_t address);
// A synchronous signal was sent by someone (siginfo of a process).
void signal_hold(LinuxThread *t, int signal, const siginfo_t *info);
// Is there anything for signals_deliver to do?
bool signals_need_work(const LinuxThread *t);
// Delivers what is deliverable, ends a temporary mask, restarts the interrupted system call if that is right, and makes
// the host's mask follow the guest's. At the end of system calls, polls and faults.
void signals_deliver(LinuxThread *t);
// The calling thread sends itself this, or its process, whose only thread it is. False: the kernel must do it. True: done, with the
// result of the system call, at whose end it is delivered.
bool signal_to_self(LinuxThread *t, int signal, int code, long *result);
// Takes one of the held signals in `set`; 0: none.
int signal_take_held(LinuxThread *t, uint64_t set, siginfo_t *info);

// safe_syscall.c
extern const char safe_syscall_begin[], safe_syscall_call[], safe_syscall_interrupted[], safe_syscall_restarted[];
// Of what a signal has interrupted. If it stands before a call's effect: moves it to the right exit.
void safe_syscall_unwind(greg_t *registers);

// Host calls.
uint64_t host_signal_mask(int how, uint64_t set); // returns the old one
void host_signal_action(int signal, const HostSigaction *action);

#endif
