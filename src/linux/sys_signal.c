// SPDX-License-Identifier: MIT
//
// System calls about signals. The kernel does the work; what differs are the synchronous signals, which are never blocked on
// the host and therefore wait in the thread when the guest blocks them.
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "linux/handlers.h"
#include "linux/kill.h"
#include "linux/signal.h"

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif

enum { GUEST_MINSIGSTKSZ = 2048 };

// The kernel forgets the others, so that a program can find out which it knows. 0x800: SA_EXPOSE_TAGBITS.
#define KNOWN_SA_FLAGS                                                                                                             \
    (SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER | (uint64_t)SA_RESETHAND | UINT64_C(0x800))

long sys_rt_sigaction(LinuxThread *t, const uint64_t args[6]) {
    int signal = (int)args[0];
    GuestSigaction action, old;
    if (args[3] != LINUX_SIGSET_SIZE || signal < 1 || signal > LINUX_SIGNALS) return -EINVAL;
    if (args[1] && (signal_bit(signal) & UNBLOCKABLE_SIGNALS)) return -EINVAL;
    if (args[1] && !guest_read(&action, args[1], sizeof action)) return -EFAULT;
    pthread_mutex_lock(&t->process->signal_lock);
    GuestSigaction *slot = &t->process->actions[signal - 1];
    signal_read_action(t->process, signal);
    old = *slot;
    if (args[1]) {
        *slot = action;
        slot->mask &= ~UNBLOCKABLE_SIGNALS;
        slot->flags &= KNOWN_SA_FLAGS;
        signal_follow_action(t->process, signal);
        if (action.handler == 1) // ignoring discards what is pending
            __atomic_and_fetch(&t->held_set, ~signal_bit(signal), __ATOMIC_SEQ_CST);
    }
    pthread_mutex_unlock(&t->process->signal_lock);
    if (args[2] && !guest_write(args[2], &old, sizeof old)) return -EFAULT;
    return 0;
}

long sys_rt_sigprocmask(LinuxThread *t, const uint64_t args[6]) {
    uint64_t set = 0, old = t->blocked, mask = old;
    if (args[3] != LINUX_SIGSET_SIZE) return -EINVAL;
    if (args[1]) {
        if (!guest_read(&set, args[1], sizeof set)) return -EFAULT;
        switch ((int)args[0]) {
        case SIG_BLOCK: mask = old | set; break;
        case SIG_UNBLOCK: mask = old & ~set; break;
        case SIG_SETMASK: mask = set; break;
        default: return -EINVAL;
        }
        mask &= ~UNBLOCKABLE_SIGNALS;
    }
    if (mask != old) {
        if (!signal_change_mask(t, mask)) return -LINUX_ERESTARTNOINTR;
        t->blocked = mask;
    }
    return args[2] && !guest_write(args[2], &old, sizeof old) ? -EFAULT : 0;
}

long sys_rt_sigpending(LinuxThread *t, const uint64_t args[6]) {
    uint64_t set = 0;
    if (args[1] > LINUX_SIGSET_SIZE) return -EINVAL;
    host_syscall(SYS_rt_sigpending, &set, LINUX_SIGSET_SIZE, 0, 0, 0, 0);
    set |= t->held_set & t->blocked;
    return guest_write(args[0], &set, args[1]) ? 0 : -EFAULT;
}

long sys_rt_sigsuspend(LinuxThread *t, const uint64_t args[6]) {
    uint64_t mask, unused;
    if (args[1] != LINUX_SIGSET_SIZE) return -EINVAL;
    if (!guest_read(&mask, args[0], sizeof mask)) return -EFAULT;
    long r = signal_mask_enter(t, args[0], args[1], &unused);
    if (r) return r;
    mask = signal_host_set(mask);
    r = safe_syscall(t, SYS_rt_sigsuspend, &mask, LINUX_SIGSET_SIZE, 0, 0, 0, 0);
    return signal_mask_leave(t, args[0], r);
}

