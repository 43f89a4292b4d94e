// SPDX-License-Identifier: MIT
//
// System calls about processes: clone, waiting, limits, prctl. execve is in sys_exec.c.
#include <errno.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "linux/handlers.h"
#include "linux/memory.h"
#include "linux/optimizer.h"
#include "linux/own_fd.h"
#include "linux/process.h"
#include "linux/thread.h"

enum { CLONE3_LEAST = 64, CLONE3_MOST = GUEST_PAGE, MOST_TIDS = 32, PERSONALITY_QUERY = -1, PERSONALITY_EXEC = 0x400000 };

// ---- clone ------------------------------------------------------------------------------------------------------------

long sys_clone(LinuxThread *t, const uint64_t args[6]) {
    CloneRequest request = {
        .flags = args[0] & 0xffffff00,
        .exit_signal = (int)(args[0] & 0xff),
        .stack = args[1],
        .parent_tid = args[2],
        .pidfd = args[2],
        .tls = args[3],
        .child_tid = args[4],
    };
    return process_clone(t, &request);
}

#define CLONE3_NO_FLAGS (UINT64_C(0xff) & ~(uint64_t)CLONE_NEWTIME)

// What the kernel refuses before it looks at anything else. Most of it would not reach the host's kernel as it stands.
static bool clone3_makes_sense(const struct clone_args *a) {
    const uint64_t no_parent = CLONE_THREAD | CLONE_PARENT, handlers = CLONE_SIGHAND | CLONE_CLEAR_SIGHAND;
    if (a->flags & (CLONE3_NO_FLAGS | CLONE_DETACHED)) return false;
    if ((a->flags & handlers) == handlers) return false;
    if (a->exit_signal > LINUX_SIGNALS || ((a->flags & no_parent) && a->exit_signal)) return false;
    if (!a->set_tid != !a->set_tid_size || a->set_tid_size > MOST_TIDS) return false;
    return !a->stack == !a->stack_size;
}

long sys_clone3(LinuxThread *t, const uint64_t args[6]) {
    uint8_t bytes[CLONE3_MOST];
    struct clone_args a;
    uint64_t size = args[1];
    if (size > CLONE3_MOST) return -E2BIG;
    if (size < CLONE3_LEAST) return -EINVAL;
    if (!guest_read(bytes, args[0], size)) return -EFAULT;
    for (size_t i = sizeof a; i < size; i++)
        if (bytes[i]) return -E2BIG; // fields of a newer kernel
    memset(&a, 0, sizeof a);
    memcpy(&a, bytes, size < sizeof a ? size : sizeof a);
    if (!clone3_makes_sense(&a)) return -EINVAL;
    CloneRequest request = {
        .flags = a.flags,
        .exit_signal = (int)a.exit_signal,
        .stack = a.stack ? a.stack + a.stack_size : 0,
        .parent_tid = a.parent_tid,
        .child_tid = a.child_tid,
        .pidfd = a.pidfd,
        .tls = a.tls,
        .clone3 = &a,
        .clone3_size = size < sizeof a ? size : sizeof a,
    };
    return process_clone(t, &request);
}

long sys_unshare(LinuxThread *t, const uint64_t args[6]) {
    if (args[0] & CLONE_NEWPID) optimizer_before_reaping(t->process->engine);
    long r = host_syscall(SYS_unshare, args[0], 0, 0, 0, 0, 0);
    if (r == 0 && args[0] & CLONE_FILES) own_fds_copied(thread_shares(t));
    return r;
}

// What kind of namespace the descriptor is, its flags need not say.
long sys_setns(LinuxThread *t, const uint64_t args[6]) {
    if (!args[1] || args[1] & CLONE_NEWPID) optimizer_before_reaping(t->process->engine);
    if (!args[1] || args[1] & CLONE_NEWNS) optimizer_keep_program();
    return host_syscall(SYS_setns, args[0], args[1], 0, 0, 0, 0);
}

// ---- the end, and waiting for it --------------------------------------------------------------------------------------

long sys_exit(LinuxThread *t, const uint64_t args[6]) { return thread_exit(t, (int)args[0]); }
long sys_exit_group(LinuxThread *t, const uint64_t args[6]) { process_exit(t, (int)args[0]); }

// Children without a signal are seen by waits that ask for such; a few of those are Kiln's (linux/optimizer.h).
#define ANY_CHILDREN ((uint64_t)(__WALL | __WCLONE) & UINT32_MAX)

long sys_wait4(LinuxThread *t, const uint64_t args[6]) {
    for (;;) {
        long pid = safe_syscall(t, SYS_wait4, args[0], args[1], args[2], args[3], 0, 0);
        if (!(args[2] & ANY_CHILDREN) || !optimizer_is_child((pid_t)pid, true)) return pid;
    }
}

