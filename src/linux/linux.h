// SPDX-License-Identifier: MIT
//
// Linux user mode: what its parts share.
//
//   elf_parse, elf_load, stack   a program into memory, up to its first instruction
//   memory, sys_memory           the map of guest memory and the calls that change it
//   process, sys_process         life and death of processes, exec, credentials
//   thread                       life and death of threads
//   signal, sys_signal           host signals in, guest signals out
//   kill                         the end of processes that share memory
//   syscalls.def, syscall        the table of system calls and the dispatch through it
//   sys_file, sys_fs, sys_misc, strace
//
// Guest addresses are host addresses and the guests' layouts are nearly the host's, so most calls are passed on as they are.
//
// Signals in one paragraph: the kernel keeps them. The host's mask follows the guest's (all but the synchronous signals,
// which stay unblocked), and only signals that have a guest handler have a host handler. That handler stores the one
// signal it got in the thread, blocks all others until it is delivered, and asks the thread out of generated code or
// out of `safe_syscall`. So queueing, priorities and who of several threads gets a signal are the kernel's own. What a
// thread sends itself, to be handled at once, needs none of that and stays out of the kernel.
#ifndef KILN_LINUX_LINUX_H
#define KILN_LINUX_LINUX_H

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "engine/cpu.h"
#include "engine/engine.h"
#include "guest/guest.h"

// ---- results of system call handlers: negative errno, or one of these, negative too: no errno reaches 512 ---------------
enum {
    LINUX_ERESTARTSYS = 512,    // interrupted: restart if the handler has SA_RESTART or none runs, else EINTR
    LINUX_ERESTARTNOINTR = 513, // restart always
    LINUX_ERESTARTNOHAND = 514, // EINTR if a handler runs, else restart
    LINUX_NO_RESULT = 600,      // the guest's registers are right already (rt_sigreturn)
};

enum { LINUX_SIGNALS = 64, LINUX_SIGSET_SIZE = 8 };

// The guest kernel's struct sigaction as riscv64 has it (no sa_restorer; AArch64 has one between flags and mask).
typedef struct GuestSigaction {
    uint64_t handler, flags, mask;
} GuestSigaction;

// A resource limit that the guest has set, or a guest before execve.
typedef struct GuestLimit {
    uint64_t soft, hard;
    bool set;
} GuestLimit;

typedef struct LinuxThread LinuxThread;

// One a guest process. A child of vfork has a copy of its own; it shares the engine and the memory map
// (linux/memory.h: one a host address space, so it is not in here).
typedef struct LinuxProcess {
    Engine *engine;
    const Guest *guest;
    uint64_t features; // of the chosen cpu model
    pid_t pid;

    // What was asked for (set by main before anything runs)
    const char *sysroot;      // -L: absolute path without a trailing slash, or NULL
    char **self_options;      // Kiln's own options, NULL-terminated, to run it again on execve
    char self_path[PATH_MAX]; // Kiln's own executable, absolute
    bool strace;
    bool core_report;    // -d: say something when the guest dies by a signal
    uint64_t stack_size; // 0: RLIMIT_STACK
    bool seeded;         // -seed: what is random follows from `random`
    uint64_t random;     // state of random_bytes
    const char *release; // -r: what uname answers as the kernel's release, or NULL for the host's

    // The running program
    char exe_path[PATH_MAX]; // absolute: what /proc/self/exe of the guest shows
    const char *argv0;
    uint64_t stack_start, stack_end;                 // guest stack: low and high end
    uint64_t arg_start, arg_end, env_start, env_end; // strings on the stack (for /proc/self/cmdline and the like)
    uint64_t auxv_start, auxv_size;                  // the auxiliary vector on the stack (for /proc/self/auxv)
    uint64_t vdso_start, vdso_end;
    uint64_t sigreturn;              // guest address of the code that signal handlers return to, in the vdso
    GuestLimit limit_as, limit_data; // kept here, not on the host

    // Signals: actions[signal - 1]; `signal_lock` guards them
    pthread_mutex_t signal_lock;
    GuestSigaction actions[LINUX_SIGNALS];
    uint64_t unread_actions; // bit (signal - 1): still as inherited, see signal_read_action

    bool shares_memory; // with its parent, until it execs or exits

    // Changed by atomic operations; these two come last, as a child of vfork takes over everything before them.
    uint32_t thread_count;
    uint32_t ending; // a thread ends the process; others that want to, wait
} LinuxProcess;

// One signal that the kernel gave us and the guest has not got yet.
typedef struct CaughtSignal {
    volatile int signal;
    siginfo_t info;
} CaughtSignal;

struct LinuxThread {
    Cpu *cpu; // cpu->thread points back here
    LinuxProcess *process;
    pid_t tid;

    uint64_t blocked;    // the guest's signal mask, bit (signal - 1)
    uint64_t saved_mask; // if restore_mask: the mask to go back to when a temporary one ends (sigsuspend, ppoll)
    bool restore_mask;
    uint64_t host_mask;         // the host's, unless host_blocked
    volatile bool host_blocked; // all asynchronous signals are blocked on the host (signals_block, or one was caught)
    // Not 0: something is to be delivered; safe_syscall does not start. Set by host signal handlers.
    volatile uint32_t signal_pending;
    CaughtSignal caught; // asynchronous: at most one
    CaughtSignal fault;  // raised by the guest's own instruction
    bool fault_deadly;   // no handler is for it
    CaughtSignal own;    // sent by this thread to itself, not through the kernel
    uint64_t held_set;   // synchronous signals that someone sent while the guest blocks them ...
    siginfo_t held[5];   // ... in the order of held_signals[] (signal.c)
    stack_t altstack;    // guest's sigaltstack (layout = the host's)
    long restart;        // what the current system call asked for (LINUX_ERESTART...), 0: nothing
    uint64_t restart_argument;

