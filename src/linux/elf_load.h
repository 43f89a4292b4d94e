// SPDX-License-Identifier: MIT
//
// From a path to a program in memory, in two steps, because execve needs the first one alone:
//   exec_resolve  follows "#!" lines and finds out what would run, and what is wrong with it;
//   elf_load      maps it, and its dynamic linker.
#ifndef KILN_LINUX_ELF_LOAD_H
#define KILN_LINUX_ELF_LOAD_H

#include "linux/elf_parse.h"
#include "linux/linux.h"

enum { EXEC_MAX_SCRIPTS = 5, EXEC_MAX_PREFIX = 2 * EXEC_MAX_SCRIPTS, EXEC_HEAD = 256 };

// Why a program cannot run: as errno (what execve answers), as exit code (what `kiln` ends with), as one line.
typedef struct LoadError {
    int error, exit_code;
    char text[PATH_MAX + 512];
} LoadError;

typedef struct ExecTarget {
    uint16_t machine;    // of the ELF file, 0 if it is none. Not the guest's: the host's kernel runs it, or says why not
    char path[PATH_MAX]; // the file to load, as a host path
    char name[PATH_MAX]; // the same as the guest names it
    // For scripts: what comes before the caller's argv[1...]; its last entry is the script. 0: no script, argv as it is.
    unsigned prefix_count;
    char *prefix[EXEC_MAX_PREFIX + 1];
    char text[EXEC_MAX_SCRIPTS][EXEC_HEAD]; // holds the strings of the #! lines
    char script[PATH_MAX];                  // the caller's path
} ExecTarget;

// Finds out what `path` is. False: *error says why it cannot run.
bool exec_resolve(const LinuxProcess *process, const char *path, ExecTarget *target, LoadError *error);

typedef struct LoadedProgram {
    uint64_t start;            // where execution begins: the dynamic linker's entry or the program's
    uint64_t entry;            // AT_ENTRY
    uint64_t phdr, phdr_count; // AT_PHDR, AT_PHNUM
    uint64_t base;             // AT_BASE: the dynamic linker's load bias, or 0
    uint64_t bias;             // the program's load bias
    uint64_t end;              // where the break starts
    bool exec_stack;
} LoadedProgram;

// Maps the program and its dynamic linker into the (empty) map of guest memory.
bool elf_load(LinuxProcess *process, const ExecTarget *target, LoadedProgram *out, LoadError *error);

// The dynamic linker of the program at `path` exists and fits; for execve, which must know before it is too late.
bool elf_check(const LinuxProcess *process, const ExecTarget *target, LoadError *error);

#endif
