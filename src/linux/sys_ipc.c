// SPDX-License-Identifier: MIT
//
// System V objects: only semaphores' struct semid64_ds differs from the host's (x86-64 keeps the gaps of 32-bit times).
// Attaching shared memory is a matter of the memory map (sys_memory.c).
#include <errno.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include "linux/handlers.h"

// struct ipc64_perm, the same on both sides.
typedef struct IpcPermissions {
    int32_t key;
    uint32_t uid, gid, cuid, cgid, mode;
    uint16_t seq, padding[3];
    uint64_t unused[2];
} IpcPermissions;

typedef struct GuestSemid {
    IpcPermissions perm;
    int64_t otime, ctime;
    uint64_t nsems, unused[2];
} GuestSemid;

typedef struct HostSemid {
    IpcPermissions perm;
    int64_t otime;
    uint64_t unused1;
    int64_t ctime;
    uint64_t unused2, nsems, unused[2];
} HostSemid;
_Static_assert(sizeof(IpcPermissions) == 48 && sizeof(GuestSemid) == 88 && sizeof(HostSemid) == 104,
               "the layouts of asm-generic/sembuf.h and asm/sembuf.h");

static long semctl_stat(const uint64_t args[6]) {
    HostSemid from;
    long r = host_syscall(SYS_semctl, (long)args[0], (long)args[1], (long)args[2], (long)&from, 0, 0);
    if (r < 0) return r;
    GuestSemid to = {.perm = from.perm, .otime = from.otime, .ctime = from.ctime, .nsems = from.nsems};
    return guest_write(args[3], &to, sizeof to) ? r : -EFAULT;
}

static long semctl_set(const uint64_t args[6]) {
    GuestSemid from;
    if (!guest_read(&from, args[3], sizeof from)) return -EFAULT;
    HostSemid to = {.perm = from.perm, .otime = from.otime, .ctime = from.ctime, .nsems = from.nsems};
    return host_syscall(SYS_semctl, (long)args[0], (long)args[1], (long)args[2], (long)&to, 0, 0);
}

long sys_semctl(LinuxThread *t, const uint64_t args[6]) {
    (void)t;
    switch ((int)args[2]) {
    case IPC_STAT:
    case SEM_STAT:
    case SEM_STAT_ANY: return semctl_stat(args);
    case IPC_SET: return semctl_set(args);
    default: return host_syscall(SYS_semctl, (long)args[0], (long)args[1], (long)args[2], (long)args[3], 0, 0);
    }
}
