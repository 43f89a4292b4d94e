// SPDX-License-Identifier: MIT
//
// Opening, closing and duplicating files, and waiting for several of them.
//
// Most calls on files are passed to the host by their rows. Here are those that must know Kiln's own descriptors, the
// guest's /proc, the calls that wait with a temporary signal mask, and struct epoll_event, which x86-64 alone packs.
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <linux/close_range.h>
#include <linux/openat2.h>
#include "linux/handlers.h"
#include "linux/memory_file.h"
#include "linux/own_fd.h"
#include "linux/path.h"
#include "linux/procfs.h"
#include "linux/thread.h"

// ---- open --------------------------------------------------------------------------------------------------------------

// True: the path names a file of /proc that is made for the guest, and *result is what open answers.
static bool open_in_proc(LinuxThread *t, int directory, uint64_t path, uint64_t flags, long *result) {
    char name[PATH_MAX], buffer[PATH_MAX];
    if (flags & O_PATH) return false;
    if (guest_read_string(name, path, sizeof name) <= 0) return false;
    const char *proc = path_in_proc(directory, name, buffer);
    ProcFile file = proc ? procfs_find(proc) : PROC_NONE;
    if (file == PROC_NONE || file == PROC_EXE || file == PROC_OWN_FD) return false;
    if ((flags & O_ACCMODE) != O_RDONLY) *result = -EACCES;
    else if (flags & O_DIRECTORY) *result = -ENOTDIR;
    else *result = procfs_open(t, file, flags & O_CLOEXEC);
    return true;
}

static long opened(uint64_t path, uint64_t flags, long fd) {
    if (fd >= 0 && (flags & O_ACCMODE) != O_RDONLY) memory_file_opened(path, (int)fd);
    return fd;
}

// May wait: the other end of a FIFO, a terminal's carrier, a lease.
long sys_openat(LinuxThread *t, const uint64_t args[6]) {
    long result;
    if (open_in_proc(t, (int)args[0], args[1], args[2], &result)) return result;
    char buffer[PATH_MAX];
    uint64_t path;
    result = path_translate(t, (int)args[0], args[1], !(args[2] & O_NOFOLLOW), buffer, &path);
    if (result) return result;
    return opened(path, args[2], safe_syscall(t, SYS_openat, args[0], path, args[2], args[3], 0, 0));
}

// With RESOLVE_* the guest asks for the path as it stands, so neither the sysroot nor our /proc is put in its place.
long sys_openat2(LinuxThread *t, const uint64_t args[6]) {
    struct open_how how;
    if (args[3] >= sizeof how && guest_read(&how, args[2], sizeof how) && how.resolve == 0) {
        long result;
        if (open_in_proc(t, (int)args[0], args[1], how.flags, &result)) return result;
        char buffer[PATH_MAX];
        uint64_t path;
        result = path_translate(t, (int)args[0], args[1], !(how.flags & O_NOFOLLOW), buffer, &path);
        if (result) return result;
        return opened(path, how.flags, safe_syscall(t, SYS_openat2, args[0], path, args[2], args[3], 0, 0));
    }
    return safe_syscall(t, SYS_openat2, args[0], args[1], args[2], args[3], 0, 0);
}

// ---- descriptors -------------------------------------------------------------------------------------------------------

long sys_close(LinuxThread *t, const uint64_t args[6]) {
    (void)t;
    if (own_fd_is(args[0])) return -EBADF;
    return host_syscall(SYS_close, (long)args[0], 0, 0, 0, 0, 0);
}

long sys_dup3(LinuxThread *t, const uint64_t args[6]) {
    (void)t;
    if (own_fd_is(args[1]) && !own_fd_yield((int)args[1])) return -EMFILE;
    return host_syscall(SYS_dup3, (long)args[0], (long)args[1], (long)args[2], 0, 0, 0);
}

// Our own are close-on-exec already; else the range is closed in pieces between them.
static long close_between_own(uint32_t first, uint32_t last, long flags) {
    int own = first > INT_MAX ? -1 : own_fd_next((int)first);
    if (first > last || own < 0 || (uint32_t)own > last || (flags & CLOSE_RANGE_CLOEXEC))
        return host_syscall(SYS_close_range, (long)first, (long)last, flags, 0, 0, 0);
    long result = 0;
    for (; own >= 0 && (uint32_t)own <= last && !result; own = own_fd_next(own + 1)) {
        if ((uint32_t)own > first) result = host_syscall(SYS_close_range, (long)first, own - 1, flags, 0, 0, 0);
        first = (uint32_t)own + 1;
    }
    if (first > last || result) return result;
    return host_syscall(SYS_close_range, (long)first, (long)last, flags, 0, 0, 0);
}

long sys_close_range(LinuxThread *t, const uint64_t args[6]) {
    long flags = (long)(uint32_t)args[2], result = close_between_own((uint32_t)args[0], (uint32_t)args[1], flags);
    if (result == 0 && flags & CLOSE_RANGE_UNSHARE) own_fds_copied(thread_shares(t));
    return result;
}

