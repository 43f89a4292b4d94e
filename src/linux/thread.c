// SPDX-License-Identifier: MIT
//
// A guest thread is a host thread that the C library made, on a small stack of the C library's: so thread-local variables and
// malloc work in it. The guest's stack and thread pointer are guest registers.
//
// Beginning. The parent knows the new thread's id when pthread_create returns, stores it where the guest wants it and then lets the
// thread go; the thread does the rest (its own id, its part of what is shared) and runs.
//
// End. The main thread's host thread ends by the system call, and the kernel does what the guest asked for with set_robust_list
// and set_tid_address. Other host threads go through the C library, which needs the kernel's one clear_child_tid for itself: so
// for these the guest's is done here, and before it, as in the kernel, the list of robust futexes. A waiting pthread_join can
// thus return some microseconds before the host thread is gone.
//
// From before pthread_create until the thread is set up, and from thread_exit on, all signals are blocked on the host: a thread that
// has no LinuxThread takes none.
//
// Lock order: signal_lock, the engine's lock, the map's lock, malloc's. None is held while guest code runs or in a call that waits.
#include "linux/thread.h"
#include <errno.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <malloc.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "linux/memory.h"
#include "linux/own_fd.h"
#include "linux/signal.h"

enum { HOST_STACK = 256 << 10, SIGNAL_SETXID = 33 };
#define ALL_SIGNALS (~UINT64_C(0))
// What threads of one process share unless the guest says otherwise; here they always do at first.
#define SHARED_FLAGS ((uint64_t)(CLONE_FS | CLONE_FILES | CLONE_SYSVSEM))
// What cannot be done to a thread, or not in a way that errors are told to the parent.
#define UNABLE_FLAGS                                                                                                               \
    ((uint64_t)(CLONE_PIDFD | CLONE_VFORK | CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |          \
                CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWTIME) |                                                                     \
     ~(uint64_t)UINT32_MAX)

typedef enum Go { GO_NOT_YET, GO_WAITED_FOR, GO } Go;

// `thread` comes first: who frees the LinuxThread frees all.
typedef struct NewThread {
    LinuxThread thread;
    uint64_t set_child_tid; // address for CLONE_CHILD_SETTID, or 0
    uint64_t not_shared;    // of SHARED_FLAGS
    uint32_t go;            // Go
} NewThread;

static void futex_wake(uint32_t *word, int how) { host_syscall(SYS_futex, word, how, 1, 0, 0, 0); }

// ---- beginning --------------------------------------------------------------------------------------------------------