    // A process that shares its parent's memory, and SIGKILL for it (kill.c)
    pid_t killed_as;  // its id, 0: none of these
    uint32_t dying;   // asked to end, since when
    uint32_t may_die; // the kernel may end it

    uint64_t clear_child_tid; // set_tid_address, CLONE_CHILD_CLEARTID
    uint64_t robust_list, robust_size;
    int exit_status;   // of exit(2), while it goes on
    bool in_syscall;   // hooks.exception is inside syscall_dispatch
    void *exec_memory; // what execve allocated; the parent of a vfork child frees it
    size_t exec_memory_size;
};

// The thread that runs here (NULL before the guest starts).
extern __thread LinuxThread *linux_self;

// ---- system calls -----------------------------------------------------------------------------------------------------
typedef long (*SyscallHandler)(LinuxThread *t, const uint64_t args[6]);

// Table dispatch with strace (syscall.c). Unknown numbers answer -ENOSYS.
long syscall_dispatch(LinuxThread *t, uint64_t number, const uint64_t args[6]);

// Host system call that may block. Every handler that can sleep uses it, so no signal is slept through. A guest signal that is pending, or
// comes before the call, makes it return -LINUX_ERESTARTNOINTR; one that interrupts it before it has had an effect -LINUX_ERESTARTSYS, if
// the kernel would restart it. `number` is the host's.
long safe_syscall_raw(volatile uint32_t *pending, long number, long a, long b, long c, long d, long e, long f);
#define safe_syscall(t, number, a, b, c, d, e, f)                                                                                  \
    safe_syscall_raw(&(t)->signal_pending, (number), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
// Host system call that does not block: negative errno, without touching errno.
long host_syscall_raw(long number, long a, long b, long c, long d, long e, long f);
#define host_syscall(number, a, b, c, d, e, f)                                                                                     \
    host_syscall_raw((number), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

// ---- signals, for handlers (signal.c) ----------------------------------------------------------------------------------
// Blocks all asynchronous signals on the host until the end of the current system call. True: one is already waiting, the
// handler must return -LINUX_ERESTARTNOINTR at once, without effect (the call starts again after delivery).
bool signals_block(LinuxThread *t);
// Makes the host's mask follow the one that the guest's is about to become. False: one is already waiting; as above.
bool signal_change_mask(LinuxThread *t, uint64_t mask);
// Calls with a temporary mask (ppoll, pselect6, epoll_pwait, io_pgetevents, rt_sigsuspend). `set` is the guest address of
// the mask. enter: 0 and *host = the mask to hand to the host's call (8 bytes), or a result to return at once
// (-EFAULT, -EINVAL for a size other than 8, restart). leave: to be called with the host call's result; returns what the
// handler returns. With set = 0 both do nothing (*host untouched; pass NULL to the host).
//     long r = signal_mask_enter(t, args[3], args[4], &mask);
//     if (r) return r;
//     r = safe_syscall(t, SYS_ppoll, args[0], args[1], args[2], args[3] ? &mask : NULL, 8, 0);
//     return signal_mask_leave(t, args[3], r);
long signal_mask_enter(LinuxThread *t, uint64_t set, uint64_t size, uint64_t *host);
long signal_mask_leave(LinuxThread *t, uint64_t set, long result);
// For signalfd: the synchronous signals of a guest's set never reach a host signalfd; pass the rest.
uint64_t signal_host_set(uint64_t guest_set);

// ---- paths (sysroot.c) -------------------------------------------------------------------------------------------------
// What a guest path means on the host: `sysroot`/path if that exists, else path itself. `follow`: a link as the last component counts as
// what it leads to. The result is `path` or `buffer`.
const char *sysroot_path(const LinuxProcess *process, const char *path, bool follow, char buffer[PATH_MAX]);

// ---- life and death (process.c) ----------------------------------------------------------------------------------------
// Ends this process as exit_group does; writes --stats first.
void process_exit(LinuxThread *t, int status) __attribute__((noreturn));
// Dies by a signal, so that the parent sees it.
void process_die(LinuxThread *t, int signal, bool core) __attribute__((noreturn));
// Called before the end of a process; for --stats. May be NULL.
extern void (*process_at_exit)(LinuxProcess *process);

// A debugger's part in a process (debug/gdb.c).
typedef struct LinuxDebugger {
    // Before a signal is delivered; answers which one is instead, 0: none. May change registers and memory.
    int (*signal)(LinuxThread *t, int signal, const siginfo_t *info);
    // Is this signal the debugger's way to get a thread out of guest code and system calls? Async-signal-safe.
    bool (*is_kick)(const siginfo_t *info);
    void (*exited)(LinuxThread *t, int status);
    void (*died)(LinuxThread *t, int signal);
} LinuxDebugger;
extern const LinuxDebugger *linux_debugger; // NULL: none

extern const EngineHooks linux_hooks; // hooks.c

#endif
