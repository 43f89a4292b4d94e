// SPDX-License-Identifier: MIT
//
// The system-call table as data: what syscalls.def says, for the dispatch, for strace and for lists.
#ifndef KILN_LINUX_SYSCALL_H
#define KILN_LINUX_SYSCALL_H

#include <stdint.h>
#include <stdio.h>
#include "linux/linux.h"

// An argument is described by 16 bits: a kind; or a structure with directions; or a table with ARG_BITS or without.
enum {
    ARG_NONE,
#define KIND(name) ARG_##name,
#define STRUCT(name)
#define TABLE(name)
#include "linux/syscall_args.def"
#undef KIND
#undef STRUCT
#undef TABLE
    ARG_STRUCT = 0x100, // + STRUCT_*
    ARG_TABLE = 0x200,  // + TABLE_*
    ARG_CLASS = 0x300,
    ARG_BITS = 0x1000,
    ARG_IN = 0x4000,
    ARG_OUT = 0x8000,
};

enum {
#define KIND(name)
#define STRUCT(name) STRUCT_##name,
#define TABLE(name)
#include "linux/syscall_args.def"
#undef STRUCT
#undef TABLE
    STRUCT_COUNT,
#define STRUCT(name)
#define TABLE(name) TABLE_##name,
#include "linux/syscall_args.def"
#undef KIND
#undef STRUCT
#undef TABLE
};

typedef enum SyscallHow { SYSCALL_ABSENT, SYSCALL_PASS, SYSCALL_WAIT, SYSCALL_CALL } SyscallHow;

typedef struct SyscallRow {
    const char *name;       // NULL: no such call
    const char *reason;     // why it is absent
    SyscallHandler handler; // SYSCALL_CALL
    int16_t host;           // the host's number, SYSCALL_PASS and SYSCALL_WAIT
    uint8_t how;            // SyscallHow
    uint16_t args[6];       // ARG_*, ended by ARG_NONE
} SyscallRow;

// NULL if Linux has no such call.
const SyscallRow *syscall_row(uint64_t number);
// All calls as text, one a line with how it is done (passed, handled, absent and why).
void syscalls_list(FILE *out);

// strace.c: one line a call in `line`, written when the call is over. begin prints everything up to the first argument
// that the call fills in; a call that does not come back is written at once.
typedef struct StraceLine {
    LinuxThread *thread;
    const SyscallRow *row;
    uint64_t number;
    const uint64_t *args;
    unsigned done, length;
    char text[3500];
} StraceLine;
void strace_begin(StraceLine *line, LinuxThread *t, uint64_t number, const SyscallRow *row, const uint64_t args[6]);
void strace_end(StraceLine *line, long result);
// A signal that the guest gets, in the same log.
void strace_signal(LinuxThread *t, int signal, const siginfo_t *info);

// Name of an ioctl request, or NULL (ioctl.c).
const char *ioctl_name(uint64_t request);

#endif
