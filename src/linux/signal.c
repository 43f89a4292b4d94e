// SPDX-License-Identifier: MIT
//
// Signals: from the host's handlers to the guest's.
//
// Asynchronous signals. Host mask = guest mask without the synchronous signals, while the guest runs. The host's handler
// stores the one signal it got (`caught`) and leaves with everything asynchronous blocked, so there is never a second one to
// store. signals_deliver runs the guest's handler and opens the host's mask again. Calls that change masks block first
// (signals_block): what had come before is delivered before the call takes place.
//
// Synchronous signals are unblocked on the host always. Caused by the guest's code, they come through engine_fault and
// hooks.fault into `fault`. Sent by someone (kill), they wait in `held`, as the kernel's mask cannot keep them.
#include "linux/signal.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include "base/error.h"
#include "base/sanitize.h"
#include "linux/kill.h"
#include "linux/syscall.h"

#define HOST_SA_RESTORER UINT64_C(0x04000000)
#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif

__thread LinuxThread *linux_self;

static const int held_signals[5] = {SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV};

INTERRUPTS_SANITIZER static bool is_synchronous(int signal) { return (SYNCHRONOUS_SIGNALS & signal_bit(signal)) != 0; }

// ---- host calls -------------------------------------------------------------------------------------------------------

void host_sigreturn(void);
__asm__(".text\n.globl host_sigreturn\n.type host_sigreturn, @function\n"
        "host_sigreturn:\n    mov $15, %eax\n    syscall\n.size host_sigreturn, . - host_sigreturn\n");

uint64_t host_signal_mask(int how, uint64_t set) {
    uint64_t old = 0;
    host_syscall(SYS_rt_sigprocmask, how, &set, &old, LINUX_SIGSET_SIZE, 0, 0);
    return old;
}

void host_signal_action(int signal, const HostSigaction *action) {
    host_syscall(SYS_rt_sigaction, signal, action, NULL, LINUX_SIGSET_SIZE, 0, 0);
}

static void set_default(int signal) { host_signal_action(signal, &(HostSigaction){.handler = (void *)SIG_DFL}); }

// ---- host handler -----------------------------------------------------------------------------------------------------

// A fault that is not the guest's: Kiln's bug. Nothing can be trusted any more but write and kill.
static void internal_error(int signal, const siginfo_t *info, const ucontext_t *context) {
    uint64_t rip = (uint64_t)context->uc_mcontext.gregs[REG_RIP];
    const Cpu *cpu = current_cpu;
    char text[300];
    int n = snprintf(text, sizeof text,
                     "kiln: internal error: signal %d (code %d, address 0x%llx) at host pc kiln%+lld, guest pc 0x%llx; please "
                     "report it (--tier interp may get around it)\n",
                     signal, info->si_code, (unsigned long long)(uint64_t)info->si_addr,
                     (long long)(rip - (uint64_t)&host_sigreturn), cpu ? (unsigned long long)cpu->pc : 0);
    if (n > 0) host_syscall(SYS_write, STDERR_FILENO, text, n, 0, 0, 0);
    set_default(SIGSEGV);
    host_signal_mask(SIG_UNBLOCK, signal_bit(SIGSEGV));
    host_syscall(SYS_tgkill, getpid(), gettid(), SIGSEGV, 0, 0, 0);
    host_syscall(SYS_exit_group, 128 + SIGSEGV, 0, 0, 0, 0, 0);
}

const LinuxDebugger *linux_debugger;

INTERRUPTS_SANITIZER static void ask_out(LinuxThread *t, ucontext_t *context) {
    t->signal_pending = 1;
    if (t->cpu) engine_poll_request(t->cpu);
    uint64_t rip = (uint64_t)context->uc_mcontext.gregs[REG_RIP];
    if (safe_syscall_unwind(&rip)) context->uc_mcontext.gregs[REG_RIP] = (greg_t)rip;
}

INTERRUPTS_SANITIZER static void handle_asynchronous(LinuxThread *t, int signal, const siginfo_t *info, ucontext_t *context) {
    t->caught.info = *info;
    t->caught.signal = signal;
    t->host_blocked = true;
    uint64_t all = ~SYNCHRONOUS_SIGNALS;
    memcpy(&context->uc_sigmask, &all, sizeof all);
    ask_out(t, context);
}

