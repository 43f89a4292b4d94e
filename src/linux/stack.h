// SPDX-License-Identifier: MIT
//
// The initial stack of a program: strings, auxiliary vector, environment, arguments, as Linux lays them out.
#ifndef KILN_LINUX_STACK_H
#define KILN_LINUX_STACK_H

#include "linux/elf_load.h"

typedef struct StackInput {
    const LoadedProgram *program;
    char *const *argv, *const *envp; // ended by NULL
    const char *execfn;              // AT_EXECFN
} StackInput;

// How large the guest's stack will be, and below which address nothing of it lies (for placing everything else).
uint64_t stack_plan(LinuxProcess *process);
// Maps and fills it; returns the stack pointer, or 0 and *error. Sets the stack_, arg_, env_ and auxv_ fields of *process.
uint64_t stack_build(LinuxProcess *process, const StackInput *input, LoadError *error);

// From the kernel, or from the process's seed (-seed).
void random_bytes(LinuxProcess *process, void *to, size_t size);
// A random number of pages below 2^bits, 0 where address randomisation is off.
uint64_t random_pages(LinuxProcess *process, unsigned bits);

#endif
