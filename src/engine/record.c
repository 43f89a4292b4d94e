// SPDX-License-Identifier: MIT
//
// Recording: from a hot head on, the next blocks are executed one at a time by the interpreter, and src/hot decides where the path ends.
//
// The interpreter runs a block from its KIR, which costs less than making an unlinked copy of its host code, and blocks that are not
// recorded pay nothing (figures: docs/trace-selection.md).
#include "engine/internal.h"
#include "base/error.h"
#include <stdlib.h>
#include <string.h>

enum { LINKS = 16 };

typedef struct Recording {
    Engine *engine;
    HotRecorder rec;
    Block *blocks[HOT_MAX_BLOCKS];       // as in rec
    const KirBlock *kir[HOT_MAX_BLOCKS]; // in the engine's arena of recordings
    bool returns[HOT_MAX_BLOCKS];        // its indirect jump goes back to where the path has called from
    uint64_t links[LINKS];               // return addresses of calls on the path
    unsigned calls;
    uint64_t epoch; // blocks are gone when the engine's block_epoch differs
} Recording;

// One recording at a time may use the arena; another thread that wants to record meanwhile runs on without.
static bool claim(Engine *engine) { return !__atomic_exchange_n(&engine->recording, true, __ATOMIC_ACQUIRE); }
static void release(Engine *engine) { __atomic_store_n(&engine->recording, false, __ATOMIC_RELEASE); }

// ---- indirect jumps --------------------------------------------------------------------------------------------------------------------
// A path follows an indirect jump behind a comparison with where it went. That pays where it nearly always goes there: returns to a
// call on the path, and jumps that went the same way each time they were recorded.
static void note_call(Recording *r, uint64_t link) { r->links[r->calls++ % LINKS] = link; }

static bool is_return_to_call(Recording *r, uint64_t pc) {
    if (!r->calls || r->links[(r->calls - 1) % LINKS] != pc) return false;
    r->calls--;
    return true;
}

static void note_indirect(Recording *r, unsigned i, KirJumpHint hint, uint64_t pc) {
    Block *block = r->blocks[i];
    r->returns[i] = hint == KIR_JUMP_RETURN && is_return_to_call(r, pc);
    if (hint == KIR_JUMP_CALL) note_call(r, block->pc + block->guest_bytes);
    if (r->returns[i]) return;
    if (block->target_samples && block->target != pc) block->many_targets = true;
    block->target = pc;
    if (block->target_samples < UINT8_MAX) block->target_samples++;
}

static void note_branch(Block *block, bool taken) {
    enum { ENOUGH = 128 };
    if (block->branch_samples == ENOUGH) {
        block->branch_samples /= 2;
        block->branch_taken /= 2;
    }
    block->branch_samples++;
    block->branch_taken += taken;
}

static bool goes_to_taken(const KirBlock *kir, uint64_t pc) { return kir->exits[kir->insns[kir->count - 1].b].target == pc; }

// Execution has gone on at pc behind the newest block.
static void note_edge(Recording *r, uint64_t pc) {
    unsigned i = r->rec.count - 1;
    const KirBlock *kir = r->kir[i];
    const KirInsn *exit = &kir->insns[kir->count - 1];
    if (exit->op == KIR_EXIT_COND) note_branch(r->blocks[i], goes_to_taken(kir, pc));
    if (exit->op == KIR_EXIT_IND) note_indirect(r, i, (KirJumpHint)exit->aux, pc);
    else if (exit->op == KIR_EXIT && kir->exits[exit->a].hint == KIR_JUMP_CALL) note_call(r, kir->exits[exit->a].link);
}

static bool is_indirect(const Recording *r, unsigned i) {
    return r->kir[i] && r->kir[i]->insns[r->kir[i]->count - 1].op == KIR_EXIT_IND;
}

static bool is_trusted(const Recording *r, unsigned i) {
    if (!is_indirect(r, i) || r->returns[i]) return true;
    return !r->blocks[i]->many_targets && r->blocks[i]->target_samples >= r->engine->options.hot.samples;
}

// The last block did not run to its end, or nobody saw where it went: a path ends there, and its jump does not matter.
static bool ends_inside(const Recording *r) {
    return r->rec.reason == REASON_EXCEPTION || r->rec.reason == REASON_INTERRUPTED || r->rec.reason == REASON_CODE_GONE;
}

