// SPDX-License-Identifier: MIT
//
// The connection to kiln-opt, and when a trace asks for its second form.
//
// The optimizer is a process of its own that the Linux layer starts with the first request (hook optimizer_hub). Nothing here waits for it,
// but for the modes hybrid-sync and block: a request is one packet that is sent or not, and answers are looked for when a trace that asked
// has counted down again, and between two runs of generated code. If the optimizer is missing or dies, traces stay in their first form.
#include "engine/internal.h"
#include "base/channel.h"
#include "base/error.h"
#include "debug/dump.h"
#include "debug/report.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MOST_WAITING = 32,       // requests without answer
    CHECK_AFTER_NS = 100000, // roughly, while an answer is awaited; each time twice as long,
    MOST_DOUBLINGS = 7,      // so often
    WAIT_MS = 20000,         // hybrid-sync: an optimizer that is silent for so long is taken for dead
    ASSUMED_INSNS_PER_US = 2000,
};

uint32_t engine_assumptions(const Engine *engine) {
    const EngineOptions *options = &engine->options;
    bool exact =
        engine->fault_handler || options->exact_faults || options->guard_code || engine->watcher; // a debugger shows registers
    return (engine->memory_shared || engine->options.shared_memory ? 0 : TRACE_PRIVATE_MEMORY) |
           (exact ? 0 : TRACE_NO_FAULT_HANDLER);
}

// ---- side ways -----------------------------------------------------------------------------------------------------------------------
// What a call leads to is another function: no side way goes there.
static bool may_be_side_way(uint8_t kind, uint8_t hint) { return kind == KIR_EXIT_DIRECT && hint != KIR_JUMP_CALL; }

// A block that a direct exit leads to has been executed if it is there.
static unsigned known_successors(void *context, uint32_t id, uint32_t *out, unsigned room) {
    const Engine *engine = context;
    const Block *block = block_by_id(&engine->blocks, id);
    unsigned count = 0;
    for (uint32_t i = 0; block && i < block->host.exit_count && count < room; i++) {
        const ExitRecord *exit = block->host.exits[i];
        if (!may_be_side_way(exit->kind, exit->hint)) continue;
        const Block *to = block_find(&engine->blocks, exit->target, block->mode);
        if (to) out[count++] = to->id;
    }
    return count;
}

// The trace's path with what NETPlus knows by now.
static HotPath region_of(Engine *engine, const Trace *trace) {
    const TracePlan *plan = &trace->plan;
    HotPath path = {.count = plan->path, .loop = plan->loop, .shape = (HotShape)plan->shape};
    for (uint32_t i = 0; i < plan->path; i++) path.blocks[i] = plan->blocks[i]->id;
    hot_netplus(&path, &engine->options.hot, plan->blocks[0]->annotated, known_successors, engine);
    return path;
}

// A trace that asks for its second form has run for a while.
static void widen(Engine *engine, Trace *trace) {
    HotPath path = region_of(engine, trace);
    Block *added[HOT_MAX_BLOCKS];
    for (uint32_t i = 0; i < path.added; i++) added[i] = block_by_id(&engine->blocks, path.blocks[path.count + i]);
    trace_widen(trace, added, path.added);
}

// ---- the request ---------------------------------------------------------------------------------------------------------------------
static int32_t index_of_pc(const TracePlan *plan, uint64_t pc) {
    for (uint32_t i = 0; i < plan->count; i++)
        if (plan->blocks[i]->pc == pc) return (int32_t)i;
    return TRACE_LEAVES;
}

// On the path a block leads to the next one, the last one to the loop. With side ways each exit to a block of the trace stays inside.
static int32_t next_on_path(const TracePlan *plan, uint32_t i) {
    if (i >= plan->path) return TRACE_LEAVES;
    return i + 1 < plan->path ? (int32_t)i + 1 : plan->loop;
}

static void describe_block(TraceBlock *out, Arena *arena, const TracePlan *plan, uint32_t i, bool inside) {
    const KirBlock *kir = out->kir;
    int32_t *next = arena_alloc(arena, (kir->exit_count + 1) * sizeof *next), expected = next_on_path(plan, i);
    for (uint32_t exit = 0; exit < kir->exit_count; exit++) {
        next[exit] = TRACE_LEAVES;
        if (kir->exits[exit].kind != KIR_EXIT_DIRECT) continue;
        int32_t target = index_of_pc(plan, kir->exits[exit].target);
        if (target == expected || (inside && may_be_side_way(kir->exits[exit].kind, kir->exits[exit].hint))) next[exit] = target;
    }
    out->next = next;
    out->next_indirect = kir->insns[kir->count - 1].op == KIR_EXIT_IND ? expected : TRACE_LEAVES;
    out->weight = i < plan->path ? 100 : 10;
}

