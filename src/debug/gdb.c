// SPDX-License-Identifier: MIT
//
// The gdb stub: who stops when, and who goes on.
//
// All threads stop together. The thread that meets a breakpoint, has done its step, gets a signal, or finds that gdb has sent ^C,
// becomes the one that talks: it sends the report and answers gdb's packets, outside generated code, until gdb lets the process
// go on. The others are asked to poll and wait in `watch`; a thread in a system call waits when it comes back from it.
//
// While the process runs, a host thread of the stub listens for ^C. It touches nothing but `interrupted`.
//
// A child of fork goes on without a debugger, and so does a child of vfork; a program that the guest executes, too.
#include "debug/gdb.h"
#include "debug/gdb_internal.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/error.h"
#include "linux/own_fd.h"
#include "linux/signal.h"

static struct {
    GdbWire wire;
    LinuxProcess *process;
    pid_t pid;
    pthread_mutex_t lock; // guards what follows
    pthread_cond_t changed;
    bool connected;
    bool started;     // the stop before the first instruction is over
    bool talking;     // a thread answers gdb; the others wait
    bool interrupted; // ^C: the next thread that comes by stops
    pid_t step, only; // see GdbResume
    int sent;         // gdb's own signal is on its way: not to be reported
    bool step_done;   // the thread `step` has executed its instruction
} gdb = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

// ---- threads -----------------------------------------------------------------------------------------------------------

static bool is_ours(const LinuxThread *t) { return t && t->process == gdb.process; }

typedef struct Search {
    unsigned index;
    pid_t tid;
    LinuxThread *found;
} Search;

static void look(void *context, Cpu *cpu) {
    Search *search = context;
    LinuxThread *t = cpu->thread;
    if (!is_ours(t) || !t->tid || search->found) return;
    if (search->tid ? t->tid == search->tid : search->index-- == 0) search->found = t;
}

LinuxThread *gdb_thread(unsigned index) {
    Search search = {.index = index};
    engine_each_cpu(gdb.process->engine, look, &search);
    return search.found;
}

LinuxThread *gdb_thread_by_id(pid_t tid) {
    Search search = {.tid = tid};
    engine_each_cpu(gdb.process->engine, look, &search);
    return search.found;
}

static void ask_out(void *context, Cpu *cpu) {
    (void)context;
    if (cpu != current_cpu && is_ours(cpu->thread)) engine_poll_request(cpu);
}

// ---- leaving -----------------------------------------------------------------------------------------------------------

// With the lock held.
static void detach(void) {
    gdb.connected = false;
    gdb.step = gdb.only = 0;
    gdb.interrupted = false;
    gdb_remove_breakpoints(gdb.process->engine);
    engine_watch(gdb.process->engine, NULL);
    linux_debugger = NULL;
    own_fd_close(&gdb.wire.fd);
}

// A child of fork has our memory, but it is not the process that gdb asked for. True: this thread is none of gdb's business.
static bool is_elsewhere(const LinuxThread *t) {
    if (!is_ours(t)) return true; // a child of vfork, in the parent's memory
    if (getpid() == gdb.pid) return false;
    pthread_mutex_init(&gdb.lock, NULL); // another thread may have held it
    pthread_cond_init(&gdb.changed, NULL);
    detach();
    return true;
}

// ---- stopping ----------------------------------------------------------------------------------------------------------

// With the lock held: waits until nobody else talks and this thread may run. False: there is no debugger any more.
static bool wait_for_turn(const LinuxThread *t) {
    while (gdb.connected && (gdb.talking || (gdb.only && gdb.only != t->tid))) pthread_cond_wait(&gdb.changed, &gdb.lock);
    return gdb.connected;
}

// With the lock held, which is free while gdb thinks. Returns the signal that the thread gets.
static int stop(LinuxThread *t, int signal, bool at_breakpoint, bool report) {
    gdb.talking = true;
    gdb.interrupted = false;
    pthread_mutex_unlock(&gdb.lock);
    engine_each_cpu(gdb.process->engine, ask_out, NULL);
    engine_all_out(gdb.process->engine);
    GdbResume resume = gdb_converse(&gdb.wire, t, signal, at_breakpoint, report);
    if (resume.how == GDB_KILL) {
        host_syscall(SYS_kill, getpid(), SIGKILL, 0, 0, 0, 0);
        for (;;) host_syscall(SYS_exit_group, 0, 0, 0, 0, 0, 0);
    }
    pthread_mutex_lock(&gdb.lock);
    gdb.talking = false;
    gdb.step = resume.step;
    gdb.only = resume.only;
    gdb.step_done = false;
    if (resume.how == GDB_DETACH) detach();
    pthread_cond_broadcast(&gdb.changed);
    return resume.signal;
}

// What gdb wants a thread to get that did not stop for a signal: as if somebody had sent it.
static void send_signal(const LinuxThread *t, int signal) {
    if (!signal) return;
    gdb.sent = signal;
    host_syscall(SYS_tgkill, gdb.pid, t->tid, signal, 0, 0, 0);
}

