// SPDX-License-Identifier: MIT
//
// Life and death of guest processes. A guest process is a host process; fork is the host's, with all translations.
//
// vfork (CLONE_VM | CLONE_VFORK) is real: the child runs in the parent's memory, with a cpu, a LinuxThread, a LinuxProcess
// and a host stack of its own, while the parent sleeps in the host's clone. What the child allocated and did not free is
// freed by the parent when it wakes up: that is why exec memory hangs on the thread.
//
// CLONE_VM alone makes a process that shares memory while its parent goes on. It is a vfork whose parent is a host thread of no guest
// thread's: that one lends its thread-local variables, sleeps, and cleans up. The child may outlive everything else of its parent.
#include "linux/process.h"
#include <errno.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/error.h"
#include "linux/kill.h"
#include "linux/load_error.h"
#include "linux/memory.h"
#include "linux/optimizer.h"
#include "linux/own_fd.h"
#include "linux/signal.h"
#include "linux/stack.h"
#include "linux/symbols.h"
#include "linux/thread.h"
#include "linux/vdso.h"

#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND UINT64_C(0x100000000)
#endif

enum { VFORK_STACK = 1 << 20 };

void (*process_at_exit)(LinuxProcess *process);

// ---- start ------------------------------------------------------------------------------------------------------------

static void set_names(LinuxProcess *process, const ExecTarget *target) {
    if (!realpath(target->path, process->exe_path)) strcpy(process->exe_path, target->path);
    const char *slash = strrchr(target->name, '/');
    prctl(PR_SET_NAME, slash ? slash + 1 : target->name);
}

// argv of a script: interpreter, its argument, the script, then the caller's arguments.
static char **script_argv(const ExecTarget *target, char **argv) {
    size_t argc = 0;
    while (argv[argc]) argc++;
    char **all = calloc(argc + target->prefix_count + 1, sizeof *all);
    if (!all) fatal("out of memory (arguments)");
    memcpy(all, target->prefix, target->prefix_count * sizeof *all);
    if (argc) memcpy(all + target->prefix_count, argv + 1, (argc - 1) * sizeof *all);
    return all;
}

static LinuxThread *first_thread(LinuxProcess *process) {
    LinuxThread *t = calloc(1, sizeof *t);
    if (!t) fatal("out of memory (thread)");
    t->process = process;
    t->tid = process->pid = gettid();
    t->cpu = cpu_new(process->engine, NULL);
    t->cpu->thread = t;
    process->thread_count = 1;
    // The list that libc registered for Kiln's own thread is not the guest's.
    host_syscall(SYS_set_robust_list, NULL, 24, 0, 0, 0, 0);
    return t;
}

LinuxThread *process_start(LinuxProcess *process, const ProcessStart *start, LoadError *error) {
    static ExecTarget target;
    LoadedProgram program;
    pthread_mutex_init(&process->signal_lock, NULL);
    if (!exec_resolve(process, start->path, &target, error)) return NULL;
    char **argv = target.prefix_count ? script_argv(&target, start->argv) : start->argv;
    if (target.prefix_count && target.machine && target.machine != process->guest->elf_machine) {
        // A script of the host's: nothing for a translator to do.
        execve(start->path, start->argv, start->envp);
        load_error(error, errno, "cannot run '%s': %s", start->path, strerror(errno));
        return NULL;
    }
    memory_init(stack_plan(process));
    limits_apply(process);
    if (!elf_load(process, &target, &program, error)) return NULL;
    memory_set_brk(page_up(program.end));
    if (!vdso_map(process)) {
        load_error(error, ENOMEM, "cannot run '%s': no memory for the vdso", start->path);
        return NULL;
    }
    uint64_t sp = stack_build(process, &(StackInput){&program, argv, start->envp, start->path}, error);
    if (!sp) return NULL;
    set_names(process, &target);
    symbols_set_program(process->exe_path, program.bias);
    process->argv0 = argv[0];
    memory_set_engine(process->engine);
    memory_log(process->engine);
    LinuxThread *t = first_thread(process);
    process->guest->linux_abi.start(t->cpu, program.start, sp);
    signals_start(t);
    return t;
}

// ---- end --------------------------------------------------------------------------------------------------------------

// With several threads two may end the process at the same time.
static void only_once(LinuxProcess *process) {
    if (!__atomic_exchange_n(&process->ending, 1, __ATOMIC_RELAXED)) return;
    host_signal_mask(SIG_SETMASK, ~UINT64_C(0));
    for (;;) host_syscall(SYS_pause, 0, 0, 0, 0, 0, 0);
}