// Some jump has not been seen often enough to be trusted or not.
static bool is_undecided(const Recording *r) {
    unsigned count = r->rec.count - ends_inside(r);
    for (unsigned i = 0; i < count; i++)
        if (!is_trusted(r, i) && !r->blocks[i]->many_targets) return true;
    return false;
}

// All recordings count, those of other heads too: what few have seen is taken to be steady.
static bool is_unsteady(const Recording *r, unsigned i) {
    const Block *block = r->blocks[i];
    const KirBlock *kir = r->kir[i];
    if (kir->insns[kir->count - 1].op != KIR_EXIT_COND) return false;
    unsigned taken = block->branch_taken, samples = block->branch_samples;
    return hot_is_unsteady(&r->engine->options.hot, goes_to_taken(kir, r->blocks[i + 1]->pc) ? taken : samples - taken, samples);
}

static void end_at_unsteady_branch(Recording *r) {
    for (unsigned i = 0; i + 1 < r->rec.count; i++)
        if (is_unsteady(r, i)) hot_record_cut(&r->rec, i + 1, REASON_UNSTEADY);
}

// ---- executing -----------------------------------------------------------------------------------------------------------------------
// The block that execution has reached. NULL: the recording is over.
static Block *arrive(Recording *r, Cpu *cpu, const KirBlock *from) {
    Engine *engine = r->engine;
    if (__atomic_load_n(&cpu->poll, __ATOMIC_RELAXED) || engine_breakpoint_at(engine, cpu->pc)) {
        hot_record_stop(&r->rec, REASON_INTERRUPTED);
        return NULL;
    }
    Block *block = engine_block(engine, cpu->pc, cpu->mode, false);
    if (engine->block_epoch != r->epoch) {
        hot_record_stop(&r->rec, REASON_CODE_GONE);
        return NULL;
    }
    note_edge(r, cpu->pc);
    HotStep step = {.block = block->id, .backward = block->pc < from->pc + from->guest_bytes, .loop_head = block->loop_head};
    if (!hot_record_next(&r->rec, step)) return NULL;
    r->blocks[r->rec.count - 1] = block;
    return block;
}

// NULL: waiting for the lock has cost the block.
static const KirBlock *raw_kir(Recording *r, const Block *block) {
    const KirBlock *kir = NULL;
    world_lock(r->engine);
    if (r->engine->block_epoch == r->epoch) kir = engine_raw_kir(r->engine, &r->engine->recorded, block, NULL);
    world_unlock(r->engine);
    return kir;
}

static void execute_path(Recording *r, Cpu *cpu, RunOutcome *outcome) {
    Block *block = r->blocks[0];
    do {
        const KirBlock *kir = raw_kir(r, block);
        if (!kir) {
            hot_record_stop(&r->rec, REASON_CODE_GONE);
            break;
        }
        r->kir[r->rec.count - 1] = kir;
        *outcome = run_interpreter(cpu, kir);
        count_more(&r->engine->counters.recorded_insns, kir->guest_insns);
        if (outcome->how != INTERP_CONTINUE) {
            hot_record_stop(&r->rec, REASON_EXCEPTION);
            break;
        }
        block = arrive(r, cpu, kir);
    } while (block);
}

// ---- what becomes of it ----------------------------------------------------------------------------------------------------------------
static unsigned index_of(const Recording *r, uint32_t id) {
    for (unsigned i = 0; i < r->rec.count; i++)
        if (r->blocks[i]->id == id) return i;
    bug("block %u is not in the recording", id);
}

static bool connected(void *context, uint32_t from, uint32_t to) {
    const Recording *r = context;
    unsigned i = index_of(r, from);
    return is_trusted(r, i) && kir_leads_to(r->kir[i], r->blocks[index_of(r, to)]->pc);
}

static TracePlan plan_of(const Recording *r, const HotPath *path) {
    TracePlan plan = {.blocks = malloc(path->count * sizeof *plan.blocks),
                      .count = path->count,
                      .path = path->count,
                      .loop = path->loop,
                      .shape = (uint8_t)path->shape,
                      .reason = (uint8_t)path->end};
    if (!plan.blocks) fatal("out of memory for a path");
    for (unsigned i = 0; i < path->count; i++) plan.blocks[i] = r->blocks[index_of(r, path->blocks[i])];
    return plan;
}