// Where a block comes to an instruction that another one of the trace begins with, the optimizer goes on there (opt/graph.c).
static uint32_t insns_of_its_own(const TracePlan *plan, const KirBlock *kir) {
    uint32_t insns = 0;
    for (uint32_t i = 0; i < kir->count; i++) {
        if (kir->insns[i].op != KIR_INSN) continue;
        if (insns && index_of_pc(plan, kir->insns[i].imm) != TRACE_LEAVES) break;
        insns++;
    }
    return insns;
}

static size_t build_request(Engine *engine, uint64_t id, const TracePlan *plan, uint32_t heat, Counted *counted, uint8_t **bytes) {
    Arena *arena = &engine->scratch;
    arena_reset(arena);
    TraceBlock *blocks = arena_alloc(arena, plan->count * sizeof *blocks);
    for (uint32_t i = 0; i < plan->count; i++) {
        blocks[i].kir = engine_raw_kir(engine, arena, plan->blocks[i], counted ? &counted->blocks[i] : NULL);
        if (counted) counted->insns[i] = insns_of_its_own(plan, blocks[i].kir);
        describe_block(&blocks[i], arena, plan, i, engine->options.hot.netplus);
    }
    const EngineOptions *options = &engine->options;
    TraceRequest request = {.id = id,
                            .heat = heat,
                            .assumptions = engine_assumptions(engine),
                            .options = options->optimizer_options,
                            .disabled_passes = options->optimizer_disabled,
                            .world = engine->guest->world,
                            .blocks = blocks,
                            .block_count = plan->count};
    host_describe(engine->host, &request);
    size_t size = trace_request_write(&request, NULL, 0);
    *bytes = malloc(size);
    if (!*bytes) fatal("out of memory for a request to the optimizer");
    trace_request_write(&request, *bytes, size);
    return size;
}

// ---- the connection ------------------------------------------------------------------------------------------------------------------
// REASON_NONE: there is a channel.
static Reason connect_to(Engine *engine, bool wait) {
    Optimizer *o = &engine->optimizer;
    if (o->absent || !engine->hooks.optimizer_hub) return REASON_NO_OPTIMIZER;
    int hub = engine->hooks.optimizer_hub(wait);
    if (hub < -1) return REASON_NOT_NOW;
    if (o->channel >= 0) return REASON_NONE;
    ChannelOutcome outcome = hub < 0 ? CHANNEL_BROKEN : channel_open(hub, &o->channel);
    if (outcome == CHANNEL_AGAIN) return REASON_QUEUE_FULL;
    if (outcome != CHANNEL_OK || !engine->hooks.keep_fd(&o->channel)) o->absent = true;
    return o->absent ? REASON_NO_OPTIMIZER : REASON_NONE;
}

static void lose(Engine *engine) {
    Optimizer *o = &engine->optimizer;
    if (o->channel >= 0) engine->hooks.close_fd(&o->channel);
    o->absent = true;
    engine->counters.requests_failed += o->waiting;
    o->waiting = 0;
    engine->reasons[REASON_OPTIMIZER_DIED]++;
}

static TracePlan copy_of(const TracePlan *plan) {
    TracePlan copy = *plan;
    copy.blocks = malloc(plan->count * sizeof *copy.blocks);
    if (!copy.blocks) fatal("out of memory for a trace");
    memcpy(copy.blocks, plan->blocks, plan->count * sizeof *copy.blocks);
    return copy;
}

static bool is_stale(const Engine *engine, const Trace *trace) {
    if (!trace->live || trace->code.invalid || trace->asked_under != engine_assumptions(engine)) return true;
    for (uint32_t i = 0; i < trace->plan.count; i++)
        if (trace->plan.blocks[i]->invalid) return true;
    return false;
}