void process_exit(LinuxThread *t, int status) {
    only_once(t->process);
    kill_may(t, true);
    if (linux_debugger) linux_debugger->exited(t, status);
    if (process_at_exit && !t->process->shares_memory) process_at_exit(t->process);
    for (;;) host_syscall(SYS_exit_group, status, 0, 0, 0, 0, 0);
}

void process_die(LinuxThread *t, int signal, bool core) {
    LinuxProcess *process = t->process;
    only_once(process);
    kill_may(t, true);
    if (linux_debugger) linux_debugger->died(t, signal);
    if (process->core_report)
        warning("the guest dies of signal %d (%s)%s at pc 0x%llx", signal, strsignal(signal), core ? ", core" : "",
                (unsigned long long)t->cpu->pc);
    if (process_at_exit && !process->shares_memory) process_at_exit(process);
    host_signal_action(signal, &(HostSigaction){.handler = (void *)SIG_DFL});
    host_syscall(SYS_tgkill, getpid(), gettid(), signal, 0, 0, 0);
    host_signal_mask(SIG_UNBLOCK, signal_bit(signal));
    for (;;) host_syscall(SYS_exit_group, 128 + signal, 0, 0, 0, 0, 0); // init of a pid namespace does not die of signals
}

// ---- clone ------------------------------------------------------------------------------------------------------------

// In the child, whichever way it was made: registers and bookkeeping of its one thread.
static void child_setup(LinuxThread *t, const CloneRequest *request) {
    const GuestLinux *abi = &t->process->guest->linux_abi;
    linux_self = t;
    t->tid = t->process->pid = gettid();
    t->process->thread_count = 1;
    t->process->ending = 0;
    signals_forget(t);
    t->robust_list = 0;
    t->clear_child_tid = (request->flags & CLONE_CHILD_CLEARTID) ? request->child_tid : 0;
    if (request->flags & CLONE_CLEAR_SIGHAND) {
        for (int i = 0; i < LINUX_SIGNALS; i++)
            if (t->process->actions[i].handler > 1) t->process->actions[i] = (GuestSigaction){0};
        signals_install_synchronous();
    }
    abi->clone_child(t->cpu, request->stack, (request->flags & CLONE_SETTLS) != 0, request->tls);
}

// The child's memory is a copy, so it can go on in this very stack frame.
static long host_fork(const CloneRequest *request) {
    uint64_t flags = request->flags & ~(uint64_t)(CLONE_SETTLS | CLONE_VM);
    if (!request->clone3)
        return host_syscall(SYS_clone, flags | (uint64_t)request->exit_signal, 0,
                            (flags & CLONE_PIDFD) ? request->pidfd : request->parent_tid, request->child_tid, 0, 0);
    struct clone_args args;
    memset(&args, 0, sizeof args);
    size_t size = request->clone3_size < sizeof args ? request->clone3_size : sizeof args;
    memcpy(&args, request->clone3, size);
    args.flags = flags;
    args.stack = args.stack_size = args.tls = 0;
    return host_syscall(SYS_clone3, &args, size, 0, 0, 0, 0);
}

// Another thread may be in malloc, one of the guest's or one that is about to end, so the C library must do it. False: it cannot do what was asked for; then the bare
// system call does, and the child must hope that no other thread was in malloc just then.
static bool library_fork(const CloneRequest *request, long *result) {
    const uint64_t able = CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | CLONE_SETTLS | CLONE_CLEAR_SIGHAND;
    const struct clone_args *args = request->clone3;
    if ((request->flags & ~able) || request->exit_signal != SIGCHLD || (args && args->set_tid_size)) return false;
    pid_t pid = fork(), self = gettid();
    *result = pid < 0 ? -errno : pid;
    if (pid > 0 && (request->flags & CLONE_PARENT_SETTID)) guest_write(request->parent_tid, &pid, sizeof pid);
    if (pid) return true;
    // What the library told the kernel is about its own thread.
    host_syscall(SYS_set_robust_list, NULL, sizeof(struct robust_list_head), 0, 0, 0, 0);
    host_syscall(SYS_set_tid_address, (request->flags & CLONE_CHILD_CLEARTID) ? request->child_tid : 0, 0, 0, 0, 0, 0);
    if (request->flags & CLONE_CHILD_SETTID) guest_write(request->child_tid, &self, sizeof self);
    return true;
}

static long clone_fork(LinuxThread *t, const CloneRequest *request) {
    long r;
    threads_before_fork(t);
    if (!threads_were_made() || !library_fork(request, &r)) r = host_fork(request);
    if (r == 0) own_fds_after_fork();
    if (r >= 0 && (request->flags & CLONE_FILES)) own_fds_fix();
    if (r == 0 && (request->flags & CLONE_FILES)) engine_without_optimizer(t->process->engine);
    threads_after_fork(t, r == 0);
    if (r != 0) return r;
    t->process->shares_memory = false;
    t->killed_as = 0;
    optimizer_in_child(request->flags & CLONE_NEWPID);
    child_setup(t, request);
    return 0;
}

