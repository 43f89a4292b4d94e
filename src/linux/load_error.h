// SPDX-License-Identifier: MIT
//
// Shared by the two halves of program loading (exec_resolve.c, elf_load.c).
#ifndef KILN_LINUX_LOAD_ERROR_H
#define KILN_LINUX_LOAD_ERROR_H

#include <sys/stat.h>
#include "linux/elf_load.h"

// Fills *error and returns false.
bool load_error(LoadError *error, int number, const char *format, ...) __attribute__((format(printf, 3, 4)));
// Opens a file that is to be executed; -1: *error says why not. `name` is what the user calls it.
int program_open(const char *path, const char *name, struct stat *st, LoadError *error);
// All of it unless the file ends; negative errno.
ssize_t read_at(int fd, void *to, size_t size, uint64_t offset);

#endif
