// SPDX-License-Identifier: MIT
//
// Signals: from the host's handlers to the guest's.
//
// Asynchronous signals. Host mask = guest mask without the synchronous signals, while the guest runs. The host's handler
// stores the one signal it got (`caught`) and leaves with everything asynchronous blocked (`host_blocked`), so there is never a
// second one to store. signals_deliver runs the guest's handler and opens the host's mask again.
//
// A change of the guest's mask is one call of the host (signal_change_mask), and that is a safe_syscall. Either a signal has come
// before it: then it does not take place, the signal is delivered under the old mask, and what was to change the mask starts
// again. Or it takes place, and what comes from then on comes under the new mask, of which the guest's registers and `blocked`
// may know a moment later, as nothing is delivered meanwhile. Where several steps belong together (clone, execve) everything
// is blocked first (signals_block), with the same choice.
//
// What a thread sends itself and does not block is delivered without the kernel (signal_to_self), where the kernel would
// have no choice: a handler of the guest's would run before the call returns. Its mask is the host's before that is certain.
//
// Synchronous signals are unblocked on the host always. Caused by the guest's code, they come through engine_fault and
// hooks.fault into `fault`. Sent by another, or blocked, they wait in `held`, as the kernel's mask cannot keep them.
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
    safe_syscall_unwind(context->uc_mcontext.gregs);
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

// Asynchronous ones are blocked in all handlers: one of them that is handled inside of a fault's handler would block the others for the rest of
// it alone, and the next could take its place in `caught`. All handlers end by an ordinary return. Returns what was there.
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

static HostSigaction install_synchronous(int signal) { return install(signal, SA_NODEFER); }

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
    t->host_mask = signal_host_set(t->blocked);
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

// ---- masks ------------------------------------------------------------------------------------------------------------

uint64_t signal_host_set(uint64_t guest_set) { return guest_set & ~SYNCHRONOUS_SIGNALS; }

bool signal_change_mask(LinuxThread *t, uint64_t mask) {
    uint64_t wanted = signal_host_set(mask);
    if (t->host_blocked) return false;
    if (wanted == t->host_mask) return true;
    if (safe_syscall(t, SYS_rt_sigprocmask, SIG_SETMASK, &wanted, NULL, LINUX_SIGSET_SIZE, 0, 0) < 0) return false;
    t->host_mask = wanted;
    return true;
}

// At the end of deliveries. Nothing asynchronous can come while host_blocked is set, so the call that ends it needs no care.
static bool follow_mask(LinuxThread *t) {
    if (!t->host_blocked) return signal_change_mask(t, t->blocked);
    if (t->caught.signal) return false; // came just now
    t->host_blocked = false;            // before the call, at whose return the next signal may come
    t->host_mask = signal_host_set(t->blocked);
    host_signal_mask(SIG_SETMASK, t->host_mask);
    return true;
}

bool signals_block(LinuxThread *t) {
    bool guest_blocks_all = (t->host_mask | SYNCHRONOUS_SIGNALS | UNBLOCKABLE_SIGNALS) == ~UINT64_C(0);
    if (!t->host_blocked && !guest_blocks_all) {
        host_signal_mask(SIG_SETMASK, ~SYNCHRONOUS_SIGNALS);
        t->host_blocked = true;
    }
    return t->caught.signal != 0 || (t->held_set & ~t->blocked);
}

static uint64_t mask_in_handler(uint64_t blocked, int signal, const GuestSigaction *action) {
    return (blocked | action->mask | ((action->flags & SA_NODEFER) ? 0 : signal_bit(signal))) & ~UNBLOCKABLE_SIGNALS;
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
    t->fault_deadly = false;
    t->fault.signal = signal;
}

bool signals_need_work(const LinuxThread *t) {
    return t->signal_pending || t->host_blocked || t->restore_mask || t->restart || t->own.signal || t->fault.signal ||
           (t->held_set & ~t->blocked);
}

// ---- temporary masks: only the host's call itself is made under them --------------------------------------------------------

long signal_mask_enter(LinuxThread *t, uint64_t set, uint64_t size, uint64_t *host) {
    uint64_t mask;
    if (!set) return 0;
    if (size != LINUX_SIGSET_SIZE) return -EINVAL;
    if (!guest_read(&mask, set, sizeof mask)) return -EFAULT;
    t->saved_mask = t->blocked;
    t->restore_mask = true;
    t->blocked = mask & ~UNBLOCKABLE_SIGNALS;
    if (t->held_set & ~t->blocked) t->signal_pending = 1; // do not sleep
    *host = signal_host_set(mask);
    return 0;
}

long signal_mask_leave(LinuxThread *t, uint64_t set, long result) {
    if (!set) return result;
    // The kernel restarts none of these calls once it has a signal for them.
    bool not_called = result == -LINUX_ERESTARTNOINTR || result == -LINUX_ERESTARTSYS;
    bool waited_for = not_called ? !t->caught.signal && (t->held_set & ~t->blocked) : result == -EINTR && t->signal_pending;
    if (waited_for) return -LINUX_ERESTARTNOHAND; // the temporary mask ends with the delivery
    t->blocked = t->saved_mask;
    t->restore_mask = false;
    return not_called ? -LINUX_ERESTARTNOINTR : result; // a signal that came before the call comes before the mask too
}

