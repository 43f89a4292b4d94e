// SPDX-License-Identifier: MIT
#ifndef KILN_DEBUG_GDB_H
#define KILN_DEBUG_GDB_H

#include "linux/linux.h"

// Waits for a debugger at `place` (a port, ADDRESS:PORT, or the path of a unix socket) and lets it have the process from its first
// instruction on. Fatal if there can be none.
void gdb_start(LinuxProcess *process, const char *place);

#endif
