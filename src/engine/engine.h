// SPDX-License-Identifier: MIT
//
// The engine: finds or makes the host code of a guest block, runs it, links blocks, and comes back to the Linux layer for
// whatever a guest instruction cannot do by itself.
//
// The layer above (linux/) supplies EngineHooks and never touches blocks; the engine never knows a system call.
#ifndef KILN_ENGINE_ENGINE_H
#define KILN_ENGINE_ENGINE_H

#include "engine/cpu.h"
#include "guest/guest.h"
#include "hot/hot.h"
#include <stdio.h>

typedef enum EngineTier { TIER_INTERP, TIER_FAST } EngineTier;

// How a piece of guest code can come to be other code without a call that says so.
typedef enum GuestCodeKind {
    GUEST_CODE_FIXED,    // not at all: mapped for reading, from a file or not
    GUEST_CODE_WRITABLE, // by stores to its address
    GUEST_CODE_SHARED,   // also through another mapping, or by another process
} GuestCodeKind;
// What happens to hot paths (HQEMU's names: hybrids, hybridm are hybrid-sync, hybrid).
typedef enum EngineMode {
    ENGINE_NONE,        // blocks alone
    ENGINE_BLOCK,       // every block through the optimizer (tests)
    ENGINE_HYBRID_SYNC, // traces; the guest waits for the optimizer
    ENGINE_HYBRID,      // traces; the optimizer works beside the guest
} EngineMode;

typedef struct EngineHooks {
    // Called on the cpu's own thread, outside generated code, all homes right. Execution goes on at cpu->pc afterwards,
    // unless cpu->exiting is set.
    //
    // exception: an instruction raised `code`; cpu->pc is that instruction's address (for SYSCALL the hook moves it on).
    void (*exception)(Cpu *cpu, KirException code);
    // fault: cpu->fault says what a guest memory access did; cpu->pc is the instruction's address. The hook clears it.
    void (*fault)(Cpu *cpu);
    // poll: cpu->poll was set (pending signal). The hook clears poll (engine_poll_clear) before it looks at what is pending.
    void (*poll)(Cpu *cpu);
    // Executable guest memory at pc: how many bytes in one piece; 0: not executable. Reading them may still fault, behind a file's
    // end: guest_read does it.
    size_t (*fetch)(uint64_t pc, GuestCodeKind *kind);
    // The guest file that contains pc can be loaded elsewhere next time: its load bias. False: fixed address or no file.
    bool (*image)(uint64_t pc, uint64_t *base);
    // Protects a page of guest memory against writing on the host, or gives back what the guest may do. False: nothing was done, as the
    // guest cannot write there either. Needed for EngineOptions.guard_code.
    bool (*protect)(uint64_t page, bool guard);
    // Name of the guest function at pc for logs, or NULL.
    const char *(*symbol)(uint64_t pc, uint64_t *offset);
    // A socket on which channels to the optimizer can be opened (base/channel.h), which is started if need be; the descriptor stays the
    // Linux layer's. -1: there is none; less: not now. `wait`: for another process that is starting it.
    int (*optimizer_hub)(bool wait);
    // Hides a descriptor from the guest; the variable must stay where it is until close_fd. False: not possible, it was closed.
    bool (*keep_fd)(int *fd);
    void (*close_fd)(int *fd);
} EngineHooks;

// Guest addresses, both inclusive.
typedef struct LogRange {
    uint64_t first, last;
} LogRange;

// Bytes of code: blocks have the most where memory is not limited, traces what trace_cache says.
enum { ENGINE_LEAST_TRACE_CACHE = 16 << 10, ENGINE_MOST_CODE = 64 << 20 };