INTERRUPTS_SANITIZER static void host_handler(int signal, siginfo_t *info, void *context) {
    LinuxThread *t = linux_self;
    if (!is_synchronous(signal)) {
        if (t) handle_asynchronous(t, signal, info, context);
        return;
    }
    if (info->si_code > 0) {
        if (!engine_fault(signal, info, context)) internal_error(signal, info, context);
        return;
    }
    if (!t) return;
    if (t->dying || (linux_debugger && linux_debugger->is_kick(info))) {
        ask_out(t, context);
        return;
    }
    signal_hold(t, signal, info);
    if (t->held_set & ~t->blocked) ask_out(t, context);
}

// Returns what was there.
static HostSigaction install(int signal, uint64_t more_flags) {
    HostSigaction old = {0}, action = {
                                 .handler = (void *)host_handler,
                                 .flags = SA_SIGINFO | SA_RESTART | HOST_SA_RESTORER | more_flags,
                                 .restorer = (void *)host_sigreturn,
                                 .mask = ~SYNCHRONOUS_SIGNALS,
                             };
    host_syscall(SYS_rt_sigaction, signal, &action, &old, LINUX_SIGSET_SIZE, 0, 0);
    return old;
}

// Nothing is blocked while these are handled: the way back out of a fault need not restore a mask. Returns what was there.
static HostSigaction install_synchronous(int signal) {
    HostSigaction old = {0}, action = {
                                 .handler = (void *)host_handler,
                                 .flags = SA_SIGINFO | SA_RESTART | SA_NODEFER | HOST_SA_RESTORER,
                                 .restorer = (void *)host_sigreturn,
                             };
    host_syscall(SYS_rt_sigaction, signal, &action, &old, LINUX_SIGSET_SIZE, 0, 0);
    return old;
}

void signals_install_synchronous(void) {
    for (unsigned i = 0; i < 5; i++) install_synchronous(held_signals[i]);
}

static GuestSigaction inherited_action(const HostSigaction *host) {
    return (GuestSigaction){.handler = host->handler == (void *)SIG_IGN};
}

void signal_read_action(LinuxProcess *process, int signal) {
    HostSigaction old = {0};
    if (!(process->unread_actions & signal_bit(signal))) return;
    process->unread_actions &= ~signal_bit(signal);
    host_syscall(SYS_rt_sigaction, signal, NULL, &old, LINUX_SIGSET_SIZE, 0, 0);
    process->actions[signal - 1] = inherited_action(&old);
}

typedef enum DefaultAction { DEFAULT_DIE, DEFAULT_CORE, DEFAULT_IGNORE, DEFAULT_STOP } DefaultAction;

static DefaultAction default_action(int signal) {
    switch (signal) {
    case SIGCHLD:
    case SIGCONT:
    case SIGURG:
    case SIGWINCH: return DEFAULT_IGNORE;
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU: return DEFAULT_STOP;
    case SIGQUIT:
    case SIGILL:
    case SIGTRAP:
    case SIGABRT:
    case SIGBUS:
    case SIGFPE:
    case SIGSEGV:
    case SIGXCPU:
    case SIGXFSZ:
    case SIGSYS: return DEFAULT_CORE;
    default: return DEFAULT_DIE;
    }
}

static bool is_deadly(int signal) {
    DefaultAction action = default_action(signal);
    return action == DEFAULT_DIE || action == DEFAULT_CORE;
}

// What ends the process by default is delivered like what it handles: a debugger wants to know before, and who shares the memory must not
// be ended in the midst of Kiln's own code.
static bool dies_here(const LinuxProcess *process) { return linux_debugger || process->shares_memory; }

void signal_follow_action(const LinuxProcess *process, int signal) {
    const GuestSigaction *guest = &process->actions[signal - 1];
    bool of_access = signal == SIGSEGV || signal == SIGBUS; // the others are raised where registers are exact anyway
    if (of_access && guest->handler > 1) engine_faults_are_handled(process->engine);
    if (is_synchronous(signal)) return;
    uint64_t flags = guest->flags & (SA_NOCLDSTOP | SA_NOCLDWAIT);
    if (guest->handler > 1 || (guest->handler == 0 && is_deadly(signal) && dies_here(process))) {
        install(signal, flags);
        return;
    }
    HostSigaction plain = {.handler = guest->handler ? (void *)SIG_IGN : (void *)SIG_DFL, .flags = flags};
    host_signal_action(signal, &plain);
}

