// SPDX-License-Identifier: MIT
//
// Names of the numbers that system calls take, for strace: one table a word of syscall_args.def. Within a table of bits, a
// value that covers others stands before them. Numbers are the host's, which are the guests' too.
#include "linux/strace_names.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/memfd.h>
#include <linux/prctl.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>
#include "linux/syscall.h"

// The kernel's value; the C library's is 0 where it makes no difference.
#define KERNEL_O_LARGEFILE 0100000

typedef struct Name {
    uint32_t value;
    const char *name;
} Name;
#define N(constant)                                                                                                                \
    { (uint32_t)(constant), #constant }
#define END                                                                                                                        \
    { 0, NULL }

static const Name names_ACCESS[] = {
    N(R_OK),
    N(W_OK),
    N(X_OK),
    END,
};
static const Name names_AT[] = {
    N(AT_SYMLINK_NOFOLLOW), N(AT_SYMLINK_FOLLOW), N(AT_NO_AUTOMOUNT), N(AT_EMPTY_PATH), N(AT_RECURSIVE), END,
};
static const Name names_AT_REMOVE[] = {
    N(AT_REMOVEDIR),
    END,
};
static const Name names_CLOCK[] = {
    N(CLOCK_REALTIME),          N(CLOCK_MONOTONIC),     N(CLOCK_PROCESS_CPUTIME_ID),
    N(CLOCK_THREAD_CPUTIME_ID), N(CLOCK_MONOTONIC_RAW), N(CLOCK_REALTIME_COARSE),
    N(CLOCK_MONOTONIC_COARSE),  N(CLOCK_BOOTTIME),      N(CLOCK_REALTIME_ALARM),
    N(CLOCK_BOOTTIME_ALARM),    N(CLOCK_TAI),           END,
};
static const Name names_CLOEXEC[] = {
    N(O_CLOEXEC),
    N(O_NONBLOCK),
    END,
};
static const Name names_CLONE[] = {
    N(CLONE_NEWTIME),
    N(CLONE_VM),
    N(CLONE_FS),
    N(CLONE_FILES),
    N(CLONE_SIGHAND),
    N(CLONE_PIDFD),
    N(CLONE_PTRACE),
    N(CLONE_VFORK),
    N(CLONE_PARENT),
    N(CLONE_THREAD),
    N(CLONE_NEWNS),
    N(CLONE_SYSVSEM),
    N(CLONE_SETTLS),
    N(CLONE_PARENT_SETTID),
    N(CLONE_CHILD_CLEARTID),
    N(CLONE_DETACHED),
    N(CLONE_UNTRACED),
    N(CLONE_CHILD_SETTID),
    N(CLONE_NEWCGROUP),
    N(CLONE_NEWUTS),
    N(CLONE_NEWIPC),
    N(CLONE_NEWUSER),
    N(CLONE_NEWPID),
    N(CLONE_NEWNET),
    N(CLONE_IO),
    END,
};
static const Name names_EPOLL[] = {
    N(EPOLLIN),     N(EPOLLPRI), N(EPOLLOUT),   N(EPOLLERR),       N(EPOLLHUP),    N(EPOLLRDNORM),  N(EPOLLRDBAND), N(EPOLLWRNORM),
    N(EPOLLWRBAND), N(EPOLLMSG), N(EPOLLRDHUP), N(EPOLLEXCLUSIVE), N(EPOLLWAKEUP), N(EPOLLONESHOT), N(EPOLLET),     END,
};
static const Name names_EPOLL_CTL[] = {
    N(EPOLL_CTL_ADD),
    N(EPOLL_CTL_DEL),
    N(EPOLL_CTL_MOD),
    END,
};
static const Name names_EVENTFD[] = {
    N(EFD_SEMAPHORE),
    N(EFD_CLOEXEC),
    N(EFD_NONBLOCK),
    END,
};
static const Name names_FALLOCATE[] = {
    N(FALLOC_FL_KEEP_SIZE),
    N(FALLOC_FL_PUNCH_HOLE),
    N(FALLOC_FL_COLLAPSE_RANGE),
    N(FALLOC_FL_ZERO_RANGE),
    N(FALLOC_FL_INSERT_RANGE),
    N(FALLOC_FL_UNSHARE_RANGE),
    END,
};
static const Name names_FAMILY[] = {
    N(AF_UNSPEC), N(AF_UNIX),  N(AF_INET),      N(AF_INET6), N(AF_NETLINK), N(AF_PACKET),
    N(AF_ALG),    N(AF_VSOCK), N(AF_BLUETOOTH), N(AF_XDP),   END,
};
static const Name names_FCNTL[] = {
    N(F_DUPFD),      N(F_GETFD),      N(F_SETFD),      N(F_GETFL),     N(F_SETFL),    N(F_GETLK),     N(F_SETLK),
    N(F_SETLKW),     N(F_SETOWN),     N(F_GETOWN),     N(F_SETSIG),    N(F_GETSIG),   N(F_SETOWN_EX), N(F_GETOWN_EX),
    N(F_OFD_GETLK),  N(F_OFD_SETLK),  N(F_OFD_SETLKW), N(F_SETLEASE),  N(F_GETLEASE), N(F_NOTIFY),    N(F_DUPFD_CLOEXEC),
    N(F_SETPIPE_SZ), N(F_GETPIPE_SZ), N(F_ADD_SEALS),  N(F_GET_SEALS), END,
};
static const Name names_FLOCK[] = {
    N(LOCK_SH), N(LOCK_EX), N(LOCK_NB), N(LOCK_UN), END,
};
static const Name names_GETRANDOM[] = {
    N(GRND_NONBLOCK),
    N(GRND_RANDOM),
    N(GRND_INSECURE),
    END,
};
static const Name names_INOTIFY[] = {
    N(IN_ACCESS),      N(IN_MODIFY),      N(IN_ATTRIB),   N(IN_CLOSE_WRITE), N(IN_CLOSE_NOWRITE), N(IN_OPEN),    N(IN_MOVED_FROM),
    N(IN_MOVED_TO),    N(IN_CREATE),      N(IN_DELETE),   N(IN_DELETE_SELF), N(IN_MOVE_SELF),     N(IN_ONLYDIR), N(IN_DONT_FOLLOW),
    N(IN_EXCL_UNLINK), N(IN_MASK_CREATE), N(IN_MASK_ADD), N(IN_ISDIR),       N(IN_ONESHOT),       END,
};
static const Name names_IPC[] = {
    N(IPC_CREAT),
    N(IPC_EXCL),
    N(IPC_NOWAIT),
    END,
};
static const Name names_IPC_CTL[] = {
    N(IPC_RMID), N(IPC_SET), N(IPC_STAT), N(IPC_INFO), N(GETPID), N(GETVAL),
    N(GETALL),   N(GETNCNT), N(GETZCNT),  N(SETVAL),   N(SETALL), END,
};
static const Name names_ITIMER[] = {
    N(ITIMER_REAL),
    N(ITIMER_VIRTUAL),
    N(ITIMER_PROF),
    END,
};
static const Name names_MADVISE[] = {
    N(MADV_NORMAL),         N(MADV_RANDOM),
    N(MADV_SEQUENTIAL),     N(MADV_WILLNEED),
    N(MADV_DONTNEED),       N(MADV_FREE),
    N(MADV_REMOVE),         N(MADV_DONTFORK),
    N(MADV_DOFORK),         N(MADV_MERGEABLE),
    N(MADV_UNMERGEABLE),    N(MADV_HUGEPAGE),
    N(MADV_NOHUGEPAGE),     N(MADV_DONTDUMP),
    N(MADV_DODUMP),         N(MADV_WIPEONFORK),
    N(MADV_KEEPONFORK),     N(MADV_COLD),
    N(MADV_PAGEOUT),        N(MADV_POPULATE_READ),
    N(MADV_POPULATE_WRITE), END,
};
static const Name names_MEMFD[] = {
    N(MFD_CLOEXEC),
    N(MFD_ALLOW_SEALING),
    N(MFD_HUGETLB),
    END,
};
static const Name names_MLOCKALL[] = {
    N(MCL_CURRENT),
    N(MCL_FUTURE),
    N(MCL_ONFAULT),
    END,
};
static const Name names_MMAP[] = {
    N(MAP_SHARED_VALIDATE),
    N(MAP_SHARED),
    N(MAP_PRIVATE),
    N(MAP_FIXED),
    N(MAP_ANONYMOUS),
    N(MAP_GROWSDOWN),
    N(MAP_DENYWRITE),
    N(MAP_EXECUTABLE),
    N(MAP_LOCKED),
    N(MAP_NORESERVE),
    N(MAP_POPULATE),
    N(MAP_NONBLOCK),
    N(MAP_STACK),
    N(MAP_HUGETLB),
    N(MAP_SYNC),
    N(MAP_FIXED_NOREPLACE),
    END,
};
static const Name names_MOUNT[] = {
    N(MS_RDONLY),      N(MS_NOSUID),
    N(MS_NODEV),       N(MS_NOEXEC),
    N(MS_SYNCHRONOUS), N(MS_REMOUNT),
    N(MS_MANDLOCK),    N(MS_DIRSYNC),
    N(MS_NOATIME),     N(MS_NODIRATIME),
    N(MS_BIND),        N(MS_MOVE),
    N(MS_REC),         N(MS_SILENT),
    N(MS_UNBINDABLE),  N(MS_PRIVATE),
    N(MS_SLAVE),       N(MS_SHARED),
    N(MS_RELATIME),    N(MS_STRICTATIME),
    N(MS_LAZYTIME),    END,
};
static const Name names_MREMAP[] = {
    N(MREMAP_MAYMOVE),
    N(MREMAP_FIXED),
    N(MREMAP_DONTUNMAP),
    END,
};
static const Name names_MSG[] = {
    N(MSG_OOB),          N(MSG_PEEK), N(MSG_DONTROUTE),  N(MSG_CTRUNC),   N(MSG_TRUNC),
    N(MSG_DONTWAIT),     N(MSG_EOR),  N(MSG_WAITALL),    N(MSG_CONFIRM),  N(MSG_ERRQUEUE),
    N(MSG_NOSIGNAL),     N(MSG_MORE), N(MSG_WAITFORONE), N(MSG_ZEROCOPY), N(MSG_FASTOPEN),
    N(MSG_CMSG_CLOEXEC), END,
};
static const Name names_MSYNC[] = {
    N(MS_ASYNC),
    N(MS_INVALIDATE),
    N(MS_SYNC),
    END,
};
static const Name names_OPEN[] = {
    N(O_WRONLY),
    N(O_RDWR),
    N(O_CREAT),
    N(O_EXCL),
    N(O_NOCTTY),
    N(O_TRUNC),
    N(O_APPEND),
    N(O_NONBLOCK),
    N(O_SYNC),
    N(O_DSYNC),
    N(O_ASYNC),
    N(O_DIRECT),
    {KERNEL_O_LARGEFILE, "O_LARGEFILE"},
    N(O_TMPFILE),
    N(O_DIRECTORY),
    N(O_NOFOLLOW),
    N(O_NOATIME),
    N(O_CLOEXEC),
    N(O_PATH),
    END,
};
static const Name names_POLL[] = {
    N(POLLIN),     N(POLLPRI),    N(POLLOUT),    N(POLLERR),    N(POLLHUP),   N(POLLNVAL),
    N(POLLRDNORM), N(POLLRDBAND), N(POLLWRNORM), N(POLLWRBAND), N(POLLRDHUP), END,
};
static const Name names_PRCTL[] = {
    N(PR_SET_PDEATHSIG),
    N(PR_GET_PDEATHSIG),
    N(PR_GET_DUMPABLE),
    N(PR_SET_DUMPABLE),
    N(PR_GET_KEEPCAPS),
    N(PR_SET_KEEPCAPS),
    N(PR_SET_NAME),
    N(PR_GET_NAME),
    N(PR_GET_SECCOMP),
    N(PR_SET_SECCOMP),
    N(PR_CAPBSET_READ),
    N(PR_CAPBSET_DROP),
    N(PR_GET_SECUREBITS),
    N(PR_SET_SECUREBITS),
    N(PR_SET_TIMERSLACK),
    N(PR_GET_TIMERSLACK),
    N(PR_SET_MM),
    N(PR_SET_CHILD_SUBREAPER),
    N(PR_GET_CHILD_SUBREAPER),
    N(PR_SET_NO_NEW_PRIVS),
    N(PR_GET_NO_NEW_PRIVS),
    N(PR_GET_TID_ADDRESS),
    N(PR_SET_THP_DISABLE),
    N(PR_GET_THP_DISABLE),
    N(PR_CAP_AMBIENT),
    N(PR_SET_SPECULATION_CTRL),
    N(PR_GET_SPECULATION_CTRL),
    N(PR_SET_VMA),
    N(PR_SET_PTRACER),
    END,
};
static const Name names_PROT[] = {
    N(PROT_READ), N(PROT_WRITE), N(PROT_EXEC), N(PROT_GROWSDOWN), N(PROT_GROWSUP), END,
};
static const Name names_RENAME[] = {
    N(RENAME_NOREPLACE),
    N(RENAME_EXCHANGE),
    N(RENAME_WHITEOUT),
    END,
};
static const Name names_RLIMIT[] = {
    N(RLIMIT_CPU),
    N(RLIMIT_FSIZE),
    N(RLIMIT_DATA),
    N(RLIMIT_STACK),
    N(RLIMIT_CORE),
    N(RLIMIT_RSS),
    N(RLIMIT_NPROC),
    N(RLIMIT_NOFILE),
    N(RLIMIT_MEMLOCK),
    N(RLIMIT_AS),
    N(RLIMIT_LOCKS),
    N(RLIMIT_SIGPENDING),
    N(RLIMIT_MSGQUEUE),
    N(RLIMIT_NICE),
    N(RLIMIT_RTPRIO),
    N(RLIMIT_RTTIME),
    END,
};
static const Name names_RUSAGE[] = {
    N(RUSAGE_SELF),
    N(RUSAGE_CHILDREN),
    N(RUSAGE_THREAD),
    END,
};
static const Name names_SCHED[] = {
    N(SCHED_OTHER), N(SCHED_FIFO), N(SCHED_RR), N(SCHED_BATCH), N(SCHED_IDLE), N(SCHED_DEADLINE), END,
};
static const Name names_SEEK[] = {
    N(SEEK_SET), N(SEEK_CUR), N(SEEK_END), N(SEEK_DATA), N(SEEK_HOLE), END,
};
static const Name names_SHUT[] = {
    N(SHUT_RD),
    N(SHUT_WR),
    N(SHUT_RDWR),
    END,
};
static const Name names_SIGPROCMASK[] = {
    N(SIG_BLOCK),
    N(SIG_UNBLOCK),
    N(SIG_SETMASK),
    END,
};
static const Name names_SO[] = {
    N(SO_DEBUG),
    N(SO_REUSEADDR),
    N(SO_TYPE),
    N(SO_ERROR),
    N(SO_DONTROUTE),
    N(SO_BROADCAST),
    N(SO_SNDBUF),
    N(SO_RCVBUF),
    N(SO_KEEPALIVE),
    N(SO_OOBINLINE),
    N(SO_NO_CHECK),
    N(SO_PRIORITY),
    N(SO_LINGER),
    N(SO_BSDCOMPAT),
    N(SO_REUSEPORT),
    N(SO_PASSCRED),
    N(SO_PEERCRED),
    N(SO_RCVLOWAT),
    N(SO_SNDLOWAT),
    N(SO_RCVTIMEO),
    N(SO_SNDTIMEO),
    N(SO_BINDTODEVICE),
    N(SO_ATTACH_FILTER),
    N(SO_DETACH_FILTER),
    N(SO_PEERNAME),
    N(SO_TIMESTAMP),
    N(SO_ACCEPTCONN),
    N(SO_PEERSEC),
    N(SO_SNDBUFFORCE),
    N(SO_RCVBUFFORCE),
    N(SO_PASSSEC),
    N(SO_TIMESTAMPNS),
    N(SO_MARK),
    N(SO_TIMESTAMPING),
    N(SO_PROTOCOL),
    N(SO_DOMAIN),
    N(SO_RXQ_OVFL),
    N(SO_PEEK_OFF),
    N(SO_BUSY_POLL),
    N(SO_INCOMING_CPU),
    N(SO_COOKIE),
    N(SO_ZEROCOPY),
    END,
};
static const Name names_SOL[] = {
    N(SOL_SOCKET), N(IPPROTO_IP), N(IPPROTO_TCP), N(IPPROTO_UDP), N(IPPROTO_IPV6), N(SOL_RAW), N(SOL_PACKET), N(SOL_NETLINK), END,
};
static const Name names_SPLICE[] = {
    N(SPLICE_F_MOVE), N(SPLICE_F_NONBLOCK), N(SPLICE_F_MORE), N(SPLICE_F_GIFT), END,
};
static const Name names_TIMER[] = {
    N(TIMER_ABSTIME),
    N(TFD_TIMER_CANCEL_ON_SET),
    END,
};
static const Name names_UMOUNT[] = {
    N(MNT_FORCE), N(MNT_DETACH), N(MNT_EXPIRE), N(UMOUNT_NOFOLLOW), END,
};
static const Name names_WAIT[] = {
    N(WNOHANG), N(WUNTRACED), N(WEXITED), N(WCONTINUED), N(WNOWAIT), N(__WALL), N(__WCLONE), N(__WNOTHREAD), END,
};
static const Name names_XATTR[] = {
    N(XATTR_CREATE),
    N(XATTR_REPLACE),
    END,
};
static const Name names_SOCKET[] = {N(SOCK_CLOEXEC), N(SOCK_NONBLOCK), END};
static const Name names_SOCKET_TYPE[] = {
    N(SOCK_STREAM), N(SOCK_DGRAM), N(SOCK_RAW), N(SOCK_RDM), N(SOCK_SEQPACKET), N(SOCK_DCCP), N(SOCK_PACKET), END,
};
static const Name names_FUTEX[] = {
    N(FUTEX_WAIT),
    N(FUTEX_WAKE),
    N(FUTEX_REQUEUE),
    N(FUTEX_CMP_REQUEUE),
    N(FUTEX_WAKE_OP),
    N(FUTEX_LOCK_PI),
    N(FUTEX_UNLOCK_PI),
    N(FUTEX_TRYLOCK_PI),
    N(FUTEX_WAIT_BITSET),
    N(FUTEX_WAKE_BITSET),
    N(FUTEX_WAIT_REQUEUE_PI),
    N(FUTEX_CMP_REQUEUE_PI),
    N(FUTEX_LOCK_PI2),
    END,
};
static const Name names_IOCTL[] = {END}; // ioctl.def has them

static const Name *const tables[] = {
#define KIND(name)
#define STRUCT(name)
#define TABLE(name) [TABLE_##name] = names_##name,
#include "linux/syscall_args.def"
#undef KIND
#undef STRUCT
#undef TABLE
};

static const char *find(const Name *names, uint32_t value) {
    for (; names->name; names++)
        if (names->value == value) return names->name;
    return NULL;
}

// Appends to text like snprintf; returns the new length, never past the end.
static size_t append(char *text, size_t size, size_t length, const char *format, ...) __attribute__((format(printf, 4, 5)));
static size_t append(char *text, size_t size, size_t length, const char *format, ...) {
    va_list list;
    va_start(list, format);
    int more = vsnprintf(text + length, size - length, format, list);
    va_end(list);
    length += more > 0 ? (size_t)more : 0;
    return length < size ? length : size - 1;
}

static size_t bits(char *text, size_t size, size_t length, const Name *names, uint32_t value) {
    const char *separator = "";
    for (; names->name && value; names++) {
        if (!names->value || (value & names->value) != names->value) continue;
        length = append(text, size, length, "%s%s", separator, names->name);
        value &= ~names->value;
        separator = "|";
    }
    if (value || !*separator) length = append(text, size, length, value ? "%s0x%x" : "%s%u", separator, value);
    return length;
}

// The words whose low bits are a value of another table, or a signal.
static size_t special(char *text, size_t size, unsigned table, uint32_t *value) {
    size_t length = 0;
    switch (table) {
    case TABLE_OPEN:
        if ((*value & O_ACCMODE) == O_RDONLY) length = append(text, size, 0, "O_RDONLY");
        break;
    case TABLE_SOCKET: {
        const char *type = find(names_SOCKET_TYPE, *value & 0xf);
        length = append(text, size, 0, type ? "%s" : "SOCK_???", type);
        *value &= ~0xfu;
        break;
    }
    case TABLE_CLONE:
        if (*value & 0xff) length = append(text, size, 0, "%s", signal_name((int)(*value & 0xff)));
        *value &= ~0xffu;
        break;
    case TABLE_IPC:
        length = append(text, size, 0, "0%o", *value & 0777);
        *value &= ~0777u;
        break;
    case TABLE_ACCESS:
        if (!*value) length = append(text, size, 0, "F_OK");
        break;
    }
    return length;
}

void name_bits(char *text, size_t size, unsigned table, uint64_t value) {
    uint32_t rest = (uint32_t)value;
    text[0] = 0;
    size_t length = special(text, size, table, &rest);
    if (length && rest) length = append(text, size, length, "|");
    if (!length || rest) bits(text, size, length, tables[table], rest);
}

void name_value(char *text, size_t size, unsigned table, uint64_t value) {
    uint32_t plain = (uint32_t)value;
    const char *name = table == TABLE_IOCTL ? ioctl_name(value) : NULL;
    if (table == TABLE_FUTEX) plain &= FUTEX_CMD_MASK;
    if (!name) name = find(tables[table], plain);
    if (!name) snprintf(text, size, plain < 4096 ? "%d" : "0x%x", plain);
    else if (table != TABLE_FUTEX) snprintf(text, size, "%s", name);
    else
        snprintf(text, size, "%s%s%s", name, value & FUTEX_PRIVATE_FLAG ? "_PRIVATE" : "",
                 value & FUTEX_CLOCK_REALTIME ? "|FUTEX_CLOCK_REALTIME" : "");
}

const char *signal_name(int signal) {
    static __thread char text[24];
    const char *name = signal > 0 && signal < 32 ? sigabbrev_np(signal) : NULL;
    if (name) snprintf(text, sizeof text, "SIG%s", name);
    else if (signal >= 32 && signal <= 64) snprintf(text, sizeof text, "SIGRT_%d", signal - 32);
    else snprintf(text, sizeof text, "%d", signal);
    return text;
}
