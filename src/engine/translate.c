// SPDX-License-Identifier: MIT
//
// From a guest pc to a block: fetch, guest to KIR, passes, host code. The pipeline is `translate`; what it meets with (full code
// memory, a block too long for the host's spill slots) is dealt with by its caller.
#include "engine/internal.h"
#include "base/error.h"
#include <stdlib.h>
#include <string.h>
#include "debug/dump.h"
#include "debug/perf.h"
#include <time.h>

enum { DEFAULT_MAX_INSNS = 64 };
// The interpreter's blocks may take this much before all are forgotten.
enum { MOST_KIR_BYTES = 64 << 20 };

static uint64_t nanoseconds_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t engine_nanoseconds(void) { return nanoseconds_of(CLOCK_MONOTONIC); }
uint64_t engine_processor_nanoseconds(void) { return nanoseconds_of(CLOCK_PROCESS_CPUTIME_ID); }

static KirBlock *to_kir(Engine *engine, Arena *arena, uint64_t pc, uint32_t mode, unsigned max_insns, bool for_block) {
    KirBlock *kir = kir_block_new(arena, &engine->guest->world, pc, mode);
    kir->pinned = host_pinned(engine->host);
    if (engine->hooks.image) kir->image_valid = engine->hooks.image(pc, &kir->image_base);
    KirBuilder builder;
    kir_builder_init(&builder, kir);
    Counted *counted = for_block && engine->options.count ? count_block(engine, pc) : NULL;
    if (counted) kir_count(&builder, (uintptr_t)counted->blocks);
    GuestTranslation t = {.builder = &builder,
                          .pc = pc,
                          .mode = mode,
                          .features = engine->options.features,
                          .max_insns = max_insns,
                          .fetch = code_fetch,
                          .context = engine};
    t.size = code_begin(engine, pc, max_insns, for_block);
    t.bytes = engine->code.bytes;
    engine->guest->translate(&t);
    if (counted) counted->insns[0] = kir->guest_insns;
    engine->counters.kir_insns_built += kir->count;
    dump_guest_code(engine, kir, t.bytes, t.size);
    dump_kir(engine, kir, false);
    kir_optimise(kir, engine->options.disabled_passes | engine->skipped_passes);
    dump_kir(engine, kir, true);
    return kir;
}

KirBlock *engine_raw_kir(Engine *engine, Arena *arena, const Block *block, KirCount *count) {
    KirBlock *kir = kir_block_new(arena, &engine->guest->world, block->pc, block->mode);
    kir->pinned = host_pinned(engine->host);
    KirBuilder builder;
    kir_builder_init(&builder, kir);
    if (count) kir_count(&builder, (uintptr_t)count);
    GuestTranslation t = {.builder = &builder,
                          .pc = block->pc,
                          .bytes = block->code,
                          .size = block->guest_bytes,
                          .mode = block->mode,
                          .features = engine->options.features,
                          .max_insns = block->guest_insns};
    if (!block->code) {
        t.size = code_begin(engine, block->pc, block->guest_insns, false);
        t.bytes = engine->code.bytes;
        t.fetch = code_fetch;
        t.context = engine;
    }
    engine->guest->translate(&t);
    return kir;
}

KirBlock *translate_path(Engine *engine, Block *const *blocks, uint32_t count, uint32_t times, KirCount *counts) {
    arena_reset(&engine->scratch);
    const KirBlock *kirs[HOT_MAX_BLOCKS];
    for (uint32_t i = 0; i < count * times; i++)
        kirs[i] = i < count ? engine_raw_kir(engine, &engine->scratch, blocks[i], counts ? &counts[i] : NULL) : kirs[i - count];
    unsigned joined;
    KirBlock *path = kir_path(&engine->scratch, kirs, count * times, &joined);
    kir_optimise(path, engine->options.disabled_passes | engine->skipped_passes);
    return path;
}

static bool is_annotated(const Engine *engine, uint64_t pc) {
    const HotAnnotations *a = engine->options.annotations;
    for (unsigned i = 0; a && i < a->count; i++) {
        uint64_t address = a->list[i].value, offset = 0;
        const char *name = a->list[i].symbol ? engine->hooks.symbol(pc, &offset) : NULL;
        if (a->list[i].symbol ? name && offset == address && !strcmp(name, a->list[i].symbol) : address == pc) return true;
    }
    return false;
}

static Block *new_block(Engine *engine, const KirBlock *kir) {
    Block *block = arena_alloc(&engine->blocks.arena, sizeof *block);
    block->pc = kir->pc;
    block->mode = kir->mode;
    block->guest_bytes = kir->guest_bytes;
    block->guest_insns = kir->guest_insns;
    hot_head_init(&block->hot, &engine->options.hot);
    block->annotated = block->loop_head = is_annotated(engine, block->pc);
    return block;
}

static void *keep(Engine *engine, const void *array, size_t size) {
    if (!size) return NULL;
    void *copy = arena_alloc(&engine->blocks.arena, size);
    return memcpy(copy, array, size);
}

// The fault table and the list of exits outlive the translation's scratch arena.
static void keep_tables(Engine *engine, Block *block) {
    HostCompiled *host = &block->host;
    host->faults = keep(engine, host->faults, host->fault_count * sizeof *host->faults);
    host->entries = keep(engine, host->entries, host->entry_count * sizeof *host->entries);
    host->exits = keep(engine, host->exits, host->exit_count * sizeof *host->exits);
    for (uint32_t i = 0; i < host->exit_count; i++) host->exits[i]->block = block;
}