// A synchronous signal of the set may be waiting in the thread; and while the host waits, it must keep those too.
long sys_rt_sigtimedwait(LinuxThread *t, const uint64_t args[6]) {
    uint64_t set;
    siginfo_t info;
    if (args[3] != LINUX_SIGSET_SIZE) return -EINVAL;
    if (!guest_read(&set, args[0], sizeof set)) return -EFAULT;
    int signal = signal_take_held(t, set, &info);
    if (signal) return args[1] && !guest_write(args[1], &info, sizeof info) ? -EFAULT : signal;
    uint64_t synchronous = set & SYNCHRONOUS_SIGNALS;
    if (synchronous) host_signal_mask(SIG_BLOCK, synchronous);
    long r = safe_syscall(t, SYS_rt_sigtimedwait, &set, args[1], args[2], LINUX_SIGSET_SIZE, 0, 0);
    if (synchronous) host_signal_mask(SIG_UNBLOCK, synchronous);
    return r;
}

static bool on_altstack(const LinuxThread *t) {
    uint64_t sp = t->process->guest->linux_abi.stack_pointer(t->cpu), start = (uint64_t)t->altstack.ss_sp;
    if (t->altstack.ss_flags & (int)(SS_DISABLE | SS_AUTODISARM)) return false;
    return sp > start && sp - start <= t->altstack.ss_size;
}

static long set_altstack(LinuxThread *t, stack_t wanted) {
    int mode = wanted.ss_flags & (int)~SS_AUTODISARM;
    if (on_altstack(t)) return -EPERM;
    if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0) return -EINVAL;
    if (mode == SS_DISABLE) wanted.ss_size = 0, wanted.ss_sp = NULL;
    else if (wanted.ss_size < GUEST_MINSIGSTKSZ) return -ENOMEM;
    wanted.ss_flags = (int)((unsigned)wanted.ss_flags & (SS_AUTODISARM | SS_DISABLE));
    t->altstack = wanted;
    return 0;
}

long sys_rt_sigreturn(LinuxThread *t, const uint64_t args[6]) {
    uint64_t mask;
    stack_t altstack = t->altstack;
    const GuestLinux *abi = &t->process->guest->linux_abi;
    bool good = abi->signal_mask(t->cpu, &mask);
    if (good) {
        mask &= ~UNBLOCKABLE_SIGNALS;
        if (!signal_change_mask(t, mask)) return -LINUX_ERESTARTNOINTR;
        t->blocked = mask;
        good = abi->signal_return(t->cpu, &altstack);
    }
    if (!good) {
        signal_raise_fault(t, SIGSEGV, SI_KERNEL, 0);
        return -LINUX_NO_RESULT;
    }
    set_altstack(t, altstack); // what sigaltstack would refuse leaves the one that there is
    return -LINUX_NO_RESULT;
}

long sys_sigaltstack(LinuxThread *t, const uint64_t args[6]) {
    stack_t wanted, old;
    memset(&old, 0, sizeof old);
    old.ss_sp = t->altstack.ss_sp;
    old.ss_size = t->altstack.ss_size;
    old.ss_flags = t->altstack.ss_flags | (on_altstack(t) ? SS_ONSTACK : 0);
    if (args[0]) {
        if (!guest_read(&wanted, args[0], sizeof wanted)) return -EFAULT;
        long r = set_altstack(t, wanted);
        if (r < 0) return r;
    }
    return args[1] && !guest_write(args[1], &old, sizeof old) ? -EFAULT : 0;
}

// Linux uses this number for calls that were interrupted; here they start again by themselves.
long sys_restart_syscall(LinuxThread *t, const uint64_t args[6]) { return -EINTR; }

// ---- sending ----------------------------------------------------------------------------------------------------------

// safe_syscall, though none of them waits: what came before the call is delivered before it, as its own signal may come at once.