// ---- waiting for descriptors ---------------------------------------------------------------------------------------------

long sys_ppoll(LinuxThread *t, const uint64_t args[6]) {
    uint64_t mask;
    long r = signal_mask_enter(t, args[3], args[4], &mask);
    if (r) return r;
    r = safe_syscall(t, SYS_ppoll, args[0], args[1], args[2], args[3] ? &mask : NULL, LINUX_SIGSET_SIZE, 0);
    return signal_mask_leave(t, args[3], r);
}

// The sixth argument points to the mask's address and size.
typedef struct MaskArgument {
    uint64_t set, size;
} MaskArgument;

// `number` is the host's.
static long masked_call(LinuxThread *t, long number, const uint64_t args[6]) {
    MaskArgument argument = {0, LINUX_SIGSET_SIZE};
    if (args[5] && !guest_read(&argument, args[5], sizeof argument)) return -EFAULT;
    uint64_t mask;
    long r = signal_mask_enter(t, argument.set, argument.size, &mask);
    if (r) return r;
    MaskArgument host = {argument.set ? (uint64_t)&mask : 0, LINUX_SIGSET_SIZE};
    r = safe_syscall(t, number, args[0], args[1], args[2], args[3], args[4], &host);
    return signal_mask_leave(t, argument.set, r);
}

long sys_pselect6(LinuxThread *t, const uint64_t args[6]) { return masked_call(t, SYS_pselect6, args); }
long sys_io_pgetevents(LinuxThread *t, const uint64_t args[6]) { return masked_call(t, SYS_io_pgetevents, args); }

// From now on the kernel may write to memory while the guest runs: what it reads, and a ring of events that can be read without a call.
long sys_io_setup(LinuxThread *t, const uint64_t args[6]) {
    engine_memory_is_shared(t->process->engine);
    return host_syscall(SYS_io_setup, (long)args[0], (long)args[1], 0, 0, 0, 0);
}

// ---- epoll -------------------------------------------------------------------------------------------------------------

// struct epoll_event of all guests; the host's has no padding.
typedef struct GuestEpollEvent {
    uint32_t events, padding;
    uint64_t data;
} GuestEpollEvent;
_Static_assert(sizeof(struct epoll_event) == 12 && sizeof(GuestEpollEvent) == 16, "else no translation is needed");
enum { EPOLL_BATCH = 256 };

long sys_epoll_ctl(LinuxThread *t, const uint64_t args[6]) {
    (void)t;
    struct epoll_event event;
    if ((int)args[1] == EPOLL_CTL_DEL) return host_syscall(SYS_epoll_ctl, (long)args[0], (long)args[1], (long)args[2], 0, 0, 0);
    GuestEpollEvent from;
    if (!guest_read(&from, args[3], sizeof from)) return -EFAULT;
    event.events = from.events;
    event.data.u64 = from.data;
    return host_syscall(SYS_epoll_ctl, (long)args[0], (long)args[1], (long)args[2], (long)&event, 0, 0);
}

// Waits for at most EPOLL_BATCH events, whatever the guest has room for: what is left over comes with the next call.
static long epoll_wait_for(LinuxThread *t, long number, const uint64_t args[6], uint64_t set, uint64_t size) {
    struct epoll_event events[EPOLL_BATCH];
    int max = (int)args[2];
    if (max <= 0 || max > INT_MAX / (int)sizeof(GuestEpollEvent)) return -EINVAL;
    uint64_t mask;
    long r = signal_mask_enter(t, set, size, &mask);
    if (r) return r;
    r = safe_syscall(t, number, args[0], events, max < EPOLL_BATCH ? max : EPOLL_BATCH, args[3], set ? &mask : NULL,
                     LINUX_SIGSET_SIZE);
    for (long i = 0; i < r; i++) {
        GuestEpollEvent to = {.events = events[i].events, .data = events[i].data.u64};
        if (!guest_write(args[1] + (uint64_t)i * sizeof to, &to, sizeof to)) r = -EFAULT;
    }
    return signal_mask_leave(t, set, r);
}

long sys_epoll_pwait(LinuxThread *t, const uint64_t args[6]) { return epoll_wait_for(t, SYS_epoll_pwait, args, args[4], args[5]); }

long sys_epoll_pwait2(LinuxThread *t, const uint64_t args[6]) {
    return epoll_wait_for(t, SYS_epoll_pwait2, args, args[4], args[5]);
}

long sys_signalfd4(LinuxThread *t, const uint64_t args[6]) {
    (void)t;
    uint64_t set;
    if (args[2] != sizeof set) return -EINVAL;
    if (!guest_read(&set, args[1], sizeof set)) return -EFAULT;
    if (own_fd_is(args[0])) return -EBADF;
    set = signal_host_set(set);
    return host_syscall(SYS_signalfd4, (long)args[0], (long)&set, sizeof set, (long)args[3], 0, 0);
}