long sys_waitid(LinuxThread *t, const uint64_t args[6]) {
    if (!(args[3] & ANY_CHILDREN)) return safe_syscall(t, SYS_waitid, args[0], args[1], args[2], args[3], args[4], 0);
    for (;;) {
        siginfo_t info = {0};
        long r = safe_syscall(t, SYS_waitid, args[0], args[1], &info, args[3], args[4], 0);
        if (r == 0 && optimizer_is_child(info.si_pid, !(args[3] & WNOWAIT))) continue;
        return r == 0 && args[2] && !guest_write(args[2], &info, sizeof info) ? -EFAULT : r;
    }
}

// ---- threads' bookkeeping ---------------------------------------------------------------------------------------------

// Those about futexes with priority inheritance start again after any handler: who asks for such a lock does not reckon with EINTR.
static bool futex_always_restarts(uint64_t operation) {
    int command = (int)operation & FUTEX_CMD_MASK;
    return command == FUTEX_LOCK_PI || command == FUTEX_LOCK_PI2 || command == FUTEX_WAIT_REQUEUE_PI;
}

long sys_futex(LinuxThread *t, const uint64_t args[6]) {
    long r = safe_syscall(t, SYS_futex, args[0], args[1], args[2], args[3], args[4], args[5]);
    return r == -LINUX_ERESTARTSYS && futex_always_restarts(args[1]) ? -LINUX_ERESTARTNOINTR : r;
}

// The main thread's end is the kernel's affair; for others see thread.c.
long sys_set_tid_address(LinuxThread *t, const uint64_t args[6]) {
    t->clear_child_tid = args[0];
    return t->tid == getpid() ? host_syscall(SYS_set_tid_address, args[0], 0, 0, 0, 0, 0) : t->tid;
}

long sys_set_robust_list(LinuxThread *t, const uint64_t args[6]) {
    long r = host_syscall(SYS_set_robust_list, args[0], args[1], 0, 0, 0, 0);
    if (r == 0) {
        t->robust_list = args[0];
        t->robust_size = args[1];
    }
    return r;
}

long sys_get_robust_list(LinuxThread *t, const uint64_t args[6]) {
    return host_syscall(SYS_get_robust_list, args[0], args[1], args[2], 0, 0, 0);
}

// ---- limits -----------------------------------------------------------------------------------------------------------

typedef struct Limit64 {
    uint64_t soft, hard;
} Limit64;

static long host_limit(unsigned resource, const Limit64 *wanted, Limit64 *old) {
    return host_syscall(SYS_prlimit64, 0, resource, wanted, old, 0, 0);
}

// Limits on memory would hit Kiln's own: they are kept here and count for guest memory alone. NULL: one that the host has.
static GuestLimit *kept_limit(LinuxProcess *process, unsigned resource) {
    if (resource == RLIMIT_AS) return &process->limit_as;
    return resource == RLIMIT_DATA ? &process->limit_data : NULL;
}

static Limit64 limit_now(LinuxProcess *process, unsigned resource) {
    const GuestLimit *kept = kept_limit(process, resource);
    Limit64 now = {kept->soft, kept->hard};
    if (!kept->set) host_limit(resource, NULL, &now);
    return now;
}

static uint64_t limit_or_none(const GuestLimit *limit, uint64_t stack) {
    return limit->set && limit->soft < UINT64_MAX - stack ? limit->soft + stack : UINT64_MAX;
}

// The kernel counts of a stack what has been used of it, which is little: so it is left out.
void limits_apply(LinuxProcess *process) {
    if (process->shares_memory) return; // the memory is still its parent's
    uint64_t stack = process->stack_end - process->stack_start;
    memory_set_limits(limit_or_none(&process->limit_as, stack), limit_or_none(&process->limit_data, stack));
}

static long own_limit(LinuxThread *t, unsigned resource, const Limit64 *wanted, Limit64 *old) {
    GuestLimit *kept = kept_limit(t->process, resource);
    if (!kept) return host_limit(resource, wanted, old);
    Limit64 now = *old = limit_now(t->process, resource);
    if (!wanted) return 0;
    if (wanted->soft > wanted->hard) return -EINVAL;
    if (wanted->hard > now.hard && geteuid() != 0) return -EPERM;
    *kept = (GuestLimit){wanted->soft, wanted->hard, true};
    limits_apply(t->process);
    return 0;
}

// ---- limits over execve: another Kiln is told of those that are kept here, a program of the host gets them from its kernel --------

bool limits_text(LinuxProcess *process, char text[LIMITS_TEXT]) {
    if (!process->limit_as.set && !process->limit_data.set) return false;
    Limit64 as = limit_now(process, RLIMIT_AS), data = limit_now(process, RLIMIT_DATA);
    snprintf(text, LIMITS_TEXT, "%" PRIx64 ":%" PRIx64 ":%" PRIx64 ":%" PRIx64, as.soft, as.hard, data.soft, data.hard);
    return true;
}

void limits_read(LinuxProcess *process, const char *text) {
    GuestLimit *as = &process->limit_as, *data = &process->limit_data;
    as->set = data->set =
        sscanf(text, "%" SCNx64 ":%" SCNx64 ":%" SCNx64 ":%" SCNx64, &as->soft, &as->hard, &data->soft, &data->hard) == 4;
}

