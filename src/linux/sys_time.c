// SPDX-License-Identifier: MIT
//
// Sleeping. Clocks and timers are passed to the host by their rows.
//
// A sleep that a handler interrupts answers EINTR and says what was left, restart flag or not. The host's call does that
// itself, unless the signal came before the call began: then all of the time is left.
#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include "linux/handlers.h"

static long sleep_result(long result, bool relative, uint64_t request, uint64_t rest) {
    if (result != -LINUX_ERESTARTSYS) return result;
    struct timespec whole;
    if (relative && rest && guest_read(&whole, request, sizeof whole)) (void)guest_write(rest, &whole, sizeof whole);
    return -LINUX_ERESTARTNOHAND;
}

long sys_nanosleep(LinuxThread *t, const uint64_t args[6]) {
    long r = safe_syscall(t, SYS_nanosleep, args[0], args[1], 0, 0, 0, 0);
    return sleep_result(r, true, args[0], args[1]);
}

long sys_clock_nanosleep(LinuxThread *t, const uint64_t args[6]) {
    long r = safe_syscall(t, SYS_clock_nanosleep, args[0], args[1], args[2], args[3], 0, 0);
    return sleep_result(r, !(args[1] & TIMER_ABSTIME), args[2], args[3]);
}
