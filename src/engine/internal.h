// SPDX-License-Identifier: MIT
//
// What the engine's files share; nobody else includes it.
#ifndef KILN_ENGINE_INTERNAL_H
#define KILN_ENGINE_INTERNAL_H

#include "engine/block.h"
#include "engine/code_memory.h"
#include "engine/count.h"
#include "engine/trace.h"
#include "interp/interp.h"

// Guest code as it was read for one translation. A block is made from a copy, as the guest's memory may change, or end, meanwhile:
// what is compared with later is exactly what was translated.
enum { CODE_COPY_BYTES = 4096 + 64 };
typedef struct CodeCopy {
    uint64_t pc;
    size_t size;
    GuestCodeKind kind;
    bool guarded; // a block will be made of it: see guard.c
    uint8_t bytes[CODE_COPY_BYTES];
} CodeCopy;

// A page with blocks whose code may change.
enum { CODE_PAGE_BUCKETS = 1024, CODE_PAGE_BYTES = 1 << GUEST_PAGE_BITS };
typedef struct CodePage {
    struct CodePage *next;
    uint64_t page;
    GuestCodeKind kind;
    bool guarded; // write-protected (guard.c)
    bool known;   // `bytes` is what all blocks of the page were made of
    uint8_t bytes[CODE_PAGE_BYTES];
} CodePage;

struct Engine {
    const Guest *guest;
    EngineHooks hooks;
    EngineOptions options;
    Host *host;
    CodeMemory memory;
    BlockTable blocks;
    uint32_t skipped_passes; // what the fast tier does by itself
    Arena scratch;           // of one translation
    Arena kir;               // blocks of the interpreter
    CodeCopy code;           // of the translation that goes on
    CodePage *code_pages[CODE_PAGE_BUCKETS];
    uint32_t shared_code_pages;
    Counters counters;
    // Counts what makes addresses of blocks, exits or traces invalid: emptied code memory, evicted traces. Whoever has waited for the
    // lock looks whether it has changed.
    uint64_t epoch;
    uint64_t block_epoch; // blocks alone: traces come and go more often
    // traces
    bool tracing;
    bool recording;     // somebody uses `recorded`
    bool fault_handler; // engine_faults_are_handled was called
    TraceCache traces;
    Arena recorded; // KIR of the path that is being recorded
    Optimizer optimizer;
    HotCompileCost compile_cost;
    uint64_t reasons[REASON_COUNT];
    struct Report *report; // debug/report.h; NULL: none
    // count.c
    Arena counted_memory;
    Counted *counted;                 // newest first
    uint64_t evaluated[KIR_OP_COUNT]; // CpuMemory.evaluated of threads that are gone
    // world.c
    Cpu *cpus, *spares;
    unsigned spare_count;
    uint32_t lock, stop;
    Cpu *lock_owner;
    int32_t lock_tid;   // the owner's
    bool threaded;      // more than one cpu
    bool stepwise;      // back to engine_run after each block (logs of execution)
    bool memory_shared; // engine_memory_is_shared was called
    // watch.c
    EngineWatcher watcher;
    uint64_t *breakpoints;
    uint32_t breakpoint_count;
};

// world.c. enter, leave: the calling thread, around everything that holds blocks. lock, unlock: around everything that writes.
// stop, resume: with the lock held; between them no thread but the caller is inside.
void world_enter(Cpu *cpu);
void world_leave(Cpu *cpu);
void world_lock(Engine *engine);
void world_unlock(Engine *engine);
void world_stop(Engine *engine);
void world_resume(Engine *engine);
void world_clear_caches(Engine *engine);
void world_clear_tallies(Engine *engine); // tallies will be given out again
void world_blocks_gone(Engine *engine);   // forget_block was called
// Code memory is about to be used again: every processor looks at it anew.
void world_serialise(const Engine *engine);
// A new thread: begin takes the lock, end puts the cpu (NULL: none) on the list and frees the lock; between them a spare cpu may be taken,
// NULL if there is none.
void world_begin_add(Engine *engine);
Cpu *world_take_spare(Engine *engine);
void world_end_add(Engine *engine, Cpu *cpu);
// True: the cpu is kept as a spare one, and may be in use again.
bool world_remove(Engine *engine, Cpu *cpu);
// engine.c: gives a cpu's memory back, with no regard to the list.
void cpu_release(Cpu *cpu);