// The soft limit alone: the hard one could not be raised again if the execve fails.
static uint64_t exchange_soft_limit(unsigned resource, uint64_t soft) {
    Limit64 old = {0, 0};
    host_limit(resource, NULL, &old);
    Limit64 wanted = {soft < old.hard ? soft : old.hard, old.hard};
    host_limit(resource, &wanted, NULL);
    return old.soft;
}

void limits_exchange(const LinuxProcess *process, uint64_t soft[2]) {
    if (process->limit_as.set) soft[0] = exchange_soft_limit(RLIMIT_AS, soft[0]);
    if (process->limit_data.set) soft[1] = exchange_soft_limit(RLIMIT_DATA, soft[1]);
}

static long change_limit(LinuxThread *t, unsigned resource, uint64_t new_address, uint64_t old_address) {
    Limit64 wanted, old;
    if (new_address && !guest_read(&wanted, new_address, sizeof wanted)) return -EFAULT;
    long r = own_limit(t, resource, new_address ? &wanted : NULL, &old);
    if (r < 0 || !old_address) return r;
    return guest_write(old_address, &old, sizeof old) ? 0 : -EFAULT;
}

long sys_prlimit64(LinuxThread *t, const uint64_t args[6]) {
    pid_t pid = (pid_t)args[0];
    if (pid != 0 && pid != getpid()) return host_syscall(SYS_prlimit64, args[0], args[1], args[2], args[3], 0, 0);
    return change_limit(t, (unsigned)args[1], args[2], args[3]);
}

long sys_getrlimit(LinuxThread *t, const uint64_t args[6]) { return change_limit(t, (unsigned)args[0], 0, args[1]); }

long sys_setrlimit(LinuxThread *t, const uint64_t args[6]) {
    return args[1] ? change_limit(t, (unsigned)args[0], args[1], 0) : -EFAULT;
}

// ---- prctl, personality -----------------------------------------------------------------------------------------------

// What is the host processor's, or would act on Kiln instead of the guest.
static bool prctl_absent(int option) {
    switch (option) {
    case PR_SET_UNALIGN:
    case PR_GET_UNALIGN:
    case PR_SET_FPEMU:
    case PR_GET_FPEMU:
    case PR_SET_FPEXC:
    case PR_GET_FPEXC:
    case PR_SET_ENDIAN:
    case PR_GET_ENDIAN:
    case PR_GET_TSC:
    case PR_SET_TSC:
    case PR_SET_SECCOMP:
    case PR_SET_MM:
    case PR_SET_FP_MODE:
    case PR_GET_FP_MODE:
    case PR_MPX_ENABLE_MANAGEMENT:
    case PR_MPX_DISABLE_MANAGEMENT:
    case PR_SVE_SET_VL:
    case PR_SVE_GET_VL:
    case PR_PAC_RESET_KEYS:
    case PR_SET_TAGGED_ADDR_CTRL:
    case PR_GET_TAGGED_ADDR_CTRL:
    case PR_SET_SYSCALL_USER_DISPATCH: return true;
    default: return false;
    }
}

// ---- what takes abilities away ------------------------------------------------------------------------------------------

long sys_landlock_restrict_self(LinuxThread *t, const uint64_t args[6]) {
    optimizer_before_loss(t->process->engine);
    return host_syscall(SYS_landlock_restrict_self, args[0], args[1], 0, 0, 0, 0);
}

static long change_user(long number, const uint64_t args[6]) {
    optimizer_keep_program();
    return host_syscall(number, args[0], args[1], args[2], 0, 0, 0);
}
long sys_setuid(LinuxThread *t, const uint64_t args[6]) {
    (void)t;
    return change_user(SYS_setuid, args);
}
long sys_setreuid(LinuxThread *t, const uint64_t args[6]) {
    (void)t;
    return change_user(SYS_setreuid, args);
}
long sys_setresuid(LinuxThread *t, const uint64_t args[6]) {
    (void)t;
    return change_user(SYS_setresuid, args);
}

long sys_prctl(LinuxThread *t, const uint64_t args[6]) {
    int option = (int)args[0];
    if (option == PR_GET_SECCOMP) return 0;
    if (option == PR_GET_TID_ADDRESS) return guest_write(args[1], &t->clear_child_tid, sizeof t->clear_child_tid) ? 0 : -EFAULT;
    if (prctl_absent(option)) return -EINVAL;
    if (option == PR_SET_CHILD_SUBREAPER && args[1]) optimizer_before_reaping(t->process->engine);
    return host_syscall(SYS_prctl, args[0], args[1], args[2], args[3], args[4], 0);
}

// READ_IMPLIES_EXEC on the host would make Kiln's memory executable, not the guest's.
long sys_personality(LinuxThread *t, const uint64_t args[6]) {
    unsigned persona = (unsigned)args[0];
    if (persona != (unsigned)PERSONALITY_QUERY) persona &= ~(unsigned)PERSONALITY_EXEC;
    return host_syscall(SYS_personality, persona, 0, 0, 0, 0, 0);
}