void signals_share_memory(LinuxProcess *process) {
    for (int signal = 1; signal <= LINUX_SIGNALS; signal++) {
        GuestSigaction *guest = &process->actions[signal - 1];
        bool unread = process->unread_actions & signal_bit(signal);
        if (!is_deadly(signal) || (signal_bit(signal) & (SYNCHRONOUS_SIGNALS | UNBLOCKABLE_SIGNALS)) || (!unread && guest->handler))
            continue;
        HostSigaction old = install(signal, guest->flags & (SA_NOCLDSTOP | SA_NOCLDWAIT));
        if (!unread) continue;
        process->unread_actions &= ~signal_bit(signal);
        *guest = inherited_action(&old);
        if (guest->handler) host_signal_action(signal, &old);
    }
}

void signals_start(LinuxThread *t) {
    t->process->unread_actions = ~SYNCHRONOUS_SIGNALS;
    t->altstack = (stack_t){.ss_flags = SS_DISABLE};
    linux_self = t;
    t->blocked = host_signal_mask(SIG_BLOCK, 0);
    for (unsigned i = 0; i < 5; i++) {
        HostSigaction old = install_synchronous(held_signals[i]);
        t->process->actions[held_signals[i] - 1] = inherited_action(&old);
    }
    if (t->blocked & SYNCHRONOUS_SIGNALS) host_signal_mask(SIG_SETMASK, t->blocked & ~SYNCHRONOUS_SIGNALS);
}

// What is held here must wait in the kernel, which hands it to the new program. All of these signals are blocked.
static void give_back_held(LinuxThread *t) {
    siginfo_t info;
    for (int signal; (signal = signal_take_held(t, ~UINT64_C(0), &info));) {
        if (info.si_code > 0) info.si_code = SI_TKILL; // else it would be taken for a fault if it came back
        host_syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), signal, &info, 0, 0);
    }
}

void signals_leave_for_exec(LinuxThread *t) {
    kill_may(t, true);
    // Signals with a handler get their default action by execve. Until then other threads may need it.
    for (unsigned i = 0; i < 5; i++)
        if (t->process->actions[held_signals[i] - 1].handler == 1)
            host_signal_action(held_signals[i], &(HostSigaction){.handler = (void *)SIG_IGN});
    host_signal_mask(SIG_BLOCK, SYNCHRONOUS_SIGNALS);
    give_back_held(t);
    host_signal_mask(SIG_SETMASK, t->blocked);
}

void signals_return_from_exec(LinuxThread *t) {
    signals_install_synchronous();
    host_signal_mask(SIG_SETMASK, ~SYNCHRONOUS_SIGNALS);
    t->host_blocked = true;
    kill_may(t, false);
}

void signals_forget(LinuxThread *t) {
    t->caught.signal = t->fault.signal = 0;
    t->held_set = 0;
    t->signal_pending = 0;
}

// ---- what waits -------------------------------------------------------------------------------------------------------

INTERRUPTS_SANITIZER void signal_hold(LinuxThread *t, int signal, const siginfo_t *info) {
    if (t->held_set & signal_bit(signal)) return; // as with every standard signal: once
    for (unsigned i = 0; i < 5; i++)
        if (held_signals[i] == signal) t->held[i] = *info;
    __atomic_or_fetch(&t->held_set, signal_bit(signal), __ATOMIC_SEQ_CST);
}

int signal_take_held(LinuxThread *t, uint64_t set, siginfo_t *info) {
    for (unsigned i = 0; i < 5; i++) {
        uint64_t bit = signal_bit(held_signals[i]);
        if (!(t->held_set & set & bit)) continue;
        *info = t->held[i];
        __atomic_and_fetch(&t->held_set, ~bit, __ATOMIC_SEQ_CST);
        return held_signals[i];
    }
    return 0;
}

