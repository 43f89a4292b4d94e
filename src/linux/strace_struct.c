// SPDX-License-Identifier: MIT
//
// The structures that system calls point to, as text: one short printer a structure, found through a table by STRUCT_*.
// All are read from guest memory with guest_read, in the guests' layout, which is the host's but for struct stat.
#include "linux/strace.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include "linux/strace_names.h"
#include "linux/syscall.h"

enum { SHOWN_ELEMENTS = 8 };

// Reads the structure, or prints its address instead and leaves the printer.
#define READ(variable, from)                                                                                                       \
    if (!guest_read(&(variable), (from), sizeof(variable))) {                                                                      \
        strace_put(line, "0x%" PRIx64, (from));                                                                                    \
        return;                                                                                                                    \
    }

// The same for an element of an array: ends the loop over the elements.
#define READ_ELEMENT(variable, from)                                                                                               \
    if (!guest_read(&(variable), (from), sizeof(variable))) {                                                                      \
        strace_put(line, "%s0x%" PRIx64, i ? ", " : "", (uint64_t)(from));                                                         \
        break;                                                                                                                     \
    }

static void put_bits(StraceLine *line, unsigned table, uint64_t value) {
    char text[400];
    name_bits(text, sizeof text, table, value);
    strace_put(line, "%s", text);
}

static void put_timespec(StraceLine *line, const struct timespec *ts) {
    strace_put(line, "{tv_sec=%ld, tv_nsec=%ld}", ts->tv_sec, ts->tv_nsec);
}

static void put_timeval(StraceLine *line, const struct timeval *tv) {
    strace_put(line, "{tv_sec=%ld, tv_usec=%ld}", tv->tv_sec, tv->tv_usec);
}

static void print_timespec(StraceLine *line, const StraceStruct *s) {
    struct timespec ts;
    READ(ts, s->address);
    put_timespec(line, &ts);
}

static void print_timespec2(StraceLine *line, const StraceStruct *s) {
    struct timespec ts[2];
    READ(ts, s->address);
    strace_put(line, "[");
    put_timespec(line, &ts[0]);
    strace_put(line, ", ");
    put_timespec(line, &ts[1]);
    strace_put(line, "]");
}

static void print_timeval(StraceLine *line, const StraceStruct *s) {
    struct timeval tv;
    READ(tv, s->address);
    put_timeval(line, &tv);
}

static void print_itimerspec(StraceLine *line, const StraceStruct *s) {
    struct itimerspec it;
    READ(it, s->address);
    strace_put(line, "{it_interval=");
    put_timespec(line, &it.it_interval);
    strace_put(line, ", it_value=");
    put_timespec(line, &it.it_value);
    strace_put(line, "}");
}

static void print_itimerval(StraceLine *line, const StraceStruct *s) {
    struct itimerval it;
    READ(it, s->address);
    strace_put(line, "{it_interval=");
    put_timeval(line, &it.it_interval);
    strace_put(line, ", it_value=");
    put_timeval(line, &it.it_value);
    strace_put(line, "}");
}

static void print_int1(StraceLine *line, const StraceStruct *s) {
    int value;
    READ(value, s->address);
    strace_put(line, "[%d]", value);
}

static void print_int2(StraceLine *line, const StraceStruct *s) {
    int value[2];
    READ(value, s->address);
    strace_put(line, "[%d, %d]", value[0], value[1]);
}

static void print_offset(StraceLine *line, const StraceStruct *s) {
    int64_t value;
    READ(value, s->address);
    strace_put(line, "[%" PRId64 "]", value);
}

static void print_status(StraceLine *line, const StraceStruct *s) {
    int status;
    READ(status, s->address);
    if (WIFEXITED(status)) strace_put(line, "[exited %d]", WEXITSTATUS(status));
    else if (WIFSTOPPED(status)) strace_put(line, "[stopped by %s]", signal_name(WSTOPSIG(status)));
    else if (WIFCONTINUED(status)) strace_put(line, "[continued]");
    else strace_put(line, "[killed by %s%s]", signal_name(WTERMSIG(status)), WCOREDUMP(status) ? ", core" : "");
}

