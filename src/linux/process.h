// SPDX-License-Identifier: MIT
//
// Making processes: what main and the files of system calls need of process.c.
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
struct clone_args;
typedef struct CloneRequest {
    uint64_t flags; // CLONE_*, without the signal
    int exit_signal;
    uint64_t stack, tls; // 0: the parent's stack
    uint64_t parent_tid, child_tid, pidfd;
    const struct clone_args *clone3; // what the guest gave to clone3; NULL: it called clone
    uint64_t clone3_size;
} CloneRequest;

long process_clone(LinuxThread *t, CloneRequest *request);

// For execve where nothing leads to Kiln any more (sys_exec.c): keeps its file open. `fd`: the file that another Kiln handed on, or -1.
void exec_keep_self(LinuxProcess *process, int fd);

// Limits on memory that the guest has set (sys_process.c). They count for guest memory alone and go on to the next program: to
// another Kiln as text, to a program of the host as the host's own.
enum { LIMITS_TEXT = 4 * 17 };
void limits_apply(LinuxProcess *process);
bool limits_text(LinuxProcess *process, char text[LIMITS_TEXT]); // false: there are none
void limits_read(LinuxProcess *process, const char *text);
// Makes the host's soft limits, address space and data, `soft`, and gives back in it what they were. Only those that the guest has set.
void limits_exchange(const LinuxProcess *process, uint64_t soft[2]);

#endif