typedef struct EngineOptions {
    EngineTier tier;
    EngineMode mode;
    HotParams hot;
    unsigned trace_limit;              // so many forms of traces are made, first and second, and no more
    size_t trace_cache;                // bytes of code, ENGINE_LEAST_TRACE_CACHE to ENGINE_MOST_CODE
    bool trace_cache_stop;             // no more traces when it is full
    int64_t second_after;              // a trace asks for its second form after so many executions; -1: when it pays
    uint32_t optimizer_options;        // TRACE_WANT_TEXT ... (ir/request.h)
    uint32_t optimizer_disabled;       // bit i: pass i of ir/optimizer_passes.def is off
    const char *requests;              // folder in which each request to the optimizer is written down; NULL: none
    const HotAnnotations *annotations; // known loop heads
    unsigned max_block_insns;          // 1 for one-insn-per-tb
    uint32_t disabled_passes;          // bit i: pass i of kir_passes is off
    uint64_t features;                 // of the chosen cpu model
    uint32_t log_mask;                 // ENGINE_LOG_*
    FILE *log;                         // NULL: stderr
    bool no_bmi, no_fma, no_avx;       // test fallbacks: behave as if the host lacked them
    bool no_link;                      // every exit goes through the dispatch loop
    bool measure;                      // count nanoseconds too (--stats)
    bool count;                        // count executions (engine/count.h)
    bool report;                       // collect what a report shows (debug/report.h); needs `count`
    bool perfmap, jitdump;             // names of code for perf (debug/perf.h)
    bool child;                        // the process ran another program before
    bool exact_faults;                 // traces show all registers at a fault, as if a handler were installed from the start
    bool guard_code;                   // changed code is seen without an instruction that says so (engine/guard.c)
    bool shared_memory;                // assume from the start that guest memory is shared (tests)
    LogRange *log_ranges;              // what dumps of code are restricted to; none: everything
    size_t log_range_count;
    bool eval_all; // every operation that kir_eval knows goes through it (tests the fallback path)
} EngineOptions;

enum {
    ENGINE_LOG_IN_ASM = 1,
    ENGINE_LOG_OP = 2,
    ENGINE_LOG_OP_OPT = 4,
    ENGINE_LOG_OUT_ASM = 8,
    ENGINE_LOG_EXEC = 16,
    ENGINE_LOG_CPU = 32,
    ENGINE_LOG_PAGE = 64,
    ENGINE_LOG_STRACE = 128,
    ENGINE_LOG_UNIMP = 256,
    ENGINE_LOG_TRACE = 512,
    ENGINE_LOG_LLVM = 1024,
    ENGINE_LOG_LLVM_OPT = 2048,
    ENGINE_LOG_TRACE_ASM = 4096
};

// One engine a process. Never fails (fatal message if no code memory can be had).
Engine *engine_new(const Guest *guest, const EngineHooks *hooks, const EngineOptions *options);
const Guest *engine_guest(const Engine *engine);
const EngineOptions *engine_options(const Engine *engine);

// A cpu for a new guest thread, all registers as after reset; or a copy of `from` (clone), NULL if there is no memory.
Cpu *cpu_new(Engine *engine, const Cpu *from);
void cpu_free(Cpu *cpu);

// Around a fork of the process by one of several threads: before it in the parent, after it in the parent (child = NULL) and in the
// child (its only cpu). The other threads' cpus are freed there, after `lost` was called for each.
void engine_before_fork(Engine *engine);
void engine_after_fork(Engine *engine, Cpu *child, void (*lost)(void *context, Cpu *cpu), void *context);
// In a child that shares its parent's descriptors, before engine_after_fork: the channel stays the parent's, and the child has none.
void engine_without_optimizer(Engine *engine);

// Runs the guest from cpu->pc until cpu->exiting. Sets current_cpu.
void engine_run(Cpu *cpu);

// Asks the thread out of generated code at its next poll. Async-signal-safe; any thread.
void engine_poll_request(Cpu *cpu);
void engine_poll_clear(Cpu *cpu);

// To be called first by the host's handlers of SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP. True: it was an access of guest code:
// cpu->pc, all homes and cpu->fault are right, and returning from the handler goes to engine_run, which calls hooks.fault.
// False: not a guest access (a bug in Kiln, or a signal sent by someone).
bool engine_fault(int signal, const siginfo_t *info, void *ucontext);