static void put_sigset(StraceLine *line, uint64_t set) {
    bool inverted = __builtin_popcountll(set) > 32;
    const char *separator = "";
    strace_put(line, inverted ? "~[" : "[");
    for (int signal = 1; signal <= 64; signal++) {
        if ((bool)(set >> (signal - 1) & 1) == inverted) continue;
        strace_put(line, "%s%s", separator, signal_name(signal) + 3 * (signal < 32));
        separator = " ";
    }
    strace_put(line, "]");
}

static void print_sigset(StraceLine *line, const StraceStruct *s) {
    uint64_t set;
    READ(set, s->address);
    put_sigset(line, set);
}

static void print_sigaction(StraceLine *line, const StraceStruct *s) {
    GuestSigaction action;
    READ(action, s->address);
    if (action.handler <= 1) strace_put(line, "{%s", action.handler ? "SIG_IGN" : "SIG_DFL");
    else strace_put(line, "{0x%" PRIx64, action.handler);
    strace_put(line, ", flags=0x%" PRIx64 ", mask=", action.flags);
    put_sigset(line, action.mask);
    strace_put(line, "}");
}

static void print_siginfo(StraceLine *line, const StraceStruct *s) {
    siginfo_t info;
    READ(info, s->address);
    strace_put(line, "{si_signo=%s, si_code=%d, si_pid=%d, si_uid=%d}", signal_name(info.si_signo), info.si_code, info.si_pid,
               info.si_uid);
}

static void print_sigevent(StraceLine *line, const StraceStruct *s) {
    struct sigevent event;
    READ(event, s->address);
    strace_put(line, "{sigev_value=%p, sigev_signo=%s, sigev_notify=%d}", event.sigev_value.sival_ptr,
               signal_name(event.sigev_signo), event.sigev_notify);
}

static void print_stack(StraceLine *line, const StraceStruct *s) {
    stack_t stack;
    READ(stack, s->address);
    strace_put(line, "{ss_sp=%p, ss_flags=%d, ss_size=%zu}", stack.ss_sp, stack.ss_flags, stack.ss_size);
}

static void print_stat(StraceLine *line, const StraceStruct *s) {
    struct {
        uint64_t dev, ino;
        uint32_t mode, nlink, uid, gid;
        uint64_t rdev, padding;
        int64_t size;
    } st;
    READ(st, s->address);
    strace_put(line, "{st_mode=0%o, st_size=%" PRId64 ", ...}", st.mode, st.size);
}

static void print_statfs(StraceLine *line, const StraceStruct *s) {
    struct statfs fs;
    READ(fs, s->address);
    strace_put(line, "{f_type=0x%lx, f_bsize=%ld, f_blocks=%lu, f_bfree=%lu, ...}", fs.f_type, fs.f_bsize, fs.f_blocks, fs.f_bfree);
}

static void put_limit(StraceLine *line, uint64_t limit) {
    if (limit == RLIM_INFINITY) strace_put(line, "RLIM_INFINITY");
    else strace_put(line, "%" PRIu64, limit);
}

static void print_rlimit(StraceLine *line, const StraceStruct *s) {
    struct rlimit limit;
    READ(limit, s->address);
    strace_put(line, "{rlim_cur=");
    put_limit(line, limit.rlim_cur);
    strace_put(line, ", rlim_max=");
    put_limit(line, limit.rlim_max);
    strace_put(line, "}");
}

static void print_rusage(StraceLine *line, const StraceStruct *s) {
    struct rusage usage;
    READ(usage, s->address);
    strace_put(line, "{ru_utime=");
    put_timeval(line, &usage.ru_utime);
    strace_put(line, ", ru_stime=");
    put_timeval(line, &usage.ru_stime);
    strace_put(line, ", ...}");
}