static void count(Engine *engine, const Block *block, const KirBlock *kir) {
    Counters *c = &engine->counters;
    c->blocks_translated++;
    c->guest_insns_translated += block->guest_insns;
    c->guest_bytes_translated += block->guest_bytes;
    c->host_bytes_emitted += block->host.size;
    c->kir_insns_emitted += kir->count;
    c->fallbacks_translated += block->host.fallbacks;
    c->helper_calls_translated += block->host.helper_calls;
}

// With the lock held, by a thread that holds no block itself. `reason`: of what becomes of the traces.
static void flush(Engine *engine, Reason reason) {
    world_stop(engine);
    engine->counters.code_flushes++;
    engine->epoch++;
    engine->block_epoch++;
    if (engine->tracing) trace_cache_reset(engine, reason);
    block_table_reset(&engine->blocks);
    code_memory_reset(&engine->memory);
    arena_reset(&engine->kir);
    code_forget(engine);
    host_write_stubs(engine->host, &engine->memory);
    perf_restart(engine);
    world_clear_caches(engine);
    if (engine->tracing) world_clear_tallies(engine);
    world_resume(engine);
}

void engine_forget_code(Engine *engine) {
    if (!engine->memory.write_delta) return;
    code_memory_after_fork(&engine->memory, &engine->traces.memory);
    flush(engine, REASON_FLUSHED);
}

void engine_memory_is_shared(Engine *engine) {
    world_lock(engine);
    if (!engine->memory_shared) {
        engine->memory_shared = true;
        host_memory_is_shared(engine->host);
        if (engine->blocks.by_address->count) flush(engine, REASON_RETRACTED);
    }
    world_unlock(engine);
}

void engine_faults_are_handled(Engine *engine) {
    world_lock(engine);
    bool first = !engine->fault_handler;
    engine->fault_handler = true;
    if (first && engine->counters.traces_second) traces_retract(engine);
    world_unlock(engine);
}

// NULL: out of room, or *max_insns was made smaller; try again.
static Block *translate(Engine *engine, uint64_t pc, uint32_t mode, bool counts, unsigned *max_insns) {
    arena_reset(&engine->scratch);
    bool interpreted = engine->options.tier == TIER_INTERP;
    if (engine->kir.size > MOST_KIR_BYTES) flush(engine, REASON_FLUSHED);
    KirBlock *kir = to_kir(engine, interpreted ? &engine->kir : &engine->scratch, pc, mode, *max_insns, true);
    if (interpreted) {
        Block *block = new_block(engine, kir);
        block->kir = kir;
        return block;
    }
    HostCompiled compiled = {0};
    HeadRecord *counter = counts ? head_new_counter(engine) : NULL;
    if (!host_compile(engine->host, &engine->memory, kir, counter, &engine->scratch, &compiled)) {
        if (!compiled.too_complex) flush(engine, REASON_FLUSHED);
        else if (*max_insns > 1) *max_insns /= 2;
        else bug("the instruction at %#lx has no host code", (unsigned long)pc);
        return NULL;
    }
    Block *block = new_block(engine, kir);
    block->host = compiled;
    if (counter) {
        counter->owner = block;
        counter->code = compiled.code;
        block->counter = counter;
    }
    block->entry = block_own_code(block);
    keep_tables(engine, block);
    count(engine, block, kir);
    dump_host_code(engine, block);
    perf_block(engine, block);
    return block;
}

// Mode block: a trace of its own for each.
static void trace_of_block(Engine *engine, Block *block) {
    if (trace_limit_reached(engine)) {
        engine->reasons[REASON_TRACE_LIMIT]++;
        return;
    }
    hot_state_to_head(&block->hot.state);
    hot_state_change(&block->hot.state, HOT_TRACE_HEAD, HOT_OPTIMIZED);
    TracePlan plan = {.blocks = malloc(sizeof *plan.blocks), .count = 1, .path = 1, .loop = -1};
    if (!plan.blocks) fatal("out of memory for a path");
    plan.blocks[0] = block;
    Reason reason;
    Trace *trace = trace_make_first(engine, plan, &reason);
    if (trace) trace_made(engine, trace);
}

static Block *make_block(Engine *engine, uint64_t pc, uint32_t mode, bool counts) {
    uint64_t start = engine->options.measure ? engine_nanoseconds() : 0;
    unsigned max_insns = engine->options.max_block_insns ? engine->options.max_block_insns : DEFAULT_MAX_INSNS;
    max_insns = watch_max_insns(engine, pc, max_insns);
    Block *block;
    do block = translate(engine, pc, mode, counts, &max_insns);
    while (!block);
    block_insert(&engine->blocks, block);
    code_keep(engine, block);
    bool traced = engine->tracing && engine->options.mode == ENGINE_BLOCK;
    if (traced && !(current_cpu && current_cpu->may_vanish)) trace_of_block(engine, block);
    if (engine->options.measure) engine->counters.translate_ns += engine_nanoseconds() - start;
    return block;
}

Block *engine_block(Engine *engine, uint64_t pc, uint32_t mode, bool counts) {
    Block *block = block_find(&engine->blocks, pc, mode);
    if (block) return block;
    world_lock(engine);
    block = block_find(&engine->blocks, pc, mode); // another thread may have made it meanwhile
    if (!block) block = make_block(engine, pc, mode, counts);
    world_unlock(engine);
    return block;
}

const KirBlock *engine_one_insn(Cpu *cpu) {
    Engine *engine = cpu->engine;
    world_lock(engine);
    arena_reset(&cpu->stepped);
    const KirBlock *kir = to_kir(engine, &cpu->stepped, cpu->pc, cpu->mode, 1, false);
    world_unlock(engine);
    return kir;
}
