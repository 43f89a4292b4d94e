// SPDX-License-Identifier: MIT
//
// From a guest's system-call number to a result: find the row, check what the row's arguments let us check, then hand the
// call to the host or to its handler.
//
// A bad guest pointer needs no check here: guest addresses are host addresses, so the host kernel answers EFAULT itself,
// and handlers that look at guest memory use guest_read and guest_write.
//
// A call that may wait and was interrupted before it had an effect comes back as -LINUX_ERESTARTSYS, one before which a signal came
// as -LINUX_ERESTARTNOINTR; the caller (hooks.c) delivers the signal and then restarts it or makes it EINTR.
#include "linux/syscall.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include "debug/log.h"
#include "linux/guarded_call.h"
#include "linux/handlers.h"
#include "linux/memory_file.h"
#include "linux/own_fd.h"
#include "linux/path.h"

// Newer than the C library's headers; these numbers are the same on all architectures.
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

// The words of syscalls.def, for this file alone.
enum {
#define KIND(name) name = ARG_##name,
#define STRUCT(name)
#define TABLE(name)
#include "linux/syscall_args.def"
#undef KIND
#undef STRUCT
#undef TABLE
};
#define A(...)                                                                                                                     \
    { __VA_ARGS__ }
#define IN(name)    (ARG_STRUCT | ARG_IN | STRUCT_##name)
#define OUT(name)   (ARG_STRUCT | ARG_OUT | STRUCT_##name)
#define INOUT(name) (ARG_STRUCT | ARG_IN | ARG_OUT | STRUCT_##name)
#define FLAGS(name) (ARG_TABLE | ARG_BITS | TABLE_##name)
#define ENUM(name)  (ARG_TABLE | TABLE_##name)

static const SyscallRow rows[] = {
#define PASS(number, call, arguments)           [number] = {#call, .how = SYSCALL_PASS, .host = SYS_##call, .args = arguments},
#define WAIT(number, call, arguments)           [number] = {#call, .how = SYSCALL_WAIT, .host = SYS_##call, .args = arguments},
#define CALL(number, call, function, arguments) [number] = {#call, .how = SYSCALL_CALL, .handler = function, .args = arguments},
#define NONE(number, call, why)                 [number] = {#call, why, .how = SYSCALL_ABSENT, .args = {HEX, HEX, HEX, HEX, HEX, HEX}},
#include "linux/syscalls.def"
#undef PASS
#undef WAIT
#undef CALL
#undef NONE
};
enum { ROW_COUNT = sizeof(rows) / sizeof(rows[0]) };

const SyscallRow *syscall_row(uint64_t number) {
    if (number >= ROW_COUNT || !rows[number].name) return NULL;
    return &rows[number];
}

// Names one of Kiln's own descriptors where the guest's should stand.
static bool uses_own_fd(const SyscallRow *row, const uint64_t args[6]) {
    for (int i = 0; i < 6 && row->args[i]; i++)
        if ((row->args[i] == ARG_FD || row->args[i] == ARG_ATFD) && own_fd_is(args[i])) return true;
    return false;
}

static long to_host(LinuxThread *t, const SyscallRow *row, const uint64_t a[6]) {
    if (row->how == SYSCALL_WAIT) return safe_syscall(t, row->host, a[0], a[1], a[2], a[3], a[4], a[5]);
    return host_syscall(row->host, (long)a[0], (long)a[1], (long)a[2], (long)a[3], (long)a[4], (long)a[5]);
}

// Apart from to_host for its large frame.
static __attribute__((noinline)) long to_host_with_path(LinuxThread *t, const SyscallRow *row, const uint64_t args[6], int index) {
    char buffer[PATH_MAX];
    uint64_t translated[6] = {args[0], args[1], args[2], args[3], args[4], args[5]};
    int directory = index > 0 && row->args[index - 1] == ARG_ATFD ? (int)args[index - 1] : AT_FDCWD;
    long error = path_translate(t, directory, args[index], row->args[index] == ARG_PATH, buffer, &translated[index]);
    return error ? error : to_host(t, row, translated);
}

static int path_index(const SyscallRow *row) {
    for (int i = 0; i < 6 && row->args[i]; i++)
        if (row->args[i] == ARG_PATH || row->args[i] == ARG_LINK) return i;
    return -1;
}

static __attribute__((noinline)) long absent(LinuxThread *t, const SyscallRow *row) {
    const LinuxProcess *process = t->process;
    log_item(process->engine, ENGINE_LOG_UNIMP, "system call %llu (%s) is not there%s%s\n",
             (unsigned long long)process->guest->linux_abi.syscall_number(t->cpu), row ? row->name : "unknown",
             row && row->reason ? ": " : "", row && row->reason ? row->reason : "");
    return -ENOSYS;
}

static long run(LinuxThread *t, const SyscallRow *row, const uint64_t args[6]) {
    if (!row || row->how == SYSCALL_ABSENT) return absent(t, row);
    if (uses_own_fd(row, args)) return -EBADF;
    if (row->how == SYSCALL_CALL) return row->handler(t, args);
    int path = path_index(row);
    long result = path < 0 ? to_host(t, row, args) : to_host_with_path(t, row, args, path);
    if (memory_file_in_use) memory_file_written(row->host, args, result);
    return result;
}

static __attribute__((noinline)) long run_traced(LinuxThread *t, uint64_t number, const SyscallRow *row, const uint64_t args[6]) {
    StraceLine line;
    strace_begin(&line, t, number, row, args);
    long result = engine_options(t->process->engine)->guard_code ? guarded_call(t, row, args, run) : run(t, row, args);
    strace_end(&line, result);
    return result;
}

long syscall_dispatch(LinuxThread *t, uint64_t number, const uint64_t args[6]) {
    const SyscallRow *row = syscall_row(number);
    if (t->process->strace) return run_traced(t, number, row, args);
    return engine_options(t->process->engine)->guard_code ? guarded_call(t, row, args, run) : run(t, row, args);
}

void syscalls_list(FILE *out) {
    static const char *const how[] = {
        [SYSCALL_ABSENT] = "absent", [SYSCALL_PASS] = "host", [SYSCALL_WAIT] = "host", [SYSCALL_CALL] = "kiln"};
    for (unsigned i = 0; i < ROW_COUNT; i++) {
        const SyscallRow *row = syscall_row(i);
        if (!row) continue;
        fprintf(out, "%3u %-24s %s%s%s\n", i, row->name, how[row->how], row->reason ? ": " : "", row->reason ? row->reason : "");
    }
}
