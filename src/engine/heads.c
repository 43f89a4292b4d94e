// SPDX-License-Identifier: MIT
//
// Heads: blocks that may begin a trace, and count their executions until it is decided.
//
// A block's slot is its `entry`: links to it and caches of indirect targets lead there. Redirecting it redirects the links, each with
// one aligned store; a block that is no head has nothing in its code that would cost it anything.
//
//   ACTIVE       entry = own code
//   TRACE_HEAD   entry = a counter in front of its own code; at zero the path is recorded
//   OPTIMIZED    entry = the trace
//
// A thread whose cache of indirect targets still holds an older entry goes on there: to the plain code, which is right and slower, or to
// a counter, which brings it here, where its cache is set right.
#include "engine/internal.h"
#include "base/error.h"
#include "debug/perf.h"

void head_relink(Engine *engine, Block *block) {
    for (ExitRecord *record = block->incoming; record; record = record->next)
        host_patch(&engine->memory, record_jump(record), trace_entry_from(record, block));
}

// The engine's blocks alone: a trace has been entered through its head.
static bool may_count(const Engine *engine, const Block *block) {
    return !block->invalid && !block->trace && !hot_head_given_up(&block->hot, &engine->options.hot);
}

HeadRecord *head_new_counter(Engine *engine) {
    HeadRecord *counter = code_data_alloc(&engine->memory, sizeof *counter);
    uint32_t tally = code_tally_alloc(&engine->memory, 1);
    if (!counter || !tally) return NULL;
    *counter = (HeadRecord){.counter = tally};
    return counter;
}

// So many executions by the calling thread until it leaves. Others arm theirs when they come by.
static void arm(const HeadRecord *counter, uint32_t executions) { *cpu_tally(current_cpu, counter->counter) = -executions; }

static void arm_head(const Block *block) {
    uint32_t threshold = block->hot.threshold;
    arm(block->counter, threshold < 1 ? 1 : threshold < INT32_MAX ? threshold : INT32_MAX);
}

TraceTallies *tallies_of(Cpu *cpu, const HeadRecord *counter) { return (TraceTallies *)(void *)cpu_tally(cpu, counter->counter); }

void tallies_arm(Cpu *cpu, const HeadRecord *counter, uint32_t executions) {
    *tallies_of(cpu, counter) = (TraceTallies){.counter = -executions, .armed = executions};
}

static bool add_counter(Engine *engine, Block *block) {
    HeadRecord *counter = head_new_counter(engine);
    if (!counter) return false;
    counter->owner = block;
    counter->code = host_write_counter(engine->host, &engine->memory, counter, block->host.code);
    if (!counter->code) return false;
    block->counter = counter;
    perf_counter(engine, block);
    return true;
}

void head_count(Engine *engine, Block *block) {
    if (!may_count(engine, block) || (!block->counter && !add_counter(engine, block))) return;
    if (!hot_state_to_head(&block->hot.state)) return;
    arm_head(block);
    block->entry = block->counter->code;
    head_relink(engine, block);
    engine->counters.heads++;
}

// Where paths merge, a block is soon met twice. A loop has a backward branch, and may be entered in the middle of a block, so that
// its head is new when that branch leads there: once it is linked nobody comes by any more. A call backwards is a loop only where the
// function is called from elsewhere too; else it is on its caller's path.
static bool is_head(const Engine *engine, HotArrival how, HeadWay way, unsigned sightings) {
    unsigned enough = engine->options.hot.sightings;
    if (way == HEAD_BACKWARD) enough = 1;
    if (way == HEAD_CALL_BACKWARD && enough > 2) enough = 2;
    return hot_is_potential_head(&engine->options.hot, how, sightings >= enough, way != HEAD_FORWARD);
}

bool head_at_once(const Engine *engine, HotArrival how, HeadWay way) { return engine->tracing && is_head(engine, how, way, 1); }

