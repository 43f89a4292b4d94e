// SPDX-License-Identifier: MIT
//
// The dispatch loop: the only place from which guest code is entered.
//
//   while the thread lives:
//     asked to stop?  -> hook
//     find or make the block at cpu->pc, run it (and what it is linked to)
//     it left:  direct exit -> link it;  indirect exit -> remember its target;  exception or fault -> hook
#include "engine/internal.h"
#include "base/error.h"
#include "debug/dump.h"
#include "interp/interp.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

__thread Cpu *current_cpu;

// What a thread that is asked to stop looks its indirect exits up in; one for all.
static IbcEntry empty_ibc[2 * CPU_IBC_ENTRIES];

// One piece of memory a thread, of pages that are touched as they are needed.
typedef struct CpuMemory {
    IbcEntry ibc[2 * CPU_IBC_ENTRIES];
    Cpu cpu;
} CpuMemory;

static CpuMemory *cpu_memory(void) {
    void *p = mmap(NULL, sizeof(CpuMemory), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

// The fast tier finds dead values by itself, on its way through the block; the pass is for readers of dumps and for the interpreter.
static uint32_t skipped_passes(const EngineOptions *options) {
    if (options->tier != TIER_FAST || options->log_mask & ENGINE_LOG_OP_OPT) return 0;
    for (uint32_t i = 0; kir_passes[i].name; i++)
        if (!strcmp(kir_passes[i].name, "dead-code")) return 1u << i;
    return 0;
}

Engine *engine_new(const Guest *guest, const EngineHooks *hooks, const EngineOptions *options) {
    Engine *engine = calloc(1, sizeof *engine);
    if (!engine) fatal("out of memory");
    engine->guest = guest;
    engine->hooks = *hooks;
    engine->options = *options;
    block_table_init(&engine->blocks);
    code_memory_init(&engine->memory);
    engine->host = host_new(guest, &engine->options, &engine->memory);
    guard_ibc(empty_ibc);
    engine->skipped_passes = skipped_passes(options);
    return engine;
}

const Guest *engine_guest(const Engine *engine) { return engine->guest; }
const EngineOptions *engine_options(const Engine *engine) { return &engine->options; }
Counters *engine_counters(Engine *engine) { return &engine->counters; }

Cpu *cpu_new(Engine *engine, const Cpu *from) {
    CpuMemory *memory = cpu_memory();
    if (!memory && from) return NULL;
    if (!memory) fatal("out of memory for the state of a thread");
    Cpu *cpu = &memory->cpu;
    if (from) {
        world_lock(engine); // the list goes through it
        *cpu = *from;
        world_unlock(engine);
    }
    cpu->engine = engine;
    guard_ibc(memory->ibc);
    cpu->ibc_real = cpu->ibc = memory->ibc;
    cpu->poll = 0;
    cpu->exiting = false;
    cpu->raised = -1;
    cpu->in_interpreter = false;
    cpu->interp_jump = NULL;
    cpu->inside = 0;
    cpu->ibc_stale = false;
    cpu->ibc_used = 0;
    cpu->one_insn = false;
    cpu->stepped = (Arena){0};
    if (!from) {
        cpu->guest_mxcsr = cpu->host_mxcsr = host_default_fpenv();
        engine->guest->reset(cpu);
    }
    world_add(engine, cpu);
    return cpu;
}

void cpu_release(Cpu *cpu) {
    arena_free(&cpu->stepped);
    munmap(cpu->ibc_real, sizeof(CpuMemory));
}

void cpu_free(Cpu *cpu) {
    world_remove(cpu->engine, cpu);
    cpu_release(cpu);
}

// ---- asking a thread to stop --------------------------------------------------------------------------------------------
void engine_poll_request(Cpu *cpu) {
    __atomic_store_n(&cpu->poll, 1, __ATOMIC_RELEASE);
    __atomic_store_n(&cpu->ibc, empty_ibc, __ATOMIC_RELEASE);
}

void engine_poll_clear(Cpu *cpu) {
    __atomic_store_n(&cpu->poll, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&cpu->ibc, cpu->ibc_real, __ATOMIC_RELEASE);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

// ---- one step -----------------------------------------------------------------------------------------------------------------
static void raise_exception(Cpu *cpu, KirException code) {
    Engine *engine = cpu->engine;
    if (code == KIR_EXC_RESUME) return;
    world_leave(cpu);
    if (code == KIR_EXC_SYSCALL) count_more(&engine->counters.syscalls, 1);
    if (code == KIR_EXC_FENCE_I) cpu->pc += 4; // goes on behind it, once the hook has seen to what changed
    engine->hooks.exception(cpu, code);
}

// The block that comes next, where that is known; the caller may go on there as long as it stays inside.
static Block *left_by_record(Cpu *cpu, ExitRecord *record) {
    Engine *engine = cpu->engine;
    cpu->pc = record->exit.target;
    if (record->exit.kind == KIR_EXIT_EXCEPTION) {
        raise_exception(cpu, (KirException)record->exit.code);
        return NULL;
    }
    if (!record->jump || cpu->poll) return NULL;
    // Making the target may empty the code memory, and the record with it.
    uint64_t flushes = engine->counters.code_flushes;
    Block *target = engine_block(engine, cpu->pc, cpu->mode);
    if (engine->counters.code_flushes == flushes) link_exit(engine, record, target);
    bool still_there = engine->counters.code_flushes == flushes && !target->invalid;
    return still_there ? target : NULL;
}

static Block *left_indirectly(Cpu *cpu, bool is_return) {
    Engine *engine = cpu->engine;
    if (cpu->poll || engine->options.no_link || engine_breakpoint_at(engine, cpu->pc)) return NULL;
    Block *target = engine_block(engine, cpu->pc, cpu->mode);
    size_t index = ibc_index(engine, cpu->pc) + (is_return ? CPU_IBC_ENTRIES : 0);
    IbcEntry *entry = &cpu->ibc_real[index];
    cpu->ibc_used |= UINT64_C(1) << index / IBC_PART;
    entry->code = target->host.code;
    entry->pc = cpu->pc;
    count_more(&engine->counters.ibc_fills, 1);
    return target;
}

static void take_fault(Cpu *cpu) {
    if (cpu->raised >= 0) {
        KirException code = (KirException)cpu->raised;
        cpu->raised = -1;
        raise_exception(cpu, code);
    } else {
        world_leave(cpu);
        cpu->engine->hooks.fault(cpu);
    }
}

// Runs blocks until a hook has been called or somebody wants to look between two of them.
static void step_fast(Cpu *cpu) {
    Engine *engine = cpu->engine;
    Block *block = engine_block(engine, cpu->pc, cpu->mode);
    do {
        count_more(&engine->counters.dispatches, 1);
        host_enter(engine->host, cpu, block->host.code);
        void *record = cpu->exit_record;
        block = NULL;
        if (!record || record == HOST_EXIT_RETURN) block = left_indirectly(cpu, record != NULL);
        else if (record == HOST_EXIT_FAULT || record == HOST_EXIT_RAISED) take_fault(cpu);
        else block = left_by_record(cpu, record);
    } while (block && !engine->stepwise && !engine->watcher && !__atomic_load_n(&cpu->poll, __ATOMIC_RELAXED));
}

static void interpret(Cpu *cpu, const KirBlock *kir) {
    Counters *counters = &cpu->engine->counters;
    count_more(&counters->interp_blocks, 1);
    count_more(&counters->interp_insns, kir->guest_insns);
    KirException code = KIR_EXC_RESUME;
    switch (interp_run(cpu, kir, &code)) {
    case INTERP_CONTINUE: break;
    case INTERP_EXCEPTION: raise_exception(cpu, code); break;
    case INTERP_FAULT: take_fault(cpu); break;
    }
}

static void step_interpreted(Cpu *cpu) { interpret(cpu, engine_block(cpu->engine, cpu->pc, cpu->mode)->kir); }
static void step_one_insn(Cpu *cpu) {
    cpu->one_insn = false;
    interpret(cpu, engine_one_insn(cpu));
}

static void update_mode(Cpu *cpu) {
    uint32_t mode = cpu->engine->guest->mode(cpu);
    if (mode == cpu->mode) return;
    cpu->mode = mode;
    clear_ibc(cpu); // its entries are keyed by pc alone
}

static EngineWatch ask_watcher(Cpu *cpu) {
    EngineWatcher watcher = __atomic_load_n(&cpu->engine->watcher, __ATOMIC_ACQUIRE);
    return watcher ? watcher(cpu) : WATCH_GO_ON;
}

void engine_run(Cpu *cpu) {
    current_cpu = cpu;
    bool interpreted = cpu->engine->options.tier == TIER_INTERP;
    bool traced = cpu->engine->options.log_mask & (ENGINE_LOG_EXEC | ENGINE_LOG_CPU);
    if (traced) cpu->engine->stepwise = true;
    while (!cpu->exiting) {
        if (__atomic_load_n(&cpu->poll, __ATOMIC_ACQUIRE)) {
            count_more(&cpu->engine->counters.polls, 1);
            cpu->engine->hooks.poll(cpu);
            continue;
        }
        // A request whose poll word was cleared before its cache was emptied. A signal may come at any point here: what it asked for
        // stands in `poll`, which is looked at again after the cache is back.
        if (__atomic_load_n(&cpu->ibc, __ATOMIC_RELAXED) != cpu->ibc_real) {
            __atomic_store_n(&cpu->ibc, cpu->ibc_real, __ATOMIC_SEQ_CST);
            if (__atomic_load_n(&cpu->poll, __ATOMIC_SEQ_CST)) continue;
        }
        EngineWatch watch = ask_watcher(cpu);
        if (watch == WATCH_AGAIN) continue;
        update_mode(cpu);
        if (traced) dump_execution(cpu);
        world_enter(cpu);
        if (watch == WATCH_ONE_INSN || cpu->one_insn) step_one_insn(cpu);
        else if (interpreted) step_interpreted(cpu);
        else step_fast(cpu);
        world_leave(cpu);
    }
}

void engine_stats(Engine *engine, FILE *out) {
#define COUNTER(name, meaning) fprintf(out, "%-26s %14llu  %s\n", #name, (unsigned long long)engine->counters.name, meaning);
#include "engine/counters.def"
#undef COUNTER
}