static void print_utsname(StraceLine *line, const StraceStruct *s) {
    struct utsname name;
    READ(name, s->address);
    strace_put(line, "{sysname=\"%.64s\", nodename=\"%.64s\", release=\"%.64s\", machine=\"%.64s\", ...}", name.sysname,
               name.nodename, name.release, name.machine);
}

static void print_sysinfo(StraceLine *line, const StraceStruct *s) {
    struct sysinfo info;
    READ(info, s->address);
    strace_put(line, "{uptime=%ld, totalram=%lu, freeram=%lu, procs=%u, mem_unit=%u, ...}", info.uptime, info.totalram,
               info.freeram, info.procs, info.mem_unit);
}

static void print_epoll_event(StraceLine *line, const StraceStruct *s) {
    struct {
        uint32_t events, padding;
        uint64_t data;
    } event;
    uint64_t count = s->out ? (uint64_t)s->result : 1;
    if (s->out) strace_put(line, "[");
    for (uint64_t i = 0; i < count && i < SHOWN_ELEMENTS; i++) {
        READ_ELEMENT(event, s->address + i * sizeof event);
        strace_put(line, i ? ", {events=" : "{events=");
        put_bits(line, TABLE_EPOLL, event.events);
        strace_put(line, ", data=0x%" PRIx64 "}", event.data);
    }
    if (s->out) strace_put(line, count > SHOWN_ELEMENTS ? ", ...]" : "]");
}

static void print_pollfd(StraceLine *line, const StraceStruct *s) {
    strace_put(line, "[");
    for (uint64_t i = 0; i < s->next && i < SHOWN_ELEMENTS; i++) {
        struct pollfd fd;
        READ_ELEMENT(fd, s->address + i * sizeof fd);
        strace_put(line, "%s{fd=%d, events=", i ? ", " : "", fd.fd);
        put_bits(line, TABLE_POLL, (uint16_t)fd.events);
        if (s->result > 0) {
            strace_put(line, ", revents=");
            put_bits(line, TABLE_POLL, (uint16_t)fd.revents);
        }
        strace_put(line, "}");
    }
    strace_put(line, s->next > SHOWN_ELEMENTS ? ", ...]" : "]");
}

static void print_fdset(StraceLine *line, const StraceStruct *s) {
    const char *separator = "";
    strace_put(line, "[");
    uint64_t word = 0;
    for (int i = 0; i < (int)s->first && i < FD_SETSIZE; i++) {
        if (i % 64 == 0) READ_ELEMENT(word, s->address + (uint64_t)i / 8);
        if (!(word >> i % 64 & 1)) continue;
        strace_put(line, "%s%d", separator, i);
        separator = " ";
    }
    strace_put(line, "]");
}

static void put_iovec(StraceLine *line, uint64_t address, uint64_t count, int64_t limit) {
    strace_put(line, "[");
    for (uint64_t i = 0; i < count && i < SHOWN_ELEMENTS; i++) {
        struct iovec io;
        READ_ELEMENT(io, address + i * sizeof io);
        uint64_t length = limit < (int64_t)io.iov_len ? (uint64_t)limit : io.iov_len;
        limit -= (int64_t)length;
        strace_put(line, i ? ", {iov_base=" : "{iov_base=");
        strace_bytes(line, (uint64_t)io.iov_base, length);
        strace_put(line, ", iov_len=%zu}", io.iov_len);
    }
    strace_put(line, count > SHOWN_ELEMENTS ? ", ...]" : "]");
}

static void print_iovec(StraceLine *line, const StraceStruct *s) {
    put_iovec(line, s->address, s->next, s->out ? s->result : INT64_MAX);
}