void head_arrival(Engine *engine, Block *block, HotArrival how, HeadWay way) {
    if (block->sightings < UINT8_MAX) block->sightings++;
    if (__atomic_load_n(&block->hot.state, __ATOMIC_RELAXED) != HOT_NONE) return;
    if (!is_head(engine, how, way, block->sightings)) return;
    uint64_t epoch = engine->epoch;
    world_lock(engine);
    if (engine->epoch == epoch) head_count(engine, block);
    world_unlock(engine);
}

void head_again(Engine *engine, Block *block) {
    enum { SOON = 8 };
    if (block->invalid || hot_head_fail(&block->hot, &engine->options.hot, REASON_INTERRUPTED) != REASON_NONE) return;
    head_count(engine, block);
    if (block->hot.state == HOT_TRACE_HEAD) arm(block->counter, SOON);
}

void head_fail(Engine *engine, Block *block, Reason reason) {
    if (block->invalid) return;
    if (hot_head_fail(&block->hot, &engine->options.hot, reason) == REASON_GIVEN_UP) {
        engine->reasons[REASON_GIVEN_UP]++;
        return;
    }
    head_count(engine, block);
}

// ---- a counter has reached zero ---------------------------------------------------------------------------------------------------------
// The path is recorded by one thread: the first that comes here. Until it is done the block runs as it is.
static bool begin_recording(Engine *engine, Block *block) {
    uint64_t epoch = engine->block_epoch;
    world_lock(engine);
    bool mine = engine->block_epoch == epoch && !block->invalid && block->hot.state == HOT_TRACE_HEAD &&
                block->entry == block->counter->code;
    if (mine) {
        block->entry = block_own_code(block);
        head_relink(engine, block);
    }
    world_unlock(engine);
    return mine;
}

static bool counts(const Block *block) { return __atomic_load_n(&block->hot.state, __ATOMIC_RELAXED) == HOT_TRACE_HEAD; }

static Block *block_hot(Cpu *cpu, Block *block) {
    Engine *engine = cpu->engine;
    bool counted = *cpu_tally(cpu, block->counter->counter) == 0;
    if (!counted && !block->invalid && counts(block)) { // this thread comes by for the first time
        arm_head(block);
        refresh_target(cpu, block);
        return block;
    }
    uint64_t epoch = engine->block_epoch;
    if (!begin_recording(engine, block)) {
        if (engine->block_epoch != epoch) return NULL;
        refresh_target(cpu, block);
        return block->invalid ? NULL : block;
    }
    return record_path(cpu, block);
}

static Block *trace_hot(Cpu *cpu, Trace *trace) {
    Engine *engine = cpu->engine;
    Block *head = trace->head;
    uint64_t epoch = engine->epoch;
    world_lock(engine);
    if (engine->epoch == epoch) {
        trace_counted(engine, trace);
        epoch = engine->epoch;
    }
    world_unlock(engine);
    if (engine->epoch != epoch || head->invalid) return NULL;
    refresh_target(cpu, head);
    return head;
}

// For a process that makes no traces: it goes on, and others will come by. Executions that it has counted are lost.
static Block *leave_to_others(Cpu *cpu, HeadRecord *record) {
    enum { LATER = 1000 };
    Trace *trace = record->of_trace ? record->owner : NULL;
    Block *head = trace ? trace->head : record->owner;
    cpu->pc = head->pc;
    if (trace) tallies_arm(cpu, record, LATER);
    else arm(record, LATER);
    return head->invalid ? NULL : head;
}

Block *head_hot(Cpu *cpu, HeadRecord *record) {
    if (cpu->may_vanish) return leave_to_others(cpu, record);
    if (record->of_trace) {
        Trace *trace = record->owner;
        cpu->pc = trace->code.pc;
        return trace_hot(cpu, trace);
    }
    Block *block = record->owner;
    cpu->pc = block->pc;
    return block_hot(cpu, block);
}