static void take_result(Engine *engine, const TraceResult *result) {
    Trace *trace = trace_by_id(&engine->traces, result->id);
    Reason reason = (Reason)result->reason;
    engine->optimizer.spent_ns += result->compile_ns;
    if (trace && reason == REASON_NONE)
        hot_cost_measured(&engine->compile_cost, &engine->options.hot, trace->ops, result->compile_ns);
    if (reason == REASON_NONE && (!trace || is_stale(engine, trace))) reason = REASON_STALE;
    if (reason == REASON_NONE && trace_limit_reached(engine)) reason = REASON_TRACE_LIMIT;
    if (reason == REASON_NONE) {
        dump_trace_text(engine, trace, result);
        report_text(engine, result);
        trace->wish = TRACE_REFUSED; // should the new one be evicted first, this one is out of use anyway
        HotPurchase purchase = trace->purchase;
        purchase.price_ns += result->compile_ns;
        purchase.since_ns = engine_processor_nanoseconds();
        Trace *second = trace_make_second(engine, copy_of(&trace->plan), trace->counted_second, result, &reason);
        if (second) {
            second->purchase = purchase;
            return;
        }
        trace = trace_by_id(&engine->traces, result->id); // room was made: it may be gone
    }
    engine->reasons[reason]++;
    engine->counters.requests_failed++;
    report_refused(engine, result->id, reason);
    if (!trace) return;
    trace->wish = reason == REASON_STALE || reason == REASON_QUEUE_FULL ? TRACE_NOT_ASKED : TRACE_REFUSED;
    trace_arm(engine, trace);
}

static bool take_one(Engine *engine) {
    Optimizer *o = &engine->optimizer;
    uint8_t *data;
    size_t size;
    ChannelOutcome outcome = channel_receive(o->channel, &data, &size);
    if (outcome == CHANNEL_AGAIN) return false;
    if (outcome != CHANNEL_OK) {
        lose(engine);
        return false;
    }
    if (o->waiting) o->waiting--;
    Arena arena = {0};
    TraceResult result;
    if (trace_result_read(&arena, &result, data, size)) take_result(engine, &result);
    else engine->reasons[REASON_BAD_RESULT]++, engine->counters.requests_failed++;
    arena_free(&arena);
    free(data);
    return true;
}

// There may be answers, and this process has the channel: one that shares the memory, but not the descriptors, has not.
static bool may_take(const Engine *engine) {
    const Optimizer *o = &engine->optimizer;
    return o->channel >= 0 && o->waiting && engine->hooks.optimizer_hub(false) >= -1;
}

void optimizer_take(Engine *engine) {
    while (may_take(engine) && take_one(engine)) {}
}

static void wait_for_answer(Engine *engine) {
    Optimizer *o = &engine->optimizer;
    while (o->channel >= 0 && o->waiting) {
        struct pollfd p = {.fd = o->channel, .events = POLLIN};
        int ready = poll(&p, 1, WAIT_MS);
        if (ready < 0 && errno == EINTR) continue;
        if (ready > 0) optimizer_take(engine);
        else lose(engine);
    }
}

Reason optimizer_ask(Engine *engine, uint64_t id, const TracePlan *plan, uint32_t heat, Counted *counted, bool wait) {
    Optimizer *o = &engine->optimizer;
    Reason reason = connect_to(engine, wait);
    if (reason != REASON_NONE) return reason;
    if (o->waiting >= MOST_WAITING) return REASON_QUEUE_FULL;
    uint8_t *bytes;
    size_t size = build_request(engine, id, plan, heat, counted, &bytes);
    if (engine->options.requests && !o->unwritable) o->unwritable = !dump_request(engine, id, bytes, size);
    ChannelOutcome outcome = channel_send(o->channel, bytes, size);
    free(bytes);
    if (outcome == CHANNEL_AGAIN) return REASON_QUEUE_FULL;
    if (outcome == CHANNEL_TOO_LARGE) return REASON_REQUEST_TOO_LARGE;
    if (outcome != CHANNEL_OK) {
        lose(engine);
        return REASON_OPTIMIZER_DIED;
    }
    engine->counters.requests++;
    o->waiting++;
    if (wait) wait_for_answer(engine);
    return REASON_NONE;
}

// The number stays where it is, so that the descriptor remains hidden.
void engine_without_optimizer(Engine *engine) { engine->optimizer.absent = true; }

