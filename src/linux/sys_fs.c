// SPDX-License-Identifier: MIT
//
// Files by name and what is known of them: struct stat, which x86-64 lays out by itself, links, directories.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include "linux/handlers.h"
#include "linux/optimizer.h"
#include "linux/own_fd.h"
#include "linux/path.h"
#include "linux/process.h"
#include "linux/procfs.h"

// ---- stat --------------------------------------------------------------------------------------------------------------

// The generic kernel's struct stat on 64 bits.
typedef struct GuestStat {
    uint64_t dev, ino;
    uint32_t mode, nlink, uid, gid;
    uint64_t rdev, padding1;
    int64_t size;
    int32_t blksize, padding2;
    int64_t blocks;
    int64_t atime, atime_nsec, mtime, mtime_nsec, ctime, ctime_nsec;
    uint32_t unused[2];
} GuestStat;
_Static_assert(sizeof(GuestStat) == 128 && offsetof(GuestStat, atime) == 72, "the layout of asm-generic/stat.h");

static long write_stat(uint64_t address, const struct stat *from) {
    GuestStat to = {
        .dev = from->st_dev,
        .ino = from->st_ino,
        .mode = from->st_mode,
        .nlink = (uint32_t)from->st_nlink,
        .uid = from->st_uid,
        .gid = from->st_gid,
        .rdev = from->st_rdev,
        .size = from->st_size,
        .blksize = (int32_t)from->st_blksize,
        .blocks = from->st_blocks,
        .atime = from->st_atim.tv_sec,
        .atime_nsec = from->st_atim.tv_nsec,
        .mtime = from->st_mtim.tv_sec,
        .mtime_nsec = from->st_mtim.tv_nsec,
        .ctime = from->st_ctim.tv_sec,
        .ctime_nsec = from->st_ctim.tv_nsec,
    };
    return guest_write(address, &to, sizeof to) ? 0 : -EFAULT;
}

long sys_fstat(LinuxThread *t, const uint64_t args[6]) {
    (void)t;
    struct stat st;
    long r = host_syscall(SYS_fstat, (long)args[0], (long)&st, 0, 0, 0, 0);
    return r ? r : write_stat(args[1], &st);
}

long sys_newfstatat(LinuxThread *t, const uint64_t args[6]) {
    char buffer[PATH_MAX];
    uint64_t path;
    long r = path_translate(t, (int)args[0], args[1], !(args[3] & AT_SYMLINK_NOFOLLOW), buffer, &path);
    if (r) return r;
    struct stat st;
    r = host_syscall(SYS_newfstatat, (long)args[0], (long)path, (long)&st, (long)args[3], 0, 0);
    return r ? r : write_stat(args[2], &st);
}

long sys_statx(LinuxThread *t, const uint64_t args[6]) {
    char buffer[PATH_MAX];
    uint64_t path;
    long r = path_translate(t, (int)args[0], args[1], !(args[2] & AT_SYMLINK_NOFOLLOW), buffer, &path);
    if (r) return r;
    return host_syscall(SYS_statx, (long)args[0], (long)path, (long)args[2], (long)args[3], (long)args[4], 0);
}

// ---- links -------------------------------------------------------------------------------------------------------------

static bool is_exe_link(int directory, uint64_t path) {
    char name[PATH_MAX], buffer[PATH_MAX];
    if (guest_read_string(name, path, sizeof name) <= 0) return false;
    const char *proc = path_in_proc(directory, name, buffer);
    return proc && procfs_find(proc) == PROC_EXE;
}

long sys_readlinkat(LinuxThread *t, const uint64_t args[6]) {
    if (is_exe_link((int)args[0], args[1])) {
        const char *exe = t->process->exe_path;
        size_t length = strlen(exe);
        if ((int)args[3] <= 0) return -EINVAL;
        if (length > args[3]) length = args[3];
        return guest_write(args[2], exe, length) ? (long)length : -EFAULT;
    }
    char buffer[PATH_MAX];
    uint64_t path;
    long r = path_translate(t, (int)args[0], args[1], false, buffer, &path);
    if (r) return r;
    return host_syscall(SYS_readlinkat, (long)args[0], (long)path, (long)args[2], (long)args[3], 0, 0);
}

