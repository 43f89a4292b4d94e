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
    host_patch(&engine->memory, record->jump, target->entry);
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
        host_patch(&engine->memory, record->jump, record->stub);
        engine->counters.links_unpatched++;
    }
    block->incoming = NULL;
}

// Costs what was used: untouched pages stay untouched.
void clear_ibc(Cpu *cpu) {
    for (uint64_t used = cpu->ibc_used; used; used &= used - 1)
        memset(cpu->ibc_real + (size_t)__builtin_ctzll(used) * IBC_PART, 0, IBC_PART * sizeof *cpu->ibc_real);
    cpu->ibc_used = 0;
    guard_ibc(cpu->ibc_real);
}

void guard_ibc(IbcEntry *entries) { entries[0].pc = entries[CPU_IBC_ENTRIES].pc = ~0ull; }

// What a thread's own cache says of one pc.
void forget_target(Cpu *cpu, uint64_t pc) {
    size_t index = ibc_index(cpu->engine, pc);
    for (size_t i = index; i < 2 * CPU_IBC_ENTRIES; i += CPU_IBC_ENTRIES)
        if (cpu->ibc_real[i].pc == pc) cpu->ibc_real[i].pc = ~0ull;
}

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