void optimizer_after_fork(Engine *engine) {
    Optimizer *o = &engine->optimizer;
    if (o->channel >= 0 && !o->absent) engine->hooks.close_fd(&o->channel);
    engine->counters.requests_failed += o->waiting;
    o->waiting = 0;
    o->spent_ns = 0; // the new process has used no time of its own, and has paid for nothing
    for (Trace *trace = engine->traces.oldest; trace; trace = trace->next) {
        if (trace->wish == TRACE_ASKED) trace->wish = TRACE_NOT_ASKED;
        trace->made_ns = 0;
        trace->purchase = (HotPurchase){0};
    }
}

// A trace that is known, after something that may have evicted it.
static Trace *still_there(const Engine *engine, Trace *trace, uint64_t id, uint64_t epoch) {
    return engine->epoch == epoch ? trace : trace_by_id(&engine->traces, id);
}

// ---- when a trace asks ---------------------------------------------------------------------------------------------------------------
static HotCost cost_of(const Trace *trace) {
    return (HotCost){.executions = trace->executions,
                     .insns = trace->guest_insns,
                     .floats = trace->floats,
                     .ops = trace->ops,
                     .loop = trace->plan.loop >= 0,
                     .completed = trace->completed};
}

static uint64_t worth(const Engine *engine, const Trace *trace) {
    if (engine->options.second_after >= 0) {
        uint64_t after = (uint64_t)engine->options.second_after;
        return after > trace->executions ? after - trace->executions : 0;
    }
    HotCost cost = cost_of(trace);
    return hot_worth(&cost, &engine->options.hot, &engine->compile_cost);
}

// What second forms have not earned yet, of all that was spent.
static uint64_t outstanding(const Engine *engine, uint64_t now) {
    uint64_t spent = engine->optimizer.spent_ns, earned = 0;
    for (const Trace *trace = engine->traces.oldest; trace; trace = trace->next)
        if (trace->form == TRACE_SECOND) earned += hot_earned(&trace->purchase, now);
    return spent > earned ? spent - earned : 0;
}

static uint64_t start_ns(const Engine *engine) {
    return engine->optimizer.started ? 0 : engine->options.hot.start_us * UINT64_C(1000);
}

// What was asked for and is not answered yet is taken to cost as much as this one.
static bool within_budget(const Engine *engine, const Trace *trace) {
    if (engine->options.second_after >= 0) return true;
    const HotParams *params = &engine->options.hot;
    uint64_t price = hot_cost_expected(&engine->compile_cost, params, trace->ops), next = price * (engine->optimizer.waiting + 1);
    uint64_t now = engine_processor_nanoseconds();
    return hot_within_budget(params, outstanding(engine, now), next + start_ns(engine), now);
}

// The trace has asked: what it will cost and may earn.
static void note_purchase(Engine *engine, Trace *trace) {
    HotCost cost = cost_of(trace);
    uint64_t now = engine_processor_nanoseconds();
    trace->purchase = (HotPurchase){.price_ns = start_ns(engine),
                                    .saving_ns = hot_saving(&cost, &engine->options.hot),
                                    .within_ns = now > trace->made_ns ? now - trace->made_ns : 0};
    engine->optimizer.spent_ns += start_ns(engine);
    engine->optimizer.started = true;
}

static void ask(Engine *engine, Trace *trace) {
    if (trace_limit_reached(engine)) {
        engine->reasons[REASON_TRACE_LIMIT]++;
        report_refused(engine, trace->id, REASON_TRACE_LIMIT);
        trace->wish = TRACE_REFUSED;
        return;
    }
    if (!within_budget(engine, trace)) {
        engine->reasons[REASON_BUDGET]++;
        return;
    }
    bool wait = engine->options.mode != ENGINE_HYBRID;
    trace->wish = TRACE_ASKED;
    trace->asked_under = engine_assumptions(engine);
    widen(engine, trace);
    uint64_t heat = trace->executions * trace->guest_insns >> 10, id = trace->id, epoch = engine->epoch;
    // Where it asks another time, it may know more side ways than the first time.
    if (engine->options.count && (!trace->counted_second || trace->counted_second->count != trace->plan.count))
        trace->counted_second = count_trace(engine, &trace->plan, COUNT_SECOND);
    Counted *counted = trace->counted_second;
    report_asked(engine, trace);
    note_purchase(engine, trace);
    Reason reason = optimizer_ask(engine, id, &trace->plan, heat > UINT32_MAX ? UINT32_MAX : (uint32_t)heat, counted, wait);
    trace = still_there(engine, trace, id, epoch);
    if (reason == REASON_NONE) {
        if (trace) trace->looks = 0;
        return;
    }
    engine->reasons[reason]++;
    report_refused(engine, id, reason);
    if (trace) trace->wish = reason == REASON_QUEUE_FULL || reason == REASON_NOT_NOW ? TRACE_NOT_ASKED : TRACE_REFUSED;
}

