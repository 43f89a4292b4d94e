// SPDX-License-Identifier: MIT
#include "engine/internal.h"
#include <string.h>

static Counted *new_counted(Engine *engine, CountTier tier, uint64_t pc, uint32_t count) {
    Arena *arena = &engine->counted_memory;
    Counted *counted = arena_alloc(arena, sizeof *counted);
    *counted = (Counted){.next = engine->counted, .tier = tier, .pc = pc, .count = count};
    counted->blocks = arena_alloc(arena, count * sizeof *counted->blocks);
    counted->insns = arena_alloc(arena, count * sizeof *counted->insns);
    return engine->counted = counted;
}

Counted *count_block(Engine *engine, uint64_t pc) {
    return new_counted(engine, engine->options.tier == TIER_INTERP ? COUNT_INTERPRETED : COUNT_BLOCKS, pc, 1);
}

Counted *count_trace(Engine *engine, const TracePlan *plan, CountTier tier) {
    Counted *counted = new_counted(engine, tier, plan->blocks[0]->pc, plan->count);
    for (uint32_t i = 0; i < plan->count; i++) counted->insns[i] = plan->blocks[i]->guest_insns;
    return counted;
}

// In a first form the rounds of a loop follow each other, and each COUNT of a round is a block of the path.
static uint32_t block_of(const Trace *trace, uint32_t part) {
    if (!part) return 0;
    return trace->form == TRACE_FIRST ? (part - 1) % trace->plan.path : part - 1;
}

void count_take_exits(Engine *engine, const Trace *trace) {
    Counted *counted = trace->counted;
    const HostCompiled *host = &trace->code.host;
    if (!counted) return;
    if (!counted->exits) {
        counted->exits = arena_alloc(&engine->counted_memory, (host->exit_count + 1) * sizeof *counted->exits);
        counted->exit_count = host->exit_count;
    }
    for (uint32_t i = 0; i < host->exit_count; i++) {
        const CountedExit *exit = (const CountedExit *)host->exits[i];
        counted->exits[i] = (ExitSum){.target = exit->record.target,
                                      .count = exit->count,
                                      .block = block_of(trace, exit->part),
                                      .kind = exit->record.kind,
                                      .polls = exit->record.kind == KIR_EXIT_DIRECT && !exit->record.jump};
    }
}

void count_by_tier(const Engine *engine, uint64_t insns[COUNT_TIERS]) {
    memset(insns, 0, COUNT_TIERS * sizeof *insns);
    insns[COUNT_INTERPRETED] = engine->counters.interp_insns + engine->counters.recorded_insns;
    for (const Counted *c = engine->counted; c; c = c->next)
        for (uint32_t i = 0; i < c->count && c->tier != COUNT_INTERPRETED; i++) // those are in interp_insns
            insns[c->tier] += __atomic_load_n(&c->blocks[i].executed, __ATOMIC_RELAXED) * c->insns[i];
}

void count_restart(Engine *engine) {
    for (Counted *c = engine->counted; c; c = c->next) {
        memset(c->blocks, 0, c->count * sizeof *c->blocks);
        for (uint32_t i = 0; i < c->exit_count; i++) c->exits[i].count = 0;
    }
    for (Trace *trace = engine->traces.oldest; trace; trace = trace->next)
        for (uint32_t i = 0; trace->counted && i < trace->code.host.exit_count; i++)
            ((CountedExit *)trace->code.host.exits[i])->count = 0;
    engine->counters.interp_insns = engine->counters.recorded_insns = 0;
    memset(engine->evaluated, 0, sizeof engine->evaluated);
    for (Cpu *cpu = engine->cpus; cpu; cpu = cpu->next) memset(cpu_memory(cpu)->evaluated, 0, sizeof cpu_memory(cpu)->evaluated);
    for (Cpu *cpu = engine->spares; cpu; cpu = cpu->next) memset(cpu_memory(cpu)->evaluated, 0, sizeof cpu_memory(cpu)->evaluated);
}
