// SPDX-License-Identifier: MIT
//
// /proc/self/mem: writing to it changes code that no store can reach, and that nobody flushes. What is written there is forgotten by the
// engine. Nothing of this costs anything until a program has opened the file for writing, by a name that ends in "mem".
#ifndef KILN_LINUX_MEMORY_FILE_H
#define KILN_LINUX_MEMORY_FILE_H

#include <stdbool.h>
#include <stdint.h>

extern bool memory_file_in_use;
// `fd` was opened for writing under the name at this address.
void memory_file_opened(uint64_t path, int fd);
// The host's call `number` has answered `result`.
void memory_file_written(long number, const uint64_t args[6], long result);

#endif
