// SPDX-License-Identifier: MIT
//
// What strace.c (the line and its arguments) and strace_struct.c (structures) share.
#ifndef KILN_LINUX_STRACE_H
#define KILN_LINUX_STRACE_H

#include "linux/syscall.h"

// A structure that an argument points to, with what its printing needs to know of the call.
typedef struct StraceStruct {
    uint64_t address;
    uint64_t first; // the call's first argument
    uint64_t next;  // the argument behind the pointer
    int64_t result;
    bool out; // filled in by the call
} StraceStruct;

// Appends to the line; what does not fit is dropped.
void strace_put(StraceLine *line, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Bytes of guest memory as a string literal.
void strace_bytes(StraceLine *line, uint64_t address, uint64_t size);
// `kind` is a STRUCT_*.
void strace_struct(StraceLine *line, unsigned kind, const StraceStruct *s);

#endif
