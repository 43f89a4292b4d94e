// SPDX-License-Identifier: MIT
//
// Names of numbers for strace. All write a terminated text, cut off if it does not fit.
#ifndef KILN_LINUX_STRACE_NAMES_H
#define KILN_LINUX_STRACE_NAMES_H

#include <stddef.h>
#include <stdint.h>

// `table` is a TABLE_* of syscall.h. Bits without a name, and values without one, are numbers.
void name_bits(char *text, size_t size, unsigned table, uint64_t value);
void name_value(char *text, size_t size, unsigned table, uint64_t value);
// SIGINT, SIGRT_2, ...; valid until the thread's next call.
const char *signal_name(int signal);

#endif
