// SPDX-License-Identifier: MIT
//
// Several threads in one engine.
//
// A thread is *inside* while it looks blocks up, runs generated code or links exits: it may then hold addresses of blocks. Everything
// else (system calls, hooks, waiting) is outside. What takes blocks away from under threads (emptying the code memory, invalidating
// blocks) first stops the world: no thread goes inside, and all have come out. They come out because they are asked to poll, and every
// cycle of generated code contains a poll.
//
//   entering                              stopping
//     inside = 1                            stop = 1
//     full fence                            full fence
//     stop?  -> inside = 0, wait            ask every other thread to poll, wait until its inside is 0
//
// One lock guards all writing: translation, linking, the list of threads. Whoever has to wait for it is outside meanwhile, so the
// holder may stop the world. With a single thread none of this costs anything: `threaded` is false until a second cpu exists.
#include "engine/internal.h"
#include "debug/perf.h"
#include "debug/report.h"
#include "base/error.h"
#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// False: nobody woke us.
static bool futex_wait(uint32_t *word, uint32_t value) {
    struct timespec limit = {.tv_nsec = 2000000}; // a lost wake-up costs two milliseconds, not the process
    return syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &limit, NULL, 0) == 0 || errno != ETIMEDOUT;
}

static void futex_wake(uint32_t *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0); }

// ---- inside and outside -----------------------------------------------------------------------------------------------------
static void clear_tallies(Cpu *cpu) {
    madvise(((CpuMemory *)(void *)cpu->ibc_real)->tallies, sizeof(uint32_t) * CPU_TALLIES, MADV_DONTNEED);
}

// Emptying the caches of threads that sleep is left to themselves: there may be thousands.
static void freshen(Cpu *cpu) {
    if (cpu->stale & CPU_STALE_IBC) clear_ibc(cpu);
    if (cpu->stale & CPU_STALE_TALLIES) clear_tallies(cpu);
    cpu->stale = 0;
}

void world_enter(Cpu *cpu) {
    Engine *engine = cpu->engine;
    if (!engine->threaded) return;
    for (;;) {
        __atomic_store_n(&cpu->inside, 1, __ATOMIC_SEQ_CST);
        if (!__atomic_load_n(&engine->stop, __ATOMIC_SEQ_CST)) break;
        world_leave(cpu);
        futex_wait(&engine->stop, 1);
    }
    freshen(cpu);
}

void world_leave(Cpu *cpu) {
    Engine *engine = cpu->engine;
    if (!engine->threaded) return;
    __atomic_store_n(&cpu->inside, 0, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&engine->stop, __ATOMIC_SEQ_CST)) futex_wake(&cpu->inside);
}

// ---- the lock -----------------------------------------------------------------------------------------------------------------
// 0: free, 1: taken, 2: taken and waited for.
// The host's thread is no more: it may have been killed while it held something, and the memory lives on because another process shares it.
static bool is_gone(int32_t tid) { return tid && kill(tid, 0) != 0 && errno == ESRCH; }