static bool all_valid(const Recording *r) {
    for (unsigned i = 0; i < r->rec.count; i++)
        if (r->blocks[i]->invalid) return false;
    return true;
}

// A function that calls itself is no loop: each round has a frame of its own, and there are few of them.
static bool closes_by_call(const Recording *r, const HotPath *path) {
    const KirBlock *last = r->kir[index_of(r, path->blocks[path->count - 1])];
    const KirInsn *exit = &last->insns[last->count - 1];
    return exit->op == KIR_EXIT && last->exits[exit->a].hint == KIR_JUMP_CALL;
}

static void make(Recording *r, HotPath *path) {
    Engine *engine = r->engine;
    if (path->loop >= 0 && closes_by_call(r, path)) {
        path->loop = -1;
        path->shape = HOT_STRAIGHT;
    }
    Block *head = r->blocks[index_of(r, path->blocks[0])];
    // The head of an inner cycle may have a trace already, or never have counted.
    if (head->trace) return;
    hot_state_to_head(&head->hot.state);
    if (hot_head_given_up(&head->hot, &engine->options.hot)) return;
    if (path->cut != REASON_NONE) engine->reasons[path->cut]++;
    if (trace_limit_reached(engine)) {
        engine->reasons[REASON_TRACE_LIMIT]++;
        return;
    }
    Reason reason = REASON_NONE;
    hot_state_change(&head->hot.state, HOT_TRACE_HEAD, HOT_OPTIMIZED);
    if (path->shape == HOT_O) head->loop_head = true;
    Trace *trace = trace_make_first(engine, plan_of(r, path), &reason);
    if (trace) {
        trace_made(engine, trace);
        return;
    }
    engine->reasons[reason]++;
    head_fail(engine, head, reason);
}

static void finish(Recording *r) {
    Engine *engine = r->engine;
    Block *head = r->blocks[0];
    HotPaths paths = {.dropped = REASON_CODE_GONE};
    engine->counters.recordings++;
    engine->counters.recorded_blocks += r->rec.count;
    if (!ends_inside(r)) end_at_unsteady_branch(r);
    engine->reasons[r->rec.reason]++;
    if (all_valid(r) && is_undecided(r)) {
        engine->reasons[REASON_UNDECIDED]++;
        head_again(engine, head);
        return;
    }
    if (all_valid(r)) hot_paths(&r->rec, &engine->options.hot, connected, r, &paths);
    for (unsigned i = 0; i < paths.count; i++) make(r, &paths.path[i]);
    if (paths.dropped == REASON_NONE || head->trace) return;
    engine->reasons[paths.dropped]++;
    head_fail(engine, head, paths.dropped);
}

// Somebody else is recording: the head counts again.
static Block *record_later(Cpu *cpu, Block *head) {
    Engine *engine = cpu->engine;
    uint64_t epoch = engine->block_epoch;
    world_lock(engine);
    bool there = engine->block_epoch == epoch;
    if (there) head_fail(engine, head, REASON_INTERRUPTED);
    world_unlock(engine);
    return there && !head->invalid ? head : NULL;
}

Block *record_path(Cpu *cpu, Block *head) {
    Engine *engine = cpu->engine;
    if (!claim(engine)) return record_later(cpu, head);
    Recording r = {.engine = engine, .epoch = engine->block_epoch};
    RunOutcome outcome = {.how = INTERP_CONTINUE};
    hot_record_start(&r.rec, &engine->options.hot, head->id);
    r.blocks[0] = head;
    execute_path(&r, cpu, &outcome);
    world_lock(engine);
    if (engine->block_epoch == r.epoch) finish(&r);
    arena_reset(&engine->recorded); // under the lock like all that allocates: a fork finds the allocator free
    world_unlock(engine);
    release(engine);
    if (outcome.how != INTERP_CONTINUE) {
        take_outcome(cpu, outcome);
        return NULL;
    }
    return cpu->poll ? NULL : engine_block(engine, cpu->pc, cpu->mode, false);
}
