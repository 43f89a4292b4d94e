// SPDX-License-Identifier: MIT
//
// The guest's vdso in memory.
#ifndef KILN_LINUX_VDSO_H
#define KILN_LINUX_VDSO_H

#include "linux/linux.h"

// Maps it and notes where it lies in the process. False: no memory.
bool vdso_map(LinuxProcess *process);

#endif