static EngineWatch watch(Cpu *cpu) {
    LinuxThread *t = cpu->thread;
    if (is_elsewhere(t)) return WATCH_GO_ON;
    pthread_mutex_lock(&gdb.lock);
    EngineWatch answer = WATCH_GO_ON;
    if (wait_for_turn(t)) {
        bool first = !gdb.started, stepped = gdb.step == t->tid && gdb.step_done;
        bool at_breakpoint = gdb.step != t->tid && engine_breakpoint_at(cpu->engine, cpu->pc);
        gdb.started = true;
        if (first || gdb.interrupted || stepped || at_breakpoint) {
            send_signal(t, stop(t, gdb.interrupted ? SIGINT : SIGTRAP, at_breakpoint, !first));
            answer = WATCH_AGAIN;
        } else if (gdb.step == t->tid) {
            gdb.step_done = true;
            answer = WATCH_ONE_INSN;
        }
    }
    pthread_mutex_unlock(&gdb.lock);
    return answer;
}

// ---- what the Linux layer tells ----------------------------------------------------------------------------------------

static int on_signal(LinuxThread *t, int signal, const siginfo_t *info) {
    (void)info;
    if (is_elsewhere(t)) return signal;
    pthread_mutex_lock(&gdb.lock);
    if (gdb.sent == signal) gdb.sent = 0;
    else if (wait_for_turn(t)) signal = stop(t, signal, false, true);
    pthread_mutex_unlock(&gdb.lock);
    return signal;
}

INTERRUPTS_SANITIZER static bool is_kick(const siginfo_t *info) {
    return info->si_code == SI_QUEUE && info->si_value.sival_ptr == &gdb;
}

static void report_end(const LinuxThread *t, char kind, int number) {
    char text[8];
    if (is_elsewhere(t)) return;
    pthread_mutex_lock(&gdb.lock);
    gdb.only = 0;
    if (wait_for_turn(t)) gdb_wire_send(&gdb.wire, text, (size_t)snprintf(text, sizeof text, "%c%02x", kind, number & 0xff));
    gdb.connected = false; // nobody reports after the end
    pthread_mutex_unlock(&gdb.lock);
}

static void on_exit_status(LinuxThread *t, int status) { report_end(t, 'W', status); }
static void on_death(LinuxThread *t, int signal) { report_end(t, 'X', gdb_signal_from_host(signal)); }

static const LinuxDebugger debugger = {.signal = on_signal, .is_kick = is_kick, .exited = on_exit_status, .died = on_death};

// ---- ^C ----------------------------------------------------------------------------------------------------------------

static void kick(void *context, Cpu *cpu) {
    const LinuxThread *t = cpu->thread;
    if (is_ours(t)) host_syscall(SYS_rt_tgsigqueueinfo, gdb.pid, t->tid, SIGTRAP, context, 0, 0);
}

// With the lock held: makes the threads come by, out of system calls too.
static void interrupt(void) {
    gdb.interrupted = true;
    siginfo_t info = {.si_signo = SIGTRAP, .si_code = SI_QUEUE};
    info.si_value.sival_ptr = &gdb;
    engine_each_cpu(gdb.process->engine, kick, &info);
}

static void *listen_for_interrupts(void *unused) {
    (void)unused;
    pthread_mutex_lock(&gdb.lock);
    while (gdb.connected) {
        if (gdb.talking || !gdb.started || gdb.interrupted) {
            pthread_cond_wait(&gdb.changed, &gdb.lock);
            continue;
        }
        pthread_mutex_unlock(&gdb.lock);
        struct pollfd wait = {.fd = gdb.wire.fd, .events = POLLIN};
        poll(&wait, 1, 200); // the descriptor's number may change
        pthread_mutex_lock(&gdb.lock);
        if (!gdb.connected || gdb.talking || gdb.interrupted || !gdb.started) continue;
        int came = gdb_wire_interrupted(&gdb.wire);
        if (came > 0) interrupt();
        if (came < 0) detach();
    }
    pthread_mutex_unlock(&gdb.lock);
    return NULL;
}

static void start_listener(void) {
    pthread_t thread;
    uint64_t mask = host_signal_mask(SIG_BLOCK, ~UINT64_C(0));
    int error = pthread_create(&thread, NULL, listen_for_interrupts, NULL);
    host_signal_mask(SIG_SETMASK, mask);
    if (error) warning("-g: no thread can be had: ^C will not stop the program");
    else pthread_detach(thread);
}

void gdb_start(LinuxProcess *process, const char *place) {
    gdb.process = process;
    gdb.pid = getpid();
    if (!gdb_wire_accept(&gdb.wire, place)) exit(EXIT_FAILURE);
    own_fd_keep(&gdb.wire.fd);
    gdb.connected = true;
    engine_watch(process->engine, watch);
    linux_debugger = &debugger;
    for (int signal = 1; signal <= LINUX_SIGNALS; signal++) signal_follow_action(process, signal);
    start_listener();
}
