// SPDX-License-Identifier: MIT
//
// SIGKILL for a process that shares this memory (vfork, CLONE_VM: linux/process.c). The kernel would end it in the midst of Kiln's own
// code, and its locks and half-done work would stay behind in the memory of those who live on. So it is asked, and kills itself where it
// holds nothing: in signals_deliver.
//
// Asking. `dying` says since when. SIGTRAP, which is never blocked on the host, brings the process out of generated code and out of calls
// that wait; SIGCONT wakes it if it is stopped. Who has not answered when it is asked again after a while is left to the kernel.
//
// May die. A process that will not come by signals_deliver (it executes a program, or ends) and holds nothing says so, and is left to
// the kernel too. Both sides write first and then look, with a full fence between: who asks, `dying` and then `may_die`; the process,
// `may_die` and then `dying`. So at least one of the two sees the other, in both directions.
#include "linux/kill.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "linux/signal.h"

enum { PATIENCE_S = 2, GROUP_PATIENCE_MS = 100 };

static void kill_self(void) {
    for (;;) host_syscall(SYS_kill, getpid(), SIGKILL, 0, 0, 0, 0);
}

void kill_obey(LinuxThread *t) {
    if (__atomic_load_n(&t->dying, __ATOMIC_SEQ_CST)) kill_self();
}

void kill_may(LinuxThread *t, bool may) {
    __atomic_store_n(&t->may_die, may, __ATOMIC_SEQ_CST);
    kill_obey(t);
}

// Never 0.
static uint32_t seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)now.tv_sec + 1;
}

// ---- asking ---------------------------------------------------------------------------------------------------------------

typedef struct Search {
    pid_t target;   // as of kill(2): a process, or a group of them
    unsigned found; // that have been asked
    long result;    // of the last one
} Search;

static bool is_hit(pid_t target, pid_t pid) {
    if (!pid || target > 0 || target == -1) return pid && (target == pid || target == -1);
    return getpgid(pid) == (target ? -target : getpgrp());
}

// False: it is left to the kernel.
static bool ask(LinuxThread *t, long *result) {
    uint32_t asked = 0, now = seconds();
    *result = host_syscall(SYS_kill, t->killed_as, 0, 0, 0, 0, 0);
    if (*result < 0) return true;
    if (!__atomic_compare_exchange_n(&t->dying, &asked, now, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) &&
        now - asked >= PATIENCE_S)
        return false;
    if (__atomic_load_n(&t->may_die, __ATOMIC_SEQ_CST)) return false;
    host_syscall(SYS_tgkill, t->killed_as, t->killed_as, SIGTRAP, 0, 0, 0);
    host_syscall(SYS_kill, t->killed_as, SIGCONT, 0, 0, 0, 0);
    return true;
}

// With the engine's lock, so that the process is not forgotten meanwhile.
static void ask_if_hit(void *context, Cpu *cpu) {
    Search *search = context;
    LinuxThread *t = cpu->thread;
    if (cpu == current_cpu || !is_hit(search->target, t->killed_as)) return;
    search->found += ask(t, &search->result);
}

static void ask_all(LinuxThread *t, Search *search) {
    search->found = 0;
    engine_each_cpu(t->process->engine, ask_if_hit, search);
}

bool kill_asked(LinuxThread *t, pid_t target, int signal, long *result) {
    Search search = {.target = target};
    if (signal != SIGKILL) return false;
    ask_all(t, &search);
    *result = search.result;
    if (target > 0) return search.found > 0;
    // The rest of the group is the kernel's, once those that were asked have gone.
    for (int i = 0; i < GROUP_PATIENCE_MS && search.found; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        ask_all(t, &search);
    }
    return false;
}

bool kill_asked_by_descriptor(LinuxThread *t, int fd, int signal, long *result) {
    char name[40], text[512];
    if (signal != SIGKILL) return false;
    snprintf(name, sizeof name, "/proc/self/fdinfo/%d", fd);
    int info = open(name, O_RDONLY | O_CLOEXEC);
    if (info < 0) return false;
    ssize_t size = read(info, text, sizeof text - 1);
    close(info);
    text[size > 0 ? size : 0] = '\0';
    const char *line = strstr(text, "\nPid:");
    int pid = 0;
    return line && sscanf(line, "\nPid: %d", &pid) == 1 && pid > 0 && kill_asked(t, pid, signal, result);
}