void trace_made(Engine *engine, Trace *trace) {
    if (worth(engine, trace) == 0) ask(engine, trace);
}

// Executions until an answer, or room for a request, is looked for.
static uint64_t until_next_look(Trace *trace) {
    uint64_t us = (uint64_t)CHECK_AFTER_NS / 1000 << trace->looks;
    if (trace->looks < MOST_DOUBLINGS) trace->looks++;
    return us * ASSUMED_INSNS_PER_US / (trace->guest_insns * trace->rounds + 1);
}

static uint64_t scaled(uint64_t count, uint64_t by, uint64_t of) { return (uint64_t)((double)count * (double)by / (double)of); }

// What a first form counts of itself costs as much as its better code gains, or more, so it counts what is seldom. For its first executions a
// loop counts each time it is entered and each time it comes to its end; how the two are related is taken to stay so, and it goes on with
// one of them: its ends, which are fewer, as it is unrolled there, and as a loop that goes round by several ways is entered again and again.
void trace_arm(Engine *engine, Trace *trace) {
    enum { SAMPLE = 10000 };
    uint64_t count = INT32_MAX, more = worth(engine, trace);
    bool never = engine->optimizer.absent || more == UINT64_MAX;
    if (never && (trace->wish == TRACE_NOT_ASKED || engine->optimizer.absent)) trace->wish = TRACE_REFUSED;
    if (trace->wish == TRACE_NOT_ASKED && more) count = more / trace->rounds + (more % trace->rounds != 0);
    else if (trace->wish != TRACE_REFUSED) count = until_next_look(trace);
    if (trace->wish == TRACE_REFUSED) trace_stop_counting(engine, trace);
    else if (trace->by_rounds) count = scaled(count, trace->sample_ended, trace->sample_entered);
    else if (!trace->sampled && trace->plan.loop == 0 && count > SAMPLE) count = SAMPLE;
    if (count < 1) count = 1;
    if (count > INT32_MAX) count = INT32_MAX;
    tallies_arm(current_cpu, trace->counter, (uint32_t)count);
}

static void note_executions(Trace *trace, const TraceTallies *tallies) {
    uint64_t entered = tallies->armed, ended = tallies->ends;
    if (trace->by_rounds) ended = entered, entered = scaled(ended, trace->sample_entered, trace->sample_ended);
    else if (trace->sampled) ended = scaled(entered, trace->sample_ended, trace->sample_entered);
    trace->entered += entered;
    trace->ended += ended;
}

// It looks at what has run, not at the last few executions: of a loop that is entered once in a thousand rounds those may all have been left.
// A loop that is left by ways that come back to it goes round all the same, and will stay in its second form.
static void take_tallies(Engine *engine, Trace *trace) {
    TraceTallies *tallies = tallies_of(current_cpu, trace->counter);
    if ((int32_t)tallies->counter > 0) tallies->armed = tallies->ends = 0; // this thread had not been told
    note_executions(trace, tallies);
    uint64_t left = trace->entered > trace->ended ? trace->entered - trace->ended : 0;
    trace->executions = trace->ended * trace->rounds + left * ((trace->rounds + 1) / 2);
    trace->completed = trace->entered ? (uint32_t)(trace->ended * 100 / trace->entered) : 100;
    bool early = trace->completed < engine->options.hot.completed;
    if (early && trace->plan.loop >= 0 && region_of(engine, trace).added) trace->completed = 100;
}

void trace_counted(Engine *engine, Trace *trace) {
    uint64_t id = trace->id, epoch = engine->epoch;
    take_tallies(engine, trace);
    if (!trace->live) { // entered through an old entry of a cache
        trace->wish = TRACE_REFUSED;
    } else {
        optimizer_take(engine);
        trace = still_there(engine, trace, id, epoch);
        if (trace && trace->live && trace->wish == TRACE_NOT_ASKED && worth(engine, trace) == 0) ask(engine, trace);
    }
    if (trace) trace = still_there(engine, trace, id, epoch);
    if (!trace || trace->form != TRACE_FIRST) return;
    if (trace->live && !trace->sampled && trace->entered) trace_end_sample(engine, trace);
    trace_arm(engine, trace);
}
