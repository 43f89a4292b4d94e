// SPDX-License-Identifier: MIT
//
// Making processes: what main, sys_process.c and (later) threads need of process.c.
#ifndef KILN_LINUX_PROCESS_H
#define KILN_LINUX_PROCESS_H

#include "linux/elf_load.h"
#include "linux/linux.h"

// Loads the program and gives back its first thread, ready for engine_run. False: *error.
typedef struct ProcessStart {
    const char *path;
    char **argv;
    char *const *envp;
} ProcessStart;
LinuxThread *process_start(LinuxProcess *process, const ProcessStart *start, LoadError *error);

// What clone and clone3 have in common.
typedef struct CloneRequest {
    uint64_t flags; // CLONE_*, without the signal
    int exit_signal;
    uint64_t stack, tls; // 0: the parent's stack
    uint64_t parent_tid, child_tid, pidfd;
    void *clone3; // the guest's struct clone_args where it asked with clone3, else NULL
    uint64_t clone3_size;
} CloneRequest;

long process_clone(LinuxThread *t, CloneRequest *request);

#endif
