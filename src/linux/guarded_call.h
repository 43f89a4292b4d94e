// SPDX-License-Identifier: MIT
#ifndef KILN_LINUX_GUARDED_CALL_H
#define KILN_LINUX_GUARDED_CALL_H

#include "linux/syscall.h"

typedef long SyscallRun(LinuxThread *t, const SyscallRow *row, const uint64_t args[6]);
// run(t, row, args), where EngineOptions.guard_code is set.
long guarded_call(LinuxThread *t, const SyscallRow *row, const uint64_t args[6], SyscallRun *run);

#endif