static void wait_for_go(NewThread *new) {
    uint32_t expected = GO_NOT_YET;
    if (!__atomic_compare_exchange_n(&new->go, &expected, GO_WAITED_FOR, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) return;
    while (__atomic_load_n(&new->go, __ATOMIC_ACQUIRE) != GO)
        host_syscall(SYS_futex, &new->go, FUTEX_WAIT_PRIVATE, GO_WAITED_FOR, 0, 0, 0);
}

static void let_go(NewThread *new) {
    uint32_t *go = &new->go; // once it has gone the thread may be gone, and a wake-up that finds nobody harms nobody
    if (__atomic_exchange_n(go, GO, __ATOMIC_ACQ_REL) == GO_WAITED_FOR) futex_wake(go, FUTEX_WAKE_PRIVATE);
}

static void end(LinuxThread *t);

static void *thread_main(void *argument) {
    NewThread *new = argument;
    LinuxThread *t = &new->thread;
    wait_for_go(new);
    current_cpu = t->cpu;
    linux_self = t;
    t->tid = gettid();
    // The list that the C library registered for this host thread is not the guest's.
    host_syscall(SYS_set_robust_list, NULL, sizeof(struct robust_list_head), 0, 0, 0, 0);
    if (new->set_child_tid) guest_write(new->set_child_tid, &t->tid, sizeof t->tid);
    if (new->not_shared) host_syscall(SYS_unshare, new->not_shared, 0, 0, 0, 0, 0);
    own_fds_copied(new->not_shared &CLONE_FILES);
    signals_deliver(t); // opens the host's signal mask
    engine_run(t->cpu);
    end(t);
    return NULL;
}

static NewThread *new_thread(LinuxThread *t, const CloneRequest *request) {
    NewThread *new = calloc(1, sizeof *new);
    Cpu *cpu = new ? cpu_new(t->process->engine, t->cpu) : NULL;
    if (!cpu) {
        free(new);
        return NULL;
    }
    uint64_t flags = request->flags;
    new->thread.process = t->process;
    new->thread.cpu = cpu;
    new->thread.blocked = t->blocked;
    new->thread.host_blocked = true;
    new->thread.altstack.ss_flags = SS_DISABLE;
    new->thread.clear_child_tid = (flags & CLONE_CHILD_CLEARTID) ? request->child_tid : 0;
    new->set_child_tid = (flags & CLONE_CHILD_SETTID) ? request->child_tid : 0;
    new->not_shared = SHARED_FLAGS & ~flags;
    t->process->guest->linux_abi.clone_child(cpu, request->stack, (flags & CLONE_SETTLS) != 0, request->tls);
    cpu->thread = new;
    return new;
}

// The clock of a thread's processor time is named after its id, by an encoding that is part of the kernel's interface. The thread
// must not have been detached.
static pid_t thread_id(pthread_t handle) {
    clockid_t clock;
    return pthread_getcpuclockid(handle, &clock) == 0 ? ~(clock >> 3) : -1;
}

static pthread_attr_t host_attributes;
static pthread_once_t host_attributes_once = PTHREAD_ONCE_INIT;
static bool made_some;

bool threads_were_made(void) { return __atomic_load_n(&made_some, __ATOMIC_ACQUIRE); }

// One arena suffices, as Kiln allocates seldom, and each more would take 64 MiB of addresses.
static void prepare(void) {
    __atomic_store_n(&made_some, true, __ATOMIC_RELEASE);
    pthread_attr_init(&host_attributes);
    pthread_attr_setstacksize(&host_attributes, HOST_STACK);
    mallopt(M_ARENA_MAX, 1);
}

// With its first thread the C library takes a signal for its own use, which is the guest's library's for the same one.
static void follow_library_signals(LinuxProcess *process) {
    pthread_mutex_lock(&process->signal_lock);
    signal_follow_action(process, SIGNAL_SETXID);
    pthread_mutex_unlock(&process->signal_lock);
}

// A host thread that takes no signals until it opens its mask. `first`: the process may not have had one before.
static bool host_thread(LinuxThread *t, pthread_t *handle, void *(*run)(void *), void *argument, bool first) {
    pthread_once(&host_attributes_once, prepare);
    uint64_t mask = host_signal_mask(SIG_SETMASK, ALL_SIGNALS);
    if (first) signal_read_action(t->process, SIGNAL_SETXID); // while it is still what was inherited
    int error = pthread_create(handle, &host_attributes, run, argument);
    if (first) follow_library_signals(t->process);
    host_signal_mask(SIG_SETMASK, mask);
    return error == 0;
}

bool thread_detached(LinuxThread *t, void *(*run)(void *), void *argument) {
    pthread_t handle;
    return host_thread(t, &handle, run, argument, true) && pthread_detach(handle) == 0;
}

static long start(LinuxThread *t, NewThread *new, const CloneRequest *request, bool first) {
    pthread_t handle;
    if (!host_thread(t, &handle, thread_main, new, first)) return -EAGAIN;
    pid_t tid = thread_id(handle);
    // The guest's memory for it may be the word that the thread's end clears, so it must be written before that can be.
    if (request->flags & CLONE_PARENT_SETTID) guest_write(request->parent_tid, &tid, sizeof tid);
    pthread_detach(handle);
    let_go(new);
    return tid;
}

long thread_clone(LinuxThread *t, const CloneRequest *request) {
    LinuxProcess *process = t->process;
    if ((request->flags & UNABLE_FLAGS) || (request->clone3 && request->clone3->set_tid_size)) return -EINVAL;
    if (process->shares_memory) return -EAGAIN; // they would outlive what the parent frees when it wakes up
    engine_memory_is_shared(process->engine);
    NewThread *new = new_thread(t, request);
    if (!new) return -EAGAIN;
    bool first = __atomic_fetch_add(&process->thread_count, 1, __ATOMIC_RELAXED) == 1;
    long tid = start(t, new, request, first);
    if (tid < 0) {
        __atomic_sub_fetch(&process->thread_count, 1, __ATOMIC_RELAXED);
        cpu_free(new->thread.cpu);
        free(new);
    }
    return tid;
}

// ---- end --------------------------------------------------------------------------------------------------------------

// What the kernel does with one futex of a dead thread: marks it and wakes one waiter.
static bool release_robust_futex(const LinuxThread *t, uint64_t address, bool inherits, bool pending) {
    uint32_t value;
    if ((address & 3) || !guest_read(&value, address, sizeof value)) return false;
    if (pending && !inherits && value == 0) {
        host_syscall(SYS_futex, address, FUTEX_WAKE, 1, 0, 0, 0);
        return true;
    }
    for (uint32_t seen = value;; value = seen) {
        if ((value & FUTEX_TID_MASK) != (uint32_t)t->tid) return true;
        if (!guest_compare_exchange(address, &seen, (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED)) return false;
        if (seen == value) break;
    }
    if (!inherits && (value & FUTEX_WAITERS)) host_syscall(SYS_futex, address, FUTEX_WAKE, 1, 0, 0, 0);
    return true;
}

// An entry's lowest bit says that the futex is of the kind with priority inheritance, whose waiters are the kernel's.
static void release_robust_list(LinuxThread *t) {
    struct robust_list_head head;
    uint64_t first = t->robust_list;
    if (!first) return;
    host_syscall(SYS_set_robust_list, NULL, sizeof head, 0, 0, 0, 0);
    if (!guest_read(&head, first, sizeof head)) return;
    uint64_t offset = (uint64_t)head.futex_offset, pending = (uint64_t)head.list_op_pending;
    uint64_t entry = (uint64_t)head.list.next;
    for (int i = 0; i < ROBUST_LIST_LIMIT && (entry & ~UINT64_C(1)) != first; i++) {
        uint64_t address = entry & ~UINT64_C(1), next;
        bool more = guest_read(&next, address, sizeof next); // before the futex is let go
        if (address != (pending & ~UINT64_C(1)) && !release_robust_futex(t, address + offset, entry & 1, false)) return;
        if (!more) return;
        entry = next;
    }
    if (pending) release_robust_futex(t, (pending & ~UINT64_C(1)) + offset, pending & 1, true);
}

// Everything of the thread but its host thread. All signals are blocked.
static void forget(LinuxThread *t) {
    linux_self = NULL;
    cpu_free(t->cpu);
    current_cpu = NULL;
    if (t->exec_memory) munmap(t->exec_memory, t->exec_memory_size);
    free(t);
}

// One of several threads ends that is not the main one.
static void end(LinuxThread *t) {
    release_robust_list(t); // while a fault can still be caught: the list is what the guest made of it
    host_signal_mask(SIG_SETMASK, ALL_SIGNALS);
    uint64_t clear = t->clear_child_tid;
    LinuxProcess *process = t->process;
    // The last one's status is the process's.
    if (__atomic_sub_fetch(&process->thread_count, 1, __ATOMIC_ACQ_REL) == 0) process_exit(t, t->exit_status);
    forget(t);
    uint32_t zero = 0;
    if (clear && guest_write(clear, &zero, sizeof zero)) futex_wake((uint32_t *)clear, FUTEX_WAKE);
}

long thread_exit(LinuxThread *t, int status) {
    LinuxProcess *process = t->process;
    if (__atomic_load_n(&process->thread_count, __ATOMIC_ACQUIRE) == 1) process_exit(t, status);
    if (signals_block(t)) return -LINUX_ERESTARTNOINTR;
    if (t->tid != getpid()) {
        t->exit_status = status;
        t->cpu->exiting = true;
        return -LINUX_NO_RESULT;
    }
    host_signal_mask(SIG_SETMASK, ALL_SIGNALS);
    if (__atomic_sub_fetch(&process->thread_count, 1, __ATOMIC_ACQ_REL) == 0) process_exit(t, status);
    forget(t);
    for (;;) host_syscall(SYS_exit, status, 0, 0, 0, 0, 0);
}

// ---- fork -------------------------------------------------------------------------------------------------------------

void threads_before_fork(LinuxThread *t) {
    pthread_mutex_lock(&t->process->signal_lock);
    engine_before_fork(t->process->engine);
    memory_lock();
}

static void forget_other(void *context, Cpu *cpu) {
    LinuxThread *self = context, *t = cpu->thread;
    // What another thread made for its vfork child is not a piece of memory of its own.
    if (t->process == self->process) free(t);
}

void threads_after_fork(LinuxThread *t, bool child) {
    memory_unlock();
    engine_after_fork(t->process->engine, child ? t->cpu : NULL, forget_other, t);
    pthread_mutex_unlock(&t->process->signal_lock);
}