// ---- a thread's signals to itself -----------------------------------------------------------------------------------------------

// Standard signals without side effects on others. Those that come with data, or not at all if there is no room, are the kernel's. For those
// that faults raise, which the host never blocks, this is the only way to come before what interrupts the thread after the call.
static bool is_simple(int signal) {
    const uint64_t job_control = signal_bit(SIGCONT) | signal_bit(SIGTSTP) | signal_bit(SIGTTIN) | signal_bit(SIGTTOU);
    return signal > 0 && signal < 32 && !(signal_bit(signal) & (job_control | UNBLOCKABLE_SIGNALS));
}

bool signal_to_self(LinuxThread *t, int signal, int code, long *result) {
    LinuxProcess *process = t->process;
    if (!is_simple(signal) || (t->blocked & signal_bit(signal)) || linux_debugger) return false;
    pthread_mutex_lock(&process->signal_lock);
    GuestSigaction action = process->actions[signal - 1];
    pthread_mutex_unlock(&process->signal_lock);
    if (action.handler <= 1) return false;
    *result = -LINUX_ERESTARTNOINTR;
    if (!signal_change_mask(t, mask_in_handler(t->blocked, signal, &action))) return true; // another one comes first
    memset(&t->own.info, 0, sizeof t->own.info);
    t->own.info.si_signo = signal;
    t->own.info.si_code = code;
    t->own.info.si_pid = process->pid;
    t->own.info.si_uid = (uid_t)host_syscall(SYS_getuid, 0, 0, 0, 0, 0, 0);
    t->own.signal = signal;
    *result = 0;
    return true;
}

// ---- delivery ---------------------------------------------------------------------------------------------------------

static void act_by_default(LinuxThread *t, int signal) {
    signals_block(t); // one at a time
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
    t->blocked = mask_in_handler(t->blocked, signal, &action);
}

// The handler's mask becomes the host's before the guest's state changes. False: another signal has come just now.
static bool prepare_mask(LinuxThread *t, int signal, const GuestSigaction *action) {
    if (!t->host_blocked && !signal_change_mask(t, mask_in_handler(t->blocked, signal, action))) signals_block(t);
    return !t->host_blocked || !t->caught.signal;
}

// A fault may wait for the other one, which its handler's mask may block: the instruction will raise it again.
static bool comes_again(const siginfo_t *info, bool forced) { return forced && !linux_debugger && info->si_code != SI_KERNEL; }

static void deliver(LinuxThread *t, int signal, const siginfo_t *info, bool forced) {
    LinuxProcess *process = t->process;
    siginfo_t other = {0};
    if (linux_debugger) {
        signals_block(t); // it may talk for long
        int wanted = linux_debugger->signal(t, signal, info);
        if (!wanted) return;
        if (wanted != signal) {
            other.si_signo = signal = wanted;
            info = &other;
            forced = false;
        }
    }
    pthread_mutex_lock(&process->signal_lock);
    GuestSigaction action = process->actions[signal - 1];
    // A fault cannot wait nor be ignored.
    if (forced && (action.handler == 1 || (t->blocked & signal_bit(signal)) || t->fault_deadly)) action.handler = 0;
    bool later = action.handler > 1 && !prepare_mask(t, signal, &action) && comes_again(info, forced);
    if (!later && action.handler > 1 && (action.flags & SA_RESETHAND)) {
        process->actions[signal - 1].handler = 0;
        signal_follow_action(process, signal);
    }
    pthread_mutex_unlock(&process->signal_lock);
    if (later) return;
    if (process->strace) strace_signal(t, signal, info);
    if (action.handler > 1) count_more(&engine_counters(process->engine)->signals_delivered, 1);
    if (action.handler == 0) act_by_default(t, signal);
    else if (action.handler > 1) run_handler(t, signal, info, action);
}

static int take(CaughtSignal *from, siginfo_t *info) {
    int signal = from->signal;
    __atomic_signal_fence(__ATOMIC_SEQ_CST); // it may have come just now
    *info = from->info;
    from->signal = 0;
    return signal;
}

// The next signal to deliver; *forced: caused by the guest's own instruction. What comes first finds the mask under which it came.
static int take_next(LinuxThread *t, siginfo_t *info, bool *forced) {
    *forced = false;
    if (t->own.signal) return take(&t->own, info); // the host's mask is its handler's already
    *forced = t->fault.signal != 0;
    if (*forced) return take(&t->fault, info);
    if (t->caught.signal) {
        int signal = take(&t->caught, info);
        if (!(t->blocked & signal_bit(signal))) return signal;
        // A handler that was entered meanwhile blocks it: back to the kernel, which keeps it.
        host_syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), signal, info, 0, 0);
    }
    return signal_take_held(t, ~t->blocked, info);
}

static void deliver_all(LinuxThread *t) {
    siginfo_t info;
    bool forced;
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
}

void signals_deliver(LinuxThread *t) {
    do deliver_all(t);
    while (!follow_mask(t));
}