// Lies at the high end of the child's stack.
typedef struct VforkChild {
    LinuxProcess process;
    LinuxThread thread;
    const CloneRequest *request;
    struct Beside *beside; // the parent does not sleep, and waits for news from here; NULL: vfork
    void *stack;
} VforkChild;

// In the parent's stack frame; whoever sets `told` does not touch it any more.
typedef struct Beside {
    long pid; // or negative errno
    uint32_t told;
} Beside;

static void tell(Beside *beside, long pid) {
    uint32_t *told = &beside->told;
    beside->pid = pid;
    __atomic_store_n(told, 1, __ATOMIC_RELEASE);
    host_syscall(SYS_futex, told, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
}

// The stack of a child that has gone, for the next one: touching new pages costs as much as all else here.
static void *spare_stack;

// The process on it has ended in the midst of its functions, whose frames AddressSanitizer still knows.
extern void __asan_unpoison_memory_region(const volatile void *address, size_t size) __attribute__((weak));

static VforkChild *vfork_stack_new(void) {
    void *stack = __atomic_exchange_n(&spare_stack, NULL, __ATOMIC_ACQ_REL);
    if (!stack)
        stack = mmap(NULL, VFORK_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED) return NULL;
    VforkChild *child = (VforkChild *)((char *)stack + VFORK_STACK - page_up(sizeof *child));
    child->stack = stack;
    return child;
}

static void vfork_stack_free(VforkChild *child) {
    if (__asan_unpoison_memory_region) __asan_unpoison_memory_region(child->stack, VFORK_STACK);
    void *old = __atomic_exchange_n(&spare_stack, child->stack, __ATOMIC_ACQ_REL);
    if (old) munmap(old, VFORK_STACK);
}

static int vfork_main(void *argument) {
    VforkChild *child = argument;
    LinuxThread *t = &child->thread;
    current_cpu = t->cpu;
    child_setup(t, child->request);
    signals_share_memory(t->process);
    // In a namespace of its own it does not know by what id others kill it.
    if (!(child->request->flags & CLONE_NEWPID)) __atomic_store_n(&t->killed_as, t->tid, __ATOMIC_RELEASE);
    if (child->beside) tell(child->beside, t->tid);
    t->process->guest->linux_abi.syscall_result(t->cpu, 0);
    signals_deliver(t); // opens the host's signal mask
    engine_run(t->cpu);
    return EXIT_CANNOT_RUN; // not reached: a process ends in process_exit
}

static VforkChild *vfork_child_new(LinuxThread *t, const CloneRequest *request) {
    VforkChild *child = vfork_stack_new();
    if (!child) return NULL;
    Cpu *cpu = cpu_new(t->process->engine, t->cpu);
    if (!cpu) {
        vfork_stack_free(child);
        return NULL;
    }
    pthread_mutex_lock(&t->process->signal_lock);
    memcpy(&child->process, t->process, offsetof(LinuxProcess, thread_count));
    pthread_mutex_unlock(&t->process->signal_lock);
    pthread_mutex_init(&child->process.signal_lock, NULL);
    child->thread = *t;
    child->thread.process = &child->process;
    child->thread.cpu = cpu;
    child->thread.exec_memory = NULL;
    if (!(request->flags & CLONE_VFORK)) child->thread.altstack = (stack_t){.ss_flags = SS_DISABLE}; // its parent may be on it
    child->thread.killed_as = 0;
    child->thread.dying = child->thread.may_die = 0;
    cpu->may_vanish = true;
    child->process.shares_memory = true;
    child->request = request;
    child->beside = NULL;
    cpu->thread = &child->thread;
    return child;
}

static void vfork_child_free(VforkChild *child) {
    cpu_free(child->thread.cpu);
    if (child->thread.exec_memory) munmap(child->thread.exec_memory, child->thread.exec_memory_size);
    vfork_stack_free(child);
}

// clone3, as the C library's clone calls the older one: the child calls `run` on its new stack, and does not return.
long clone3_on_stack(const struct clone_args *args, size_t size, int (*run)(void *), void *argument);
__asm__(".text\n"
        ".type clone3_on_stack, @function\n"
        "clone3_on_stack:\n"
        "    mov %rdx, %r8\n"
        "    mov %rcx, %r9\n"
        "    mov $435, %eax\n"
        "    syscall\n"
        "    test %rax, %rax\n"
        "    jz 1f\n"
        "    ret\n"
        "1:  xor %ebp, %ebp\n"
        "    mov %r9, %rdi\n"
        "    call *%r8\n"
        "    hlt\n"
        ".size clone3_on_stack, . - clone3_on_stack\n");
_Static_assert(SYS_clone3 == 435, "the assembly above calls it by this number");

// What the older call cannot do. Some hosts refuse the newer one, so it is not used for all.
static bool needs_clone3(const CloneRequest *request, uint64_t flags) {
    const uint64_t both = CLONE_PIDFD | CLONE_PARENT_SETTID;
    return request->clone3 &&
           (flags > UINT32_MAX || (flags & CLONE_NEWTIME) || (flags & both) == both || request->clone3->set_tid_size);
}

static long run_vfork_by_clone3(VforkChild *child, const CloneRequest *request, uint64_t flags) {
    struct clone_args args = *request->clone3;
    args.flags = flags;
    args.stack = (uint64_t)child->stack;
    args.stack_size = (uint64_t)child - (uint64_t)child->stack;
    args.tls = 0;
    return clone3_on_stack(&args, request->clone3_size, vfork_main, child);
}

// Sleeps until the child runs another program or ends; its id, or negative errno. It has a table of signal actions of its own, so the
// host's must not be shared.
static long run_vfork(VforkChild *child, const CloneRequest *request) {
    uint64_t flags = (request->flags | CLONE_VFORK) & ~(uint64_t)(CLONE_SETTLS | CLONE_CLEAR_SIGHAND | CLONE_SIGHAND);
    if (needs_clone3(request, flags)) return run_vfork_by_clone3(child, request, flags);
    void *first = (void *)((flags & CLONE_PIDFD) ? request->pidfd : request->parent_tid);
    int pid =
        clone(vfork_main, child, (int)(flags | (uint64_t)request->exit_signal), child, first, NULL, (void *)request->child_tid);
    return pid < 0 ? -errno : pid;
}

// The child has this task's thread-local variables, but descriptors of its own unless it shares them.
static OwnFdState own_fds_before_child(const CloneRequest *request) { return own_fds_copied(!(request->flags & CLONE_FILES)); }

static long clone_vfork(LinuxThread *t, const CloneRequest *request) {
    VforkChild *child = vfork_child_new(t, request);
    if (!child) return -ENOMEM;
    Cpu *cpu = current_cpu;
    kill_may(t, true);
    OwnFdState descriptors = own_fds_before_child(request);
    long pid = run_vfork(child, request);
    // The child used our thread-local variables.
    own_fds_restore(descriptors);
    current_cpu = cpu;
    linux_self = t;
    kill_may(t, false);
    vfork_child_free(child);
    return pid;
}

static void *stand_in(void *argument) {
    VforkChild *child = argument;
    CloneRequest request = *child->request;
    Beside *beside = child->beside;
    own_fds_before_child(&request);
    long pid = run_vfork(child, &request);
    current_cpu = NULL;
    linux_self = NULL;
    if (pid < 0) tell(beside, pid);
    vfork_child_free(child);
    return NULL;
}

static long clone_beside(LinuxThread *t, const CloneRequest *request) {
    if (request->flags & CLONE_NEWPID) return -EINVAL; // the child does not know its id here
    if (t->process->shares_memory) return -EAGAIN;     // as for its threads
    engine_memory_is_shared(t->process->engine);
    VforkChild *child = vfork_child_new(t, request);
    if (!child) return -ENOMEM;
    Beside beside = {0};
    child->beside = &beside;
    if (!thread_detached(t, stand_in, child)) {
        vfork_child_free(child);
        return -EAGAIN;
    }
    while (!__atomic_load_n(&beside.told, __ATOMIC_ACQUIRE)) host_syscall(SYS_futex, &beside.told, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0);
    return beside.pid;
}

long process_clone(LinuxThread *t, CloneRequest *request) {
    uint64_t flags = request->flags;
    if ((flags & CLONE_SIGHAND) && !(flags & CLONE_VM)) return -EINVAL;
    if ((flags & CLONE_THREAD) && !(flags & CLONE_SIGHAND)) return -EINVAL;
    if (signals_block(t)) return -LINUX_ERESTARTNOINTR;
    if (flags & CLONE_THREAD) return thread_clone(t, request);
    optimizer_before_process(t->process->engine, !(flags & CLONE_VM));
    if (!(flags & CLONE_VM)) return clone_fork(t, request);
    return (flags & CLONE_VFORK) ? clone_vfork(t, request) : clone_beside(t, request);
}
