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
#include "base/sanitize.h"
#include "debug/dump.h"
#include "debug/perf.h"
#include "debug/report.h"
#include "interp/interp.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

__thread Cpu *current_cpu;

// What a thread that is asked to stop looks its indirect exits up in; one for all.
static IbcEntry empty_ibc[2 * CPU_IBC_ENTRIES];

static Cpu *fresh_cpu(void) {
    CpuMemory *memory = mmap(NULL, sizeof(CpuMemory), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return NULL;
    guard_ibc(memory->ibc);
    memory->cpu.ibc_real = memory->ibc;
    return &memory->cpu;
}

// The fast tier finds dead values by itself, on its way through the block; the pass is for readers of dumps and for the interpreter.
static uint32_t skipped_passes(const EngineOptions *options) {
    if (options->tier != TIER_FAST || options->log_mask & ENGINE_LOG_OP_OPT) return 0;
    for (uint32_t i = 0; kir_passes[i].name; i++)
        if (!strcmp(kir_passes[i].name, "dead-code")) return 1u << i;
    return 0;
}

// Execution that is watched block by block has no paths.
static bool is_tracing(const EngineOptions *options) {
    return options->mode != ENGINE_NONE && options->tier == TIER_FAST && !options->no_link && options->max_block_insns != 1 &&
           !(options->log_mask & (ENGINE_LOG_EXEC | ENGINE_LOG_CPU));
}

Engine *engine_new(const Guest *guest, const EngineHooks *hooks, const EngineOptions *options) {
    Engine *engine = calloc(1, sizeof *engine);
    if (!engine) fatal("out of memory");
    engine->guest = guest;
    engine->hooks = *hooks;
    engine->options = *options;
    block_table_init(&engine->blocks);
    engine->tracing = is_tracing(options);
    engine->optimizer.channel = -1;
    code_memory_init(&engine->memory, &engine->traces.memory, engine->tracing ? options->trace_cache : 0);
    if (engine->tracing) trace_cache_init(&engine->traces);
    engine->host = host_new(guest, &engine->options, &engine->memory);
    empty_ibc[0].pc = empty_ibc[CPU_IBC_ENTRIES].pc = ~0ull;
    engine->skipped_passes = skipped_passes(options);
    if (options->report) engine->report = report_new();
    perf_start(engine);
    return engine;
}

const Guest *engine_guest(const Engine *engine) { return engine->guest; }
const EngineOptions *engine_options(const Engine *engine) { return &engine->options; }
Counters *engine_counters(Engine *engine) { return &engine->counters; }

// All but the cache and the tallies, which may be those of a thread that has ended.
static void copy_state(Cpu *cpu, const Cpu *from) {
    IbcEntry *entries = cpu->ibc_real;
    uint64_t used = cpu->ibc_used, second_used = cpu->ibc_second_used;
    uint32_t mask = cpu->ibc_mask, fills = cpu->ibc_fills;
    bool other_mode = cpu->mode != from->mode; // its entries are keyed by pc alone
    uint8_t stale = cpu->stale | (other_mode ? CPU_STALE_IBC : 0);
    *cpu = *from;
    cpu->ibc_real = entries;
    cpu->ibc_used = used;
    cpu->ibc_second_used = second_used;
    cpu->ibc_mask = mask;
    cpu->ibc_fills = fills;
    cpu->stale = stale;
}

Cpu *cpu_new(Engine *engine, const Cpu *from) {
    world_begin_add(engine); // copies what the lists of threads go through
    Cpu *cpu = from ? world_take_spare(engine) : NULL;
    if (!cpu) cpu = fresh_cpu();
    if (!cpu) {
        world_end_add(engine, NULL);
        if (!from) fatal("out of memory for the state of a thread");
        return NULL;
    }
    if (from) copy_state(cpu, from);
    cpu->engine = engine;
    cpu->ibc = cpu->ibc_real;
    if (!cpu->ibc_mask) use_few_entries(cpu);
    cpu->poll = 0;
    cpu->exiting = cpu->may_vanish = false;
    cpu->raised = -1;
    cpu->in_interpreter = false;
    cpu->interp_jump = NULL;
    cpu->inside = 0;
    cpu->tid = 0;
    cpu->one_insn = false;
    cpu->stepped = (Arena){0};
    if (!from) {
        cpu->guest_mxcsr = cpu->host_mxcsr = host_default_fpenv();
        engine->guest->reset(cpu);
    }
    world_end_add(engine, cpu);
    return cpu;
}

static void give_back(Cpu *cpu) {
    const uint64_t *evaluated = cpu_memory(cpu)->evaluated;
    for (int op = 0; op < KIR_OP_COUNT; op++)
        if (evaluated[op]) __atomic_fetch_add(&cpu->engine->evaluated[op], evaluated[op], __ATOMIC_RELAXED);
    munmap(cpu->ibc_real, sizeof(CpuMemory));
}

void cpu_release(Cpu *cpu) {
    arena_free(&cpu->stepped);
    give_back(cpu);
}

void cpu_free(Cpu *cpu) {
    arena_free(&cpu->stepped);
    if (!world_remove(cpu->engine, cpu)) give_back(cpu);
}

// ---- asking a thread to stop --------------------------------------------------------------------------------------------
INTERRUPTS_SANITIZER void engine_poll_request(Cpu *cpu) {
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

static HeadWay way_of(const ExitRecord *record) {
    const Block *from = record->block;
    if (record->target >= from->pc + from->guest_bytes && record->target != from->pc) return HEAD_FORWARD;
    return record->hint == KIR_JUMP_CALL ? HEAD_CALL_BACKWARD : HEAD_BACKWARD;
}

// The block that comes next, where that is known; the caller may go on there as long as it stays inside.
static Block *left_by_record(Cpu *cpu, ExitRecord *record) {
    Engine *engine = cpu->engine;
    cpu->pc = record->target;
    if (record->kind == KIR_EXIT_EXCEPTION) {
        if (record->code == KIR_EXC_MISALIGNED_ADDRESS) cpu->fault.address = cpu->fault_address;
        raise_exception(cpu, (KirException)record->code);
        return NULL;
    }
    if (!record->jump || cpu->poll) return NULL;
    // Making the target may empty the code memory, and the record with it.
    uint64_t epoch = engine->epoch;
    HotArrival how = record->block->is_trace ? HOT_BY_TRACE_EXIT : HOT_BY_LINK;
    HeadWay way = way_of(record);
    Block *target = engine_block(engine, cpu->pc, cpu->mode, head_at_once(engine, how, way));
    if (engine->epoch != epoch) return NULL;
    if (engine->tracing) {
        head_arrival(engine, target, how, way);
        if (engine->epoch != epoch) return NULL;
    }
    link_exit(engine, record, target);
    return engine->epoch == epoch && !target->invalid ? target : NULL;
}

static Block *left_indirectly(Cpu *cpu, bool is_return) {
    Engine *engine = cpu->engine;
    if (cpu->poll || engine->options.no_link || engine_breakpoint_at(engine, cpu->pc)) return NULL;
    bool counts = !is_return && head_at_once(engine, HOT_BY_INDIRECT, HEAD_FORWARD);
    Block *target = engine_block(engine, cpu->pc, cpu->mode, counts);
    if (engine->tracing && !is_return) { // what a call returns to is on the path of whoever calls
        uint64_t epoch = engine->epoch;
        head_arrival(engine, target, HOT_BY_INDIRECT, HEAD_FORWARD);
        if (engine->epoch != epoch || target->invalid) return NULL;
    }
    remember_target(cpu, target, is_return);
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

static bool is_head(const void *record) { return ((uintptr_t)record & HOST_HEAD_TAG_MASK) == HOST_HEAD_TAG; }

static void count_way_out(Counters *c, const void *record) {
    uint64_t *counter = &c->left_direct;
    if (!record || record == HOST_EXIT_RETURN) counter = &c->left_indirect;
    else if (record == HOST_EXIT_FAULT || record == HOST_EXIT_RAISED) counter = &c->left_fault;
    else if (is_head(record)) counter = &c->left_counted;
    else if (((const ExitRecord *)record)->kind == KIR_EXIT_EXCEPTION) counter = &c->left_exception;
    count_more(counter, 1);
}

// Runs blocks until a hook has been called or somebody wants to look between two of them.
static void step_fast(Cpu *cpu) {
    Engine *engine = cpu->engine;
    Block *block = engine_block(engine, cpu->pc, cpu->mode, head_at_once(engine, HOT_BY_ENGINE, HEAD_FORWARD));
    if (engine->tracing) {
        uint64_t epoch = engine->epoch;
        head_arrival(engine, block, HOT_BY_ENGINE, HEAD_FORWARD);
        if (engine->epoch != epoch || block->invalid) return;
    }
    do {
        count_more(&engine->counters.dispatches, 1);
        host_enter(engine->host, cpu, block->entry);
        void *record = cpu->exit_record;
        block = NULL;
        count_way_out(&engine->counters, record);
        if (!record || record == HOST_EXIT_RETURN) block = left_indirectly(cpu, record != NULL);
        else if (record == HOST_EXIT_FAULT || record == HOST_EXIT_RAISED) take_fault(cpu);
        else if (is_head(record)) block = head_hot(cpu, (HeadRecord *)((uint8_t *)record - HOST_HEAD_TAG));
        else block = left_by_record(cpu, record);
    } while (block && !engine->stepwise && !engine->watcher && !__atomic_load_n(&cpu->poll, __ATOMIC_RELAXED));
}

RunOutcome run_interpreter(Cpu *cpu, const KirBlock *kir) {
    RunOutcome outcome = {.code = KIR_EXC_RESUME};
    outcome.how = interp_run(cpu, kir, &outcome.code);
    return outcome;
}

void take_outcome(Cpu *cpu, RunOutcome outcome) {
    switch (outcome.how) {
    case INTERP_CONTINUE: break;
    case INTERP_EXCEPTION: raise_exception(cpu, outcome.code); break;
    case INTERP_FAULT: take_fault(cpu); break;
    }
}

static void interpret(Cpu *cpu, const KirBlock *kir) {
    Counters *counters = &cpu->engine->counters;
    count_more(&counters->interp_blocks, 1);
    count_more(&counters->interp_insns, kir->guest_insns);
    take_outcome(cpu, run_interpreter(cpu, kir));
}

static void step_interpreted(Cpu *cpu) { interpret(cpu, engine_block(cpu->engine, cpu->pc, cpu->mode, false)->kir); }
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

// Between two runs of generated code; not each time, as it is a system call.
static void take_answers(Engine *engine) {
    enum { EVERY = 16 };
    if (++engine->optimizer.passed % EVERY) return;
    world_lock(engine);
    optimizer_take(engine);
    world_unlock(engine);
}

static void look_at_counters(Engine *engine) {
    world_lock(engine);
    report_sample(engine);
    world_unlock(engine);
}

void engine_run(Cpu *cpu) {
    current_cpu = cpu;
    __atomic_store_n(&cpu->tid, gettid(), __ATOMIC_RELAXED);
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
        if (cpu->engine->optimizer.waiting && !cpu->may_vanish) take_answers(cpu->engine);
        if (traced) dump_execution(cpu);
        if (cpu->engine->report) look_at_counters(cpu->engine);
        world_enter(cpu);
        if (watch == WATCH_ONE_INSN || cpu->one_insn) step_one_insn(cpu);
        else if (interpreted) step_interpreted(cpu);
        else step_fast(cpu);
        world_leave(cpu);
    }
}

static void print_reasons(const Engine *engine, FILE *out) {
    for (unsigned reason = REASON_NONE + 1; reason < REASON_COUNT; reason++) {
        if (!engine->reasons[reason]) continue;
        fprintf(out, "reason %-19s %14llu  %s\n", reason_name(reason), (unsigned long long)engine->reasons[reason],
                reason_meaning(reason));
    }
}

// Of threads that still run, roughly: they go on counting.
static uint64_t evaluations(const Engine *engine, int op) {
    uint64_t count = engine->evaluated[op];
    for (Cpu *cpu = engine->cpus; cpu; cpu = cpu->next) count += cpu_memory(cpu)->evaluated[op];
    for (Cpu *cpu = engine->spares; cpu; cpu = cpu->next) count += cpu_memory(cpu)->evaluated[op];
    return count;
}

static void print_fallbacks(Engine *engine, FILE *out) {
    uint64_t all = 0;
    world_lock(engine);
    for (int op = 0; op < KIR_OP_COUNT; op++) {
        uint64_t count = evaluations(engine, op);
        all += count;
        if (count)
            fprintf(out, "fallback %-17s %14llu  times generated code called the evaluator for it\n", kir_op_info[op].name,
                    (unsigned long long)count);
    }
    world_unlock(engine);
    fprintf(out, "%-26s %14llu  %s\n", "fallbacks_executed", (unsigned long long)all, "times generated code called the evaluator");
}

// By tier, where executions are counted.
static void print_insns(const Engine *engine, FILE *out) {
    static const char *const lines[COUNT_TIERS][2] = {
        [COUNT_INTERPRETED] = {"insns_interpreted", "guest instructions executed by the interpreter"},
        [COUNT_BLOCKS] = {"insns_blocks", "guest instructions executed in blocks"},
        [COUNT_FIRST] = {"insns_first", "guest instructions executed in first forms of traces"},
        [COUNT_SECOND] = {"insns_second", "guest instructions executed in second forms of traces"}};
    uint64_t insns[COUNT_TIERS], all = 0;
    count_by_tier(engine, insns);
    for (unsigned tier = 0; tier < COUNT_TIERS; tier++) {
        fprintf(out, "%-26s %14llu  %s\n", lines[tier][0], (unsigned long long)insns[tier], lines[tier][1]);
        all += insns[tier];
    }
    fprintf(out, "%-26s %14llu  %s\n", "insns_all", (unsigned long long)all, "guest instructions executed");
}

void engine_stats(Engine *engine, FILE *out) {
#define COUNTER(name, meaning) fprintf(out, "%-26s %14llu  %s\n", #name, (unsigned long long)engine->counters.name, meaning);
#include "engine/counters.def"
#undef COUNTER
    fprintf(out, "%-26s %14u  %s\n", "requests_waiting", engine->optimizer.waiting, "second forms asked for and not answered yet");
    if (engine->options.count) print_insns(engine, out);
    print_fallbacks(engine, out);
    print_reasons(engine, out);
}

void engine_report(Engine *engine, FILE *out, char *const *command) {
    world_lock(engine);
    report_write(engine, out, command);
    world_unlock(engine);
}

void engine_write_out(void) { perf_write_out(); }