// translate.c: the block at pc, made if need be; `counts`: it will count (head_at_once), so it is made with a counter. Never NULL.
// In the child of a fork: code memory that is mapped twice was not inherited; the child starts without translations.
void engine_forget_code(Engine *engine);
Block *engine_block(Engine *engine, uint64_t pc, uint32_t mode, bool counts);
// One instruction for the interpreter. It is valid until the next call for this cpu.
const KirBlock *engine_one_insn(Cpu *cpu);
// code.c, with the lock held. Starts a copy at pc with room for `insns` instructions; how many bytes there are. `guarded`: for a block.
size_t code_begin(Engine *engine, uint64_t pc, unsigned insns, bool guarded);
// GuestTranslation.fetch, context = the engine: goes on with the copy.
size_t code_fetch(void *context, uint64_t pc, const uint8_t **bytes);
// Keeps what the block that was just made needs of it.
void code_keep(Engine *engine, Block *block);
// There are no blocks any more.
void code_forget(Engine *engine);
CodePage *code_page(Engine *engine, uint64_t page); // made if need be
// guard.c, with the lock held. Where code is guarded: a block is about to be made of the page; [start, end) has no blocks any more.
void guard_page(Engine *engine, uint64_t address, GuestCodeKind kind);
void guard_open(Engine *engine, uint64_t start, uint64_t end);
// link.c: takes a block away; the world is stopped, and world_blocks_gone must follow.
void forget_block(void *engine, Block *block);
// The block's KIR as the guest's translator makes it, no pass run, no image constants; it counts there, if not NULL. With the lock held.
KirBlock *engine_raw_kir(Engine *engine, Arena *arena, const Block *block, KirCount *count);
// Blocks as one, `times` one after the other, ready for the fast tier; lives in the scratch arena. `counts`: one for each block, or NULL.
// With the lock held.
KirBlock *translate_path(Engine *engine, Block *const *blocks, uint32_t count, uint32_t times, KirCount *counts);
uint64_t engine_nanoseconds(void);
uint64_t engine_processor_nanoseconds(void); // that the process has used
// optimizer.c
uint32_t engine_assumptions(const Engine *engine);

// engine.c: one block in the interpreter, and what is to be done about its outcome afterwards.
typedef struct RunOutcome {
    InterpOutcome how;
    KirException code;
} RunOutcome;
RunOutcome run_interpreter(Cpu *cpu, const KirBlock *kir);
void take_outcome(Cpu *cpu, RunOutcome outcome);

// watch.c: at most so many instructions fit in a block at pc before the next breakpoint.
unsigned watch_max_insns(Engine *engine, uint64_t pc, unsigned max_insns);
// link.c; link_exit takes the lock itself
void link_exit(Engine *engine, ExitRecord *record, Block *target);
void unlink_incoming(Engine *engine, Block *block);
void clear_ibc(Cpu *cpu);
// The thread's own cache of indirect targets: it was missed for this block; what it says of a pc; of a block whose entry has changed.
void remember_target(Cpu *cpu, const Block *target, bool is_return);
void forget_target(Cpu *cpu, uint64_t pc);
void refresh_target(Cpu *cpu, const Block *block);
enum { IBC_PART = 2 * CPU_IBC_ENTRIES / 64, IBC_SECOND_PART = CPU_IBC_SECOND / 64 };
// Zeroed entries match the pc 0 and nothing else, and 0 is looked up in the first entry of each part: these get a pc that no
// guest has, so that a jump to 0 misses as it must. Everything else may stay untouched zero pages.
void guard_ibc(IbcEntry *entries);
// For a new cache.
void use_few_entries(Cpu *cpu);

#endif