static void put_sockaddr(StraceLine *line, uint64_t address, uint64_t length) {
    union {
        struct sockaddr any;
        struct sockaddr_un local;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } a = {0};
    char text[INET6_ADDRSTRLEN];
    if (length > sizeof a) length = sizeof a;
    if (length < sizeof a.any.sa_family || !guest_read(&a, address, length)) {
        strace_put(line, "0x%" PRIx64, address);
        return;
    }
    char family[40];
    name_value(family, sizeof family, TABLE_FAMILY, a.any.sa_family);
    strace_put(line, "{sa_family=%s", family);
    if (a.any.sa_family == AF_UNIX) {
        const char *path = a.local.sun_path;
        int most = (int)(length - sizeof a.any.sa_family);
        if (most > 0 && !*path) strace_put(line, ", sun_path=@\"%.*s\"", most - 1, path + 1);
        else if (most > 0) strace_put(line, ", sun_path=\"%.*s\"", most, path);
    } else if (a.any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &a.in.sin_addr, text, sizeof text);
        strace_put(line, ", sin_port=%u, sin_addr=%s", ntohs(a.in.sin_port), text);
    } else if (a.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a.in6.sin6_addr, text, sizeof text);
        strace_put(line, ", sin6_port=%u, sin6_addr=%s", ntohs(a.in6.sin6_port), text);
    }
    strace_put(line, "}");
}

// The length is the next argument, or where it points to if the call fills the address in.
static void print_sockaddr(StraceLine *line, const StraceStruct *s) {
    uint32_t length = (uint32_t)s->next;
    if (s->out) READ(length, s->next);
    put_sockaddr(line, s->address, length);
}

static void print_msghdr(StraceLine *line, const StraceStruct *s) {
    struct msghdr m;
    READ(m, s->address);
    strace_put(line, "{msg_name=");
    if (m.msg_name) put_sockaddr(line, (uint64_t)m.msg_name, m.msg_namelen);
    else strace_put(line, "NULL");
    strace_put(line, ", msg_iov=");
    put_iovec(line, (uint64_t)m.msg_iov, m.msg_iovlen, s->out ? s->result : INT64_MAX);
    strace_put(line, ", msg_controllen=%zu, msg_flags=", m.msg_controllen);
    put_bits(line, TABLE_MSG, (uint32_t)m.msg_flags);
    strace_put(line, "}");
}

void strace_struct(StraceLine *line, unsigned kind, const StraceStruct *s) {
    static void (*const printers[STRUCT_COUNT])(StraceLine *, const StraceStruct *) = {
        [STRUCT_EPOLL_EVENT] = print_epoll_event,
        [STRUCT_FDSET] = print_fdset,
        [STRUCT_INT1] = print_int1,
        [STRUCT_INT2] = print_int2,
        [STRUCT_IOVEC] = print_iovec,
        [STRUCT_ITIMERSPEC] = print_itimerspec,
        [STRUCT_ITIMERVAL] = print_itimerval,
        [STRUCT_MSGHDR] = print_msghdr,
        [STRUCT_OFFSET] = print_offset,
        [STRUCT_POLLFD] = print_pollfd,
        [STRUCT_RLIMIT] = print_rlimit,
        [STRUCT_RUSAGE] = print_rusage,
        [STRUCT_SIGACTION] = print_sigaction,
        [STRUCT_SIGEVENT] = print_sigevent,
        [STRUCT_SIGINFO] = print_siginfo,
        [STRUCT_SIGSET] = print_sigset,
        [STRUCT_SOCKADDR] = print_sockaddr,
        [STRUCT_STACK] = print_stack,
        [STRUCT_STAT] = print_stat,
        [STRUCT_STATFS] = print_statfs,
        [STRUCT_STATUS] = print_status,
        [STRUCT_SYSINFO] = print_sysinfo,
        [STRUCT_TIMESPEC] = print_timespec,
        [STRUCT_TIMESPEC2] = print_timespec2,
        [STRUCT_TIMEVAL] = print_timeval,
        [STRUCT_UTSNAME] = print_utsname,
    };
    printers[kind](line, s);
}