void signal_raise_fault(LinuxThread *t, int signal, int code, uint64_t address) {
    memset(&t->fault.info, 0, sizeof t->fault.info);
    t->fault.info.si_signo = signal;
    t->fault.info.si_code = code;
    t->fault.info.si_addr = (void *)address;
    t->fault.signal = signal;
}

bool signals_need_work(const LinuxThread *t) {
    return t->signal_pending || t->host_blocked || t->restore_mask || t->restart || t->fault.signal || (t->held_set & ~t->blocked);
}

static bool block_on_host(LinuxThread *t) {
    if (!t->host_blocked) host_signal_mask(SIG_SETMASK, ~SYNCHRONOUS_SIGNALS);
    t->host_blocked = true;
    return t->caught.signal != 0 || (t->held_set & ~t->blocked);
}

bool signals_block(LinuxThread *t) { return block_on_host(t); }

uint64_t signal_host_set(uint64_t guest_set) { return guest_set & ~SYNCHRONOUS_SIGNALS; }

long signal_mask_enter(LinuxThread *t, uint64_t set, uint64_t size, uint64_t *host) {
    uint64_t mask;
    if (!set) return 0;
    if (size != LINUX_SIGSET_SIZE) return -EINVAL;
    if (!guest_read(&mask, set, sizeof mask)) return -EFAULT;
    if (signals_block(t)) return -LINUX_ERESTARTNOINTR;
    t->saved_mask = t->blocked;
    t->restore_mask = true;
    t->blocked = mask & ~UNBLOCKABLE_SIGNALS;
    if (t->held_set & ~t->blocked) t->signal_pending = 1; // do not sleep
    *host = signal_host_set(mask);
    return 0;
}

long signal_mask_leave(LinuxThread *t, uint64_t set, long result) {
    if (!set) return result;
    bool interrupted = result == -EINTR || result == -LINUX_ERESTARTSYS;
    if (interrupted && t->signal_pending) return -LINUX_ERESTARTNOHAND; // the temporary mask ends with the delivery
    t->blocked = t->saved_mask;
    t->restore_mask = false;
    return result;
}

// ---- delivery ---------------------------------------------------------------------------------------------------------

static void act_by_default(LinuxThread *t, int signal) {
    switch (default_action(signal)) {
    case DEFAULT_IGNORE: return;
    case DEFAULT_STOP:
        set_default(signal);
        host_syscall(SYS_tgkill, getpid(), gettid(), signal, 0, 0, 0);
        host_signal_mask(SIG_UNBLOCK, signal_bit(signal)); // stops here
        host_signal_mask(SIG_SETMASK, ~SYNCHRONOUS_SIGNALS);
        return;
    case DEFAULT_DIE: process_die(t, signal, false);
    case DEFAULT_CORE: process_die(t, signal, true);
    }
}

// What the interrupted system call answers now that a handler runs.
static void settle_restart(LinuxThread *t, uint64_t flags) {
    const GuestLinux *abi = &t->process->guest->linux_abi;
    long restart = t->restart;
    t->restart = 0;
    if (!restart) return;
    bool again = restart == LINUX_ERESTARTNOINTR || (restart == LINUX_ERESTARTSYS && (flags & SA_RESTART));
    if (again) abi->syscall_restart(t->cpu, t->restart_argument);
    else abi->syscall_result(t->cpu, (uint64_t)-EINTR);
}

static bool on_altstack(const LinuxThread *t, uint64_t sp) {
    uint64_t start = (uint64_t)t->altstack.ss_sp;
    return !(t->altstack.ss_flags & SS_DISABLE) && sp > start && sp - start <= t->altstack.ss_size;
}

// Where the frame goes; *limit is the lowest address it may use (0: no limit known).
static uint64_t frame_stack(const LinuxThread *t, uint64_t flags, uint64_t *limit) {
    uint64_t sp = t->process->guest->linux_abi.stack_pointer(t->cpu), start = (uint64_t)t->altstack.ss_sp;
    bool disarm = (t->altstack.ss_flags & (int)SS_AUTODISARM) != 0, on = on_altstack(t, sp) && !disarm;
    *limit = 0;
    if (on) *limit = start;
    if (on || !(flags & SA_ONSTACK) || (t->altstack.ss_flags & SS_DISABLE)) return sp;
    *limit = start;
    return start + t->altstack.ss_size;
}