// For helpers and hooks that touch guest memory directly in C: copies with fault handling; false if any byte cannot be accessed
// (cpu->fault is untouched; some may have been copied).
bool guest_read(void *to, uint64_t from, size_t size);
bool guest_write(uint64_t to, const void *from, size_t size);
bool guest_equal(uint64_t address, const void *bytes, size_t size); // false also where it cannot be read
// One compare-and-exchange of an aligned word; *expected becomes what was found.
bool guest_compare_exchange(uint64_t address, uint32_t *expected, uint32_t desired);

// For helpers with KIR_HELPER_MAY_RAISE: leaves the block with this exception at the current instruction. Does not return.
void engine_raise(Cpu *cpu, KirException code) __attribute__((noreturn));

// Guest code in [start, end) changed or went away: forget its translations. Safe from hooks on any thread.
void engine_invalidate(Engine *engine, uint64_t start, uint64_t end);
// The same, but for code that has a copy and is what it was: that stays. With start == end: all code that may change.
void engine_code_changed(Engine *engine, uint64_t start, uint64_t end);
// Where code is guarded (else nothing happens, and the answer is false):
// a store of this thread to memory that the guest may write was refused. True: to be tried again.
bool engine_write_fault(Cpu *cpu, uint64_t address);
// The kernel is about to write there, or could not write somewhere. True: there was code, try again.
bool engine_open_code(Engine *engine, uint64_t start, uint64_t end);
bool engine_open_all_code(Engine *engine);
// Between these two no thread reads guest code in order to translate it.
void engine_lock(Engine *engine);
void engine_unlock(Engine *engine);
// Until this is called, guest memory is taken to be private to one thread, and atomic operations are made of plain ones. To be
// called on the guest thread, outside generated code, before memory becomes visible to another thread (CLONE_VM) or process (a
// shared mapping that this one or another can write), or the kernel writes there between calls (asynchronous I/O). Idempotent.
void engine_memory_is_shared(Engine *engine);
// From now on registers must be exact at faults. To be called before the guest's handler of such a signal is installed. Idempotent.
void engine_faults_are_handled(Engine *engine);
// Any block in this range? (for deciding whether a write must be caught)
bool engine_has_code(Engine *engine, uint64_t start, uint64_t end);

// ---- for a debugger; costs nothing while unused (watch.c) -----------------------------------------------------------------------
typedef enum EngineWatch {
    WATCH_GO_ON,    // run on
    WATCH_ONE_INSN, // execute one instruction, then ask again
    WATCH_AGAIN,    // something changed (cpu->exiting, a pending signal): ask again
} EngineWatch;
// Asked before a thread goes on with guest code, on that thread, outside, all homes right; it may wait, and change registers and memory.
// Threads in linked code come by at breakpoints, and when they are asked to poll. NULL: nobody is asked.
typedef EngineWatch (*EngineWatcher)(Cpu *cpu);
void engine_watch(Engine *engine, EngineWatcher watcher);
// The watcher is asked each time a thread is about to execute the instruction at pc.
void engine_breakpoint(Engine *engine, uint64_t pc, bool set);
bool engine_breakpoint_at(const Engine *engine, uint64_t pc);
// All cpus there are. `each` must not make or free one.
void engine_each_cpu(Engine *engine, void (*each)(void *context, Cpu *cpu), void *context);
// Returns when no other thread runs guest code; it may begin again at once where the watcher lets it.
void engine_all_out(Engine *engine);

// Counters (engine/counters.def). Additions are not atomic: counts of several threads may be lost.
typedef struct Counters {
#define COUNTER(name, meaning) uint64_t name;
#include "engine/counters.def"
#undef COUNTER
} Counters;
Counters *engine_counters(Engine *engine);
static inline void count_more(uint64_t *counter, uint64_t n) {
    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}
// All of them as text; for --stats.
void engine_stats(Engine *engine, FILE *out);
// The page of --report; `command`: what ran, ended by NULL.
void engine_report(Engine *engine, FILE *out, char *const *command);
// What is kept in buffers goes to its files: before the process ends or becomes another program.
void engine_write_out(void);

#endif