long sys_kill(LinuxThread *t, const uint64_t args[6]) {
    bool alone = __atomic_load_n(&t->process->thread_count, __ATOMIC_RELAXED) == 1; // else another thread may take it
    long result;
    if ((pid_t)args[0] == t->process->pid && alone && signal_to_self(t, (int)args[1], SI_USER, &result)) return result;
    if (kill_asked(t, (pid_t)args[0], (int)args[1], &result)) return result;
    return safe_syscall(t, SYS_kill, args[0], args[1], 0, 0, 0, 0);
}

long sys_tkill(LinuxThread *t, const uint64_t args[6]) {
    long result;
    if ((pid_t)args[0] == t->tid && signal_to_self(t, (int)args[1], SI_TKILL, &result)) return result;
    if ((pid_t)args[0] > 0 && kill_asked(t, (pid_t)args[0], (int)args[1], &result)) return result;
    return safe_syscall(t, SYS_tkill, args[0], args[1], 0, 0, 0, 0);
}

// A process that shares memory has one thread.
static bool names_main_thread(const uint64_t args[6]) { return (pid_t)args[0] > 0 && (pid_t)args[0] == (pid_t)args[1]; }

long sys_tgkill(LinuxThread *t, const uint64_t args[6]) {
    bool self = (pid_t)args[0] == t->process->pid && (pid_t)args[1] == t->tid;
    long result;
    if (self && signal_to_self(t, (int)args[2], SI_TKILL, &result)) return result;
    if (names_main_thread(args) && kill_asked(t, (pid_t)args[0], (int)args[2], &result)) return result;
    return safe_syscall(t, SYS_tgkill, args[0], args[1], args[2], 0, 0, 0);
}

// A process may send itself a siginfo that looks like a fault's, which the host's handler could not tell from one.
static bool send_to_self(LinuxThread *t, bool self, int signal, uint64_t info_address, long *result) {
    siginfo_t info;
    if (!self || signal < 1 || signal > LINUX_SIGNALS || !(signal_bit(signal) & SYNCHRONOUS_SIGNALS)) return false;
    if (!guest_read(&info, info_address, sizeof info)) {
        *result = -EFAULT;
        return true;
    }
    info.si_signo = signal;
    if (t->process->actions[signal - 1].handler != 1) signal_hold(t, signal, &info);
    *result = 0;
    return true;
}

// What comes with a signal is what a process may say to another.
static bool may_queue(uint64_t info_address) {
    siginfo_t info;
    return guest_read(&info, info_address, sizeof info) && info.si_code < 0 && info.si_code != SI_TKILL;
}

long sys_rt_sigqueueinfo(LinuxThread *t, const uint64_t args[6]) {
    long result;
    if (send_to_self(t, (pid_t)args[0] == t->process->pid, (int)args[1], args[2], &result)) return result;
    if ((pid_t)args[0] > 0 && may_queue(args[2]) && kill_asked(t, (pid_t)args[0], (int)args[1], &result)) return result;
    return safe_syscall(t, SYS_rt_sigqueueinfo, args[0], args[1], args[2], 0, 0, 0);
}

long sys_rt_tgsigqueueinfo(LinuxThread *t, const uint64_t args[6]) {
    long result;
    bool self = (pid_t)args[0] == t->process->pid && (pid_t)args[1] == t->tid;
    if (send_to_self(t, self, (int)args[2], args[3], &result)) return result;
    if (names_main_thread(args) && may_queue(args[3]) && kill_asked(t, (pid_t)args[0], (int)args[2], &result)) return result;
    return safe_syscall(t, SYS_rt_tgsigqueueinfo, args[0], args[1], args[2], args[3], 0, 0);
}

long sys_pidfd_send_signal(LinuxThread *t, const uint64_t args[6]) {
    long result;
    if (!args[2] && !args[3] && kill_asked_by_descriptor(t, (int)args[0], (int)args[1], &result)) return result;
    return safe_syscall(t, SYS_pidfd_send_signal, args[0], args[1], args[2], args[3], 0, 0);
}
