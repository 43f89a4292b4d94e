// SPDX-License-Identifier: MIT
//
// System calls about processes: clone, waiting, limits, prctl. execve is in sys_exec.c.
#include <errno.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "linux/handlers.h"
#include "linux/memory.h"
#include "linux/process.h"
#include "linux/thread.h"

enum { CLONE3_LEAST = 64, CLONE3_MOST = GUEST_PAGE, PERSONALITY_QUERY = -1, PERSONALITY_EXEC = 0x400000 };
// Below this a stack limit would stop Kiln's own stack, so the host does not hear of it.
#define LEAST_HOST_STACK (UINT64_C(1) << 20)

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
    if ((a.stack == 0) != (a.stack_size == 0) || a.exit_signal > LINUX_SIGNALS || (a.flags & 0xff)) return -EINVAL;
    CloneRequest request = {
        .flags = a.flags,
        .exit_signal = (int)a.exit_signal,
        .stack = a.stack ? a.stack + a.stack_size : 0,
        .parent_tid = a.parent_tid,
        .child_tid = a.child_tid,
        .pidfd = a.pidfd,
        .tls = a.tls,
        .clone3 = &a,
        .clone3_size = sizeof a,
    };
    return process_clone(t, &request);
}

long sys_unshare(LinuxThread *t, const uint64_t args[6]) { return host_syscall(SYS_unshare, args[0], 0, 0, 0, 0, 0); }

// ---- the end, and waiting for it --------------------------------------------------------------------------------------

long sys_exit(LinuxThread *t, const uint64_t args[6]) { return thread_exit(t, (int)args[0]); }
long sys_exit_group(LinuxThread *t, const uint64_t args[6]) { process_exit(t, (int)args[0]); }

long sys_wait4(LinuxThread *t, const uint64_t args[6]) {
    return safe_syscall(t, SYS_wait4, args[0], args[1], args[2], args[3], 0, 0);
}

long sys_waitid(LinuxThread *t, const uint64_t args[6]) {
    return safe_syscall(t, SYS_waitid, args[0], args[1], args[2], args[3], args[4], 0);
}

// ---- threads' bookkeeping ---------------------------------------------------------------------------------------------

long sys_futex(LinuxThread *t, const uint64_t args[6]) {
    return safe_syscall(t, SYS_futex, args[0], args[1], args[2], args[3], args[4], args[5]);
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

// Limits on memory would hit Kiln's own: they are kept here and count for guest memory alone.
static bool kept_limit(LinuxProcess *process, unsigned resource, uint64_t **soft, uint64_t **hard, bool **set) {
    switch (resource) {
    case RLIMIT_AS: *soft = &process->limit_as.soft, *hard = &process->limit_as.hard, *set = &process->limit_as.set; return true;
    case RLIMIT_DATA:
        *soft = &process->limit_data.soft, *hard = &process->limit_data.hard, *set = &process->limit_data.set;
        return true;
    case RLIMIT_STACK:
        *soft = &process->limit_stack.soft, *hard = &process->limit_stack.hard, *set = &process->limit_stack.set;
        return true;
    default: return false;
    }
}

static void limits_changed(LinuxProcess *process, unsigned resource) {
    memory_set_limits(process->limit_as.set ? process->limit_as.soft : UINT64_MAX,
                      process->limit_data.set ? process->limit_data.soft : UINT64_MAX);
    if (resource != RLIMIT_STACK || process->limit_stack.soft < LEAST_HOST_STACK) return;
    Limit64 limit = {process->limit_stack.soft, process->limit_stack.hard};
    host_syscall(SYS_prlimit64, 0, RLIMIT_STACK, &limit, NULL, 0, 0);
}

static long own_limit(LinuxThread *t, unsigned resource, const Limit64 *wanted, Limit64 *old) {
    uint64_t *soft, *hard;
    bool *set;
    if (!kept_limit(t->process, resource, &soft, &hard, &set)) return host_syscall(SYS_prlimit64, 0, resource, wanted, old, 0, 0);
    Limit64 now = {*soft, *hard};
    if (!*set) host_syscall(SYS_prlimit64, 0, resource, NULL, &now, 0, 0);
    *old = now;
    if (!wanted) return 0;
    if (wanted->soft > wanted->hard) return -EINVAL;
    if (wanted->hard > now.hard && geteuid() != 0) return -EPERM;
    *soft = wanted->soft;
    *hard = wanted->hard;
    *set = true;
    limits_changed(t->process, resource);
    return 0;
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

long sys_prctl(LinuxThread *t, const uint64_t args[6]) {
    int option = (int)args[0];
    if (option == PR_GET_SECCOMP) return 0;
    if (option == PR_GET_TID_ADDRESS) return guest_write(args[1], &t->clear_child_tid, sizeof t->clear_child_tid) ? 0 : -EFAULT;
    if (prctl_absent(option)) return -EINVAL;
    return host_syscall(SYS_prctl, args[0], args[1], args[2], args[3], args[4], 0);
}

// READ_IMPLIES_EXEC on the host would make Kiln's memory executable, not the guest's.
long sys_personality(LinuxThread *t, const uint64_t args[6]) {
    unsigned persona = (unsigned)args[0];
    if (persona != (unsigned)PERSONALITY_QUERY) persona &= ~(unsigned)PERSONALITY_EXEC;
    return host_syscall(SYS_personality, persona, 0, 0, 0, 0, 0);
}
