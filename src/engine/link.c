// SPDX-License-Identifier: MIT
//
// Links between blocks: direct exits are patched to their target's code and listed there, so that an invalidated block can
// send them back to their stubs. Indirect exits find their targets in the thread's cache.
#include "engine/internal.h"
#include <string.h>

static void link_locked(Engine *engine, ExitRecord *record, Block *target) {
    if (record->linked || record->block->invalid || target->invalid || record->block->mode != target->mode) return;
    if (engine_breakpoint_at(engine, target->pc)) return;
    record->linked = target;
    record->next = target->incoming;
    target->incoming = record;
    host_patch(&engine->memory, record_jump(record), trace_entry_from(record, target));
    engine->counters.links_patched++;
}

void link_exit(Engine *engine, ExitRecord *record, Block *target) {
    if (!record->jump || engine->options.no_link) return;
    // Waiting for the lock is being outside: the code memory may be emptied meanwhile, and the record with it.
    uint64_t epoch = engine->epoch;
    world_lock(engine);
    if (engine->epoch == epoch) link_locked(engine, record, target);
    world_unlock(engine);
}

void unlink_incoming(Engine *engine, Block *block) {
    for (ExitRecord *record = block->incoming, *next; record; record = next) {
        next = record->next;
        record->linked = NULL;
        record->next = NULL;
        host_patch(&engine->memory, record_jump(record), record_stub(record));
        engine->counters.links_unpatched++;
    }
    block->incoming = NULL;
}

// ---- the cache of indirect targets ------------------------------------------------------------------------------------------
static unsigned step_log2(const Engine *engine) { return engine->guest->min_insn_bytes == 4 ? 2 : 1; }

static void use_entries(Cpu *cpu, uint32_t count) { cpu->ibc_mask = (count - 1) << step_log2(cpu->engine); }

void use_few_entries(Cpu *cpu) { use_entries(cpu, CPU_IBC_FEW); }

// A cache that has many entries is never one of few again: what stands at its place among few is not looked up any more, by nobody.
static void use_more_entries(Cpu *cpu) {
    enum { MANY = 1000 };
    if (cpu->ibc_fills <= MANY && ++cpu->ibc_fills > MANY) use_entries(cpu, CPU_IBC_ENTRIES);
}

// Where a pc stands in the half for jumps; its place in the half for returns is CPU_IBC_ENTRIES further on.
static size_t index_by_pc(const Cpu *cpu, uint64_t pc) { return ((uint32_t)pc & cpu->ibc_mask) >> step_log2(cpu->engine); }

static size_t index_by_hash(uint64_t pc) {
    return ((uint32_t)pc * CPU_IBC_HASH >> (32 - CPU_IBC_SECOND_LOG2)) + 2 * CPU_IBC_ENTRIES;
}

// Part by part: a 64th of what is ordered by pc, or by hash.
static void clear_parts(IbcEntry *entries, size_t part, uint64_t used) {
    for (; used; used &= used - 1) memset(entries + (size_t)__builtin_ctzll(used) * part, 0, part * sizeof *entries);
}

// Costs what was used: untouched pages stay untouched.
void clear_ibc(Cpu *cpu) {
    clear_parts(cpu->ibc_real, IBC_PART, cpu->ibc_used);
    clear_parts(cpu->ibc_real + 2 * CPU_IBC_ENTRIES, IBC_SECOND_PART, cpu->ibc_second_used);
    cpu->ibc_used = cpu->ibc_second_used = 0;
    guard_ibc(cpu->ibc_real);
}

void guard_ibc(IbcEntry *entries) { entries[0].pc = entries[CPU_IBC_ENTRIES].pc = entries[2 * CPU_IBC_ENTRIES].pc = ~0ull; }

static void fill(Cpu *cpu, size_t index, uint64_t pc, const void *code) {
    if (index < 2 * CPU_IBC_ENTRIES) cpu->ibc_used |= UINT64_C(1) << index / IBC_PART;
    else cpu->ibc_second_used |= UINT64_C(1) << (index - 2 * CPU_IBC_ENTRIES) / IBC_SECOND_PART;
    cpu->ibc_real[index].code = (void *)(uintptr_t)code;
    cpu->ibc_real[index].pc = pc;
}

void remember_target(Cpu *cpu, const Block *target, bool is_return) {
    use_more_entries(cpu);
    size_t index = index_by_pc(cpu, target->pc) + (is_return ? CPU_IBC_ENTRIES : 0);
    const IbcEntry other = cpu->ibc_real[index];
    fill(cpu, index, target->pc, target->entry);
    if (!other.code || other.pc == ~0ull || other.pc == target->pc) return;
    // Two targets want the place. Generated code brings them back there, to either half, from where both are found by hash.
    uint64_t both_halves = UINT64_C(1) << index / IBC_PART | UINT64_C(1) << (index ^ CPU_IBC_ENTRIES) / IBC_PART;
    cpu->ibc_used |= both_halves;
    fill(cpu, index_by_hash(other.pc), other.pc, other.code);
    fill(cpu, index_by_hash(target->pc), target->pc, target->entry);
}

// What a thread's own cache says of one pc.
static void places_of(const Cpu *cpu, uint64_t pc, size_t places[3]) {
    places[0] = index_by_pc(cpu, pc);
    places[1] = places[0] + CPU_IBC_ENTRIES;
    places[2] = index_by_hash(pc);
}

void forget_target(Cpu *cpu, uint64_t pc) {
    size_t places[3];
    places_of(cpu, pc, places);
    for (int i = 0; i < 3; i++)
        if (cpu->ibc_real[places[i]].pc == pc) cpu->ibc_real[places[i]].pc = ~0ull;
}

void refresh_target(Cpu *cpu, const Block *block) {
    size_t places[3];
    places_of(cpu, block->pc, places);
    for (int i = 0; i < 3; i++)
        if (cpu->ibc_real[places[i]].pc == block->pc) cpu->ibc_real[places[i]].code = (void *)(uintptr_t)block->entry;
}

// ---- blocks that are gone -----------------------------------------------------------------------------------------------------

void forget_block(void *context, Block *block) {
    Engine *engine = context;
    block_remove(&engine->blocks, block);
    if (current_cpu) forget_target(current_cpu, block->pc);
    hot_state_change(&block->hot.state, block->hot.state, HOT_INVALID);
    traces_invalidate(engine, block);
    unlink_incoming(engine, block);
    engine->counters.blocks_invalidated++;
}

static void note(void *context, Block *block) {
    (void)block;
    *(bool *)context = true;
}

static bool has_code(Engine *engine, uint64_t start, uint64_t end) {
    bool found = false;
    blocks_in_range(&engine->blocks, start, end, note, &found);
    return found;
}

bool engine_has_code(Engine *engine, uint64_t start, uint64_t end) {
    world_lock(engine);
    bool found = has_code(engine, start, end);
    world_unlock(engine);
    return found;
}

void engine_invalidate(Engine *engine, uint64_t start, uint64_t end) {
    world_lock(engine);
    if (has_code(engine, start, end)) {
        world_stop(engine);
        blocks_in_range(&engine->blocks, start, end, forget_block, engine);
        world_blocks_gone(engine);
        world_resume(engine);
    }
    guard_open(engine, start, end);
    world_unlock(engine);
}