static void fail_frame(LinuxThread *t, int signal) {
    if (signal == SIGSEGV) t->process->actions[SIGSEGV - 1].handler = 0;
    signal_raise_fault(t, SIGSEGV, SI_KERNEL, 0);
}

static void run_handler(LinuxThread *t, int signal, const siginfo_t *info, GuestSigaction action) {
    const GuestLinux *abi = &t->process->guest->linux_abi;
    settle_restart(t, action.flags);
    uint64_t limit, stack = frame_stack(t, action.flags, &limit);
    uint64_t mask = t->restore_mask ? t->saved_mask : t->blocked;
    if (!abi->signal_frame(t->cpu, stack, signal, info, &t->altstack, mask, action.handler, action.flags, t->process->sigreturn) ||
        (limit && abi->stack_pointer(t->cpu) < limit)) {
        fail_frame(t, signal);
        return;
    }
    if (t->altstack.ss_flags & (int)SS_AUTODISARM) t->altstack = (stack_t){.ss_flags = SS_DISABLE};
    t->restore_mask = false;
    t->blocked |= action.mask | ((action.flags & SA_NODEFER) ? 0 : signal_bit(signal));
    t->blocked &= ~UNBLOCKABLE_SIGNALS;
}

static void deliver(LinuxThread *t, int signal, const siginfo_t *info, bool forced) {
    LinuxProcess *process = t->process;
    siginfo_t other = {0};
    if (linux_debugger) {
        int wanted = linux_debugger->signal(t, signal, info);
        if (!wanted) return;
        if (wanted != signal) {
            other.si_signo = signal = wanted;
            info = &other;
            forced = false;
        }
    }
    if (process->strace) strace_signal(t, signal, info);
    pthread_mutex_lock(&process->signal_lock);
    GuestSigaction action = process->actions[signal - 1];
    bool reset = action.handler > 1 && (action.flags & SA_RESETHAND);
    if (reset) {
        process->actions[signal - 1].handler = 0;
        signal_follow_action(process, signal);
    }
    pthread_mutex_unlock(&process->signal_lock);
    // A fault cannot wait nor be ignored.
    if (forced && (action.handler == 1 || (t->blocked & signal_bit(signal)))) action.handler = 0;
    if (action.handler > 1) count_more(&engine_counters(process->engine)->signals_delivered, 1);
    if (action.handler == 0) act_by_default(t, signal);
    else if (action.handler > 1) run_handler(t, signal, info, action);
}

// The next signal to deliver; *forced: caused by the guest's own instruction.
static int take_next(LinuxThread *t, siginfo_t *info, bool *forced) {
    int signal = t->fault.signal;
    *forced = signal != 0;
    if (signal) {
        *info = t->fault.info;
        t->fault.signal = 0;
        return signal;
    }
    signal = signal_take_held(t, ~t->blocked, info);
    if (signal) return signal;
    signal = t->caught.signal;
    if (!signal) return 0;
    *info = t->caught.info;
    t->caught.signal = 0;
    if (!(t->blocked & signal_bit(signal))) return signal;
    // A handler that was entered meanwhile blocks it: back to the kernel, which keeps it.
    host_syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), signal, info, 0, 0);
    return 0;
}

void signals_deliver(LinuxThread *t) {
    siginfo_t info;
    bool forced;
    block_on_host(t);
    for (;;) {
        // Cleared before looking: what comes later sets them again.
        t->signal_pending = 0;
        engine_poll_clear(t->cpu);
        kill_obey(t);
        int signal = take_next(t, &info, &forced);
        if (!signal) break;
        deliver(t, signal, &info, forced);
    }
    if (t->restart) {
        t->process->guest->linux_abi.syscall_restart(t->cpu, t->restart_argument);
        t->restart = 0;
    }
    if (t->restore_mask) {
        t->blocked = t->saved_mask;
        t->restore_mask = false;
    }
    t->host_blocked = false;
    host_signal_mask(SIG_SETMASK, t->blocked & ~SYNCHRONOUS_SIGNALS);
}