// Takes the lock over from a thread that will not give it back.
static bool inherit_lock(Engine *engine) {
    int32_t tid = __atomic_load_n(&engine->lock_tid, __ATOMIC_RELAXED);
    if (!is_gone(tid)) return false;
    return __atomic_compare_exchange_n(&engine->lock_tid, &tid, current_cpu ? current_cpu->tid : 0, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

static void lock_slowly(Engine *engine) {
    while (__atomic_exchange_n(&engine->lock, 2, __ATOMIC_ACQUIRE))
        if (!futex_wait(&engine->lock, 2) && inherit_lock(engine)) return;
}

void world_lock(Engine *engine) {
    if (!engine->threaded) return;
    uint32_t expected = 0;
    if (!__atomic_compare_exchange_n(&engine->lock, &expected, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        Cpu *cpu = current_cpu;
        bool inside = cpu && cpu->inside;
        if (inside) world_leave(cpu);
        lock_slowly(engine);
        // The holder is not stopped by anybody else, so it may go inside without looking.
        if (inside) {
            __atomic_store_n(&cpu->inside, 1, __ATOMIC_SEQ_CST);
            freshen(cpu);
        }
    }
    __atomic_store_n(&engine->lock_owner, current_cpu, __ATOMIC_RELAXED);
    __atomic_store_n(&engine->lock_tid, current_cpu ? current_cpu->tid : 0, __ATOMIC_RELAXED);
}

void world_unlock(Engine *engine) {
    if (!engine->threaded) return;
    __atomic_store_n(&engine->lock_owner, NULL, __ATOMIC_RELAXED);
    __atomic_store_n(&engine->lock_tid, 0, __ATOMIC_RELAXED);
    if (__atomic_exchange_n(&engine->lock, 0, __ATOMIC_RELEASE) == 2) futex_wake(&engine->lock);
}

void engine_lock(Engine *engine) { world_lock(engine); }
void engine_unlock(Engine *engine) { world_unlock(engine); }

// ---- stopping ------------------------------------------------------------------------------------------------------------------
void world_stop(Engine *engine) {
    if (!engine->threaded) return;
    __atomic_store_n(&engine->stop, 1, __ATOMIC_SEQ_CST);
    for (Cpu *cpu = engine->cpus; cpu; cpu = cpu->next) {
        if (cpu == current_cpu) continue;
        if (__atomic_load_n(&cpu->inside, __ATOMIC_SEQ_CST)) engine_poll_request(cpu);
    }
    for (Cpu *cpu = engine->cpus; cpu; cpu = cpu->next) {
        if (cpu == current_cpu) continue;
        while (__atomic_load_n(&cpu->inside, __ATOMIC_SEQ_CST))
            if (!futex_wait(&cpu->inside, 1) && is_gone(__atomic_load_n(&cpu->tid, __ATOMIC_RELAXED))) break;
    }
}

void world_serialise(const Engine *engine) {
    if (!engine->threaded) return;
    // The kernel wants to be told once that this will be asked for; where it knows nothing of it, its own switches have to do.
    syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0);
    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0);
}

void world_resume(Engine *engine) {
    if (!engine->threaded) return;
    __atomic_store_n(&engine->stop, 0, __ATOMIC_SEQ_CST);
    futex_wake(&engine->stop);
}

static void make_stale(Engine *engine, uint8_t what, const Cpu *but) {
    for (Cpu *cpu = engine->cpus; cpu; cpu = cpu->next) {
        if (cpu != but) cpu->stale |= what;
        if (cpu == current_cpu || !engine->threaded) freshen(cpu);
    }
    for (Cpu *cpu = engine->spares; cpu; cpu = cpu->next) cpu->stale |= what;
}

void world_clear_caches(Engine *engine) { make_stale(engine, CPU_STALE_IBC, NULL); }
void world_clear_tallies(Engine *engine) { make_stale(engine, CPU_STALE_TALLIES, NULL); }
// The calling thread has lost the entries in question already (forget_block).
void world_blocks_gone(Engine *engine) { make_stale(engine, CPU_STALE_IBC, current_cpu); }

// ---- the list of threads -----------------------------------------------------------------------------------------------------------
// Cpus of threads that have ended are kept for the next ones, with what their caches of indirect targets hold: of a thread that runs for
// a moment, most time would go into page faults. To whoever changes code a spare one is like a thread that sleeps.
enum { MOST_SPARES = 8 };

// The second cpu is made by the only thread there is, outside, so `threaded` changes when nobody looks.
void world_begin_add(Engine *engine) {
    if (!engine->threaded && engine->cpus) engine->threaded = engine->blocks.shared = true;
    world_lock(engine);
}

Cpu *world_take_spare(Engine *engine) {
    Cpu *cpu = engine->spares;
    if (!cpu) return NULL;
    engine->spares = cpu->next;
    engine->spare_count--;
    return cpu;
}

void world_end_add(Engine *engine, Cpu *cpu) {
    if (cpu) {
        cpu->next = engine->cpus;
        engine->cpus = cpu;
    }
    world_unlock(engine);
}

// Another's cpu may have been left in the middle of a change of its cache.
static bool keep_spare(Engine *engine, Cpu *cpu) {
    if (cpu != current_cpu || engine->spare_count == MOST_SPARES) return false;
    cpu->next = engine->spares;
    engine->spares = cpu;
    engine->spare_count++;
    return true;
}

bool world_remove(Engine *engine, Cpu *cpu) {
    // A process that shared our memory (vfork) may have been killed in the middle of anything.
    if (cpu != current_cpu) {
        world_leave(cpu);
        if (__atomic_load_n(&engine->lock_owner, __ATOMIC_RELAXED) == cpu) world_unlock(engine);
    }
    world_lock(engine);
    for (Cpu **link = &engine->cpus; *link; link = &(*link)->next) {
        if (*link != cpu) continue;
        *link = cpu->next;
        break;
    }
    // Once the lock is free the others may end and their cpus be gone, and a spare one be in use again.
    bool alone = engine->cpus && engine->cpus == current_cpu && !engine->cpus->next;
    bool kept = keep_spare(engine, cpu);
    world_unlock(engine);
    // Back to one thread: the remaining one is the caller (or the last thread of the process ends).
    if (alone && !engine->watcher) {
        engine->threaded = engine->blocks.shared = false;
        freshen(current_cpu);
    }
    return kept;
}

void engine_before_fork(Engine *engine) {
    world_lock(engine);
    perf_write_out();
}

void engine_after_fork(Engine *engine, Cpu *child, void (*lost)(void *context, Cpu *cpu), void *context) {
    world_unlock(engine);
    if (!child) return;
    for (Cpu *cpu = engine->cpus, *next; cpu; cpu = next) {
        next = cpu->next;
        if (cpu == child) continue;
        lost(context, cpu);
        cpu_release(cpu);
    }
    engine->cpus = child;
    child->next = NULL;
    child->inside = 0;
    child->tid = gettid();
    child->may_vanish = false;
    engine->lock = engine->stop = 0;
    engine->threaded = engine->blocks.shared = false;
    freshen(child);
    engine_forget_code(engine);
    optimizer_after_fork(engine);
    if (engine->options.count) count_restart(engine);
    report_after_fork(engine);
    perf_after_fork(engine);
    engine->recording = false;
}
