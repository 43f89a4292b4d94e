// SPDX-License-Identifier: MIT
//
// What the guest is told about the machine.
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include "linux/handlers.h"

long sys_uname(LinuxThread *t, const uint64_t args[6]) {
    struct utsname name;
    long r = host_syscall(SYS_uname, (long)&name, 0, 0, 0, 0, 0);
    if (r) return r;
    snprintf(name.machine, sizeof name.machine, "%s", t->process->guest->linux_abi.machine);
    if (t->process->release) snprintf(name.release, sizeof name.release, "%s", t->process->release);
    return guest_write(args[0], &name, sizeof name) ? 0 : -EFAULT;
}