// ---- directories -------------------------------------------------------------------------------------------------------

long sys_chroot(LinuxThread *t, const uint64_t args[6]) {
    exec_keep_self(t->process, -1);
    optimizer_keep_program();
    return host_syscall(SYS_chroot, (long)args[0], 0, 0, 0, 0, 0);
}

long sys_pivot_root(LinuxThread *t, const uint64_t args[6]) {
    exec_keep_self(t->process, -1);
    optimizer_keep_program();
    return host_syscall(SYS_pivot_root, (long)args[0], (long)args[1], 0, 0, 0, 0);
}

// The host's directory where both have it, as the files that the guest makes there are the host's.
long sys_chdir(LinuxThread *t, const uint64_t args[6]) {
    long r = host_syscall(SYS_chdir, (long)args[0], 0, 0, 0, 0, 0);
    if (r != -ENOENT && r != -ENOTDIR) return r;
    char buffer[PATH_MAX];
    uint64_t path;
    long error = path_translate(t, AT_FDCWD, args[0], true, buffer, &path);
    return error || path == args[0] ? r : host_syscall(SYS_chdir, (long)path, 0, 0, 0, 0, 0);
}

typedef struct DirectoryEntry {
    uint64_t ino;
    int64_t off;
    uint16_t reclen;
    uint8_t type;
    char name[];
} DirectoryEntry;
enum { ENTRY_HEADER = offsetof(DirectoryEntry, name) };

// Is the entry at `address` named by the number of one of our descriptors? Its length goes to *size (0: unreadable).
static bool is_own_fd_entry(uint64_t address, uint16_t *size) {
    char entry[ENTRY_HEADER + 12] = "";
    uint16_t reclen = 0;
    *size = 0;
    if (!guest_read(&reclen, address + offsetof(DirectoryEntry, reclen), sizeof reclen) || reclen < ENTRY_HEADER) return false;
    *size = reclen;
    size_t read = reclen < sizeof entry - 1 ? reclen : sizeof entry - 1;
    if (!guest_read(entry, address, read)) return false;
    char *end;
    unsigned long number = strtoul(entry + ENTRY_HEADER, &end, 10);
    return end != entry + ENTRY_HEADER && *end == 0 && number <= INT_MAX && own_fd_is(number);
}

// Moves what follows [at, at + size) of the filled buffer down over it.
static bool remove_entry(uint64_t at, uint16_t size, uint64_t end) {
    uint64_t rest = end - at - size;
    char *copy = rest ? malloc(rest) : NULL;
    bool done = !rest || (copy && guest_read(copy, at + size, rest) && guest_write(at, copy, rest));
    free(copy);
    return done;
}

// The filled part of the buffer without Kiln's own descriptors.
static long hide_own_fds(uint64_t buffer, long filled) {
    uint64_t at = buffer, end = buffer + (uint64_t)filled;
    while (at < end) {
        uint16_t size;
        bool own = is_own_fd_entry(at, &size);
        if (!size) break;
        if (!own) at += size;
        else if (remove_entry(at, size, end)) end -= size;
        else return -EFAULT;
    }
    return (long)(end - buffer);
}

long sys_getdents64(LinuxThread *t, const uint64_t args[6]) {
    (void)t;
    for (;;) {
        long filled = host_syscall(SYS_getdents64, (long)args[0], (long)args[1], (long)args[2], 0, 0, 0);
        if (filled <= 0 || own_fd_next(0) < 0 || !procfs_is_fd_directory((int)args[0])) return filled;
        long left = hide_own_fds(args[1], filled);
        if (left) return left; // nothing left: not the end of the directory, so read on
    }
}
