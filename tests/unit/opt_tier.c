// SPDX-License-Identifier: MIT
#include "opt_tier.h"
#include "base/error.h"
#include "engine/internal.h"
#include "opt/compiler.h"
#include <string.h>

static Compiler *compiler(void) {
    static Compiler *only;
    if (only) return only;
    compiler_start();
    only = compiler_new();
    if (!convention_test(only)) bug("the calling convention is another one");
    return only;
}

void opt_tier_describe(Engine *engine, const KirWorld *world, TraceRequest *request) {
    host_describe(engine->host, request);
    request->world = *world;
}

Reason opt_tier_answer(const uint8_t *data, size_t size, Arena *arena, TraceResult *result) {
    TraceRequest read;
    TraceResult compiled;
    if (!trace_request_read(arena, &read, data, size)) return REASON_BAD_REQUEST;
    compile_trace(compiler(), &read, arena, &compiled);
    size = trace_result_write(&compiled, NULL, 0);
    uint8_t *answer = arena_alloc(arena, size);
    trace_result_write(&compiled, answer, size);
    return trace_result_read(arena, result, answer, size) ? (Reason)result->reason : REASON_BAD_RESULT;
}

size_t opt_tier_write(Engine *engine, const KirWorld *world, TraceRequest *request, Arena *arena, uint8_t **data) {
    opt_tier_describe(engine, world, request);
    size_t size = trace_request_write(request, NULL, 0);
    *data = arena_alloc(arena, size);
    return trace_request_write(request, *data, size);
}

Reason opt_tier_compile(Engine *engine, const KirWorld *world, TraceRequest *request, Arena *arena, TraceResult *result) {
    uint8_t *data;
    size_t size = opt_tier_write(engine, world, request, arena, &data);
    return opt_tier_answer(data, size, arena, result);
}

// Its tables live in the arena of the blocks: a fault is looked up there.
static Reason try_to_place(Engine *engine, const TraceResult *result, HostCompiled *out) {
    Reason reason = host_place_trace(engine->host, &engine->memory, result, &engine->blocks.arena, out);
    if (reason != REASON_NONE) return reason;
    Block *block = arena_alloc(&engine->blocks.arena, sizeof *block);
    *block = (Block){.host = *out};
    block_insert(&engine->blocks, block);
    return REASON_NONE;
}

static Reason place(Engine *engine, const TraceResult *result, HostCompiled *out) {
    Reason reason = try_to_place(engine, result, out);
    if (reason != REASON_CACHE_FULL) return reason;
    block_table_reset(&engine->blocks);
    code_memory_reset(&engine->memory);
    host_write_stubs(engine->host, &engine->memory);
    return try_to_place(engine, result, out);
}

static void take_exit(Cpu *cpu, const HostCompiled *trace, OptRun *run) {
    void *left = cpu->exit_record;
    if (!left || left == HOST_EXIT_RETURN) return;
    if (left == HOST_EXIT_FAULT) {
        run->way = OPT_FAULT;
        return;
    }
    if (left == HOST_EXIT_RAISED) {
        run->way = OPT_EXCEPTION;
        run->code = (KirException)cpu->raised;
        return;
    }
    for (uint32_t i = 0; i < trace->exit_count; i++) {
        if (trace->exits[i] != left) continue;
        const TraceExit *exit = &run->result.exits[i];
        cpu->pc = exit->exit.target;
        if (exit->kind == TRACE_EXIT_POLL) run->way = OPT_POLLED;
        if (exit->kind != TRACE_EXIT_EXCEPTION) return;
        run->way = OPT_EXCEPTION;
        run->code = (KirException)exit->exit.code;
        if (run->code == KIR_EXC_MISALIGNED_ADDRESS) cpu->fault.address = cpu->fault_address;
        return;
    }
    bug("the trace was left by another one's exit");
}

Reason opt_tier_place(Engine *engine, const KirWorld *world, TraceRequest *request, Arena *arena, OptTrace *trace) {
    Reason reason = opt_tier_compile(engine, world, request, arena, &trace->result);
    return reason == REASON_NONE ? place(engine, &trace->result, &trace->code) : reason;
}

void opt_tier_enter(Engine *engine, Cpu *cpu, const OptTrace *trace, OptRun *run) {
    *run = (OptRun){.way = OPT_LEFT, .result = trace->result};
    current_cpu = cpu;
    cpu->engine = engine;
    cpu->raised = -1;
    cpu->fault_address = 0;
    host_enter(engine->host, cpu, trace->code.code);
    take_exit(cpu, &trace->code, run);
}

OptRun opt_tier_run(Engine *engine, Cpu *cpu, const KirWorld *world, TraceRequest *request, Arena *arena) {
    OptTrace trace;
    OptRun run = {.way = OPT_LEFT};
    run.reason = opt_tier_place(engine, world, request, arena, &trace);
    if (run.reason == REASON_NONE) opt_tier_enter(engine, cpu, &trace, &run);
    run.result = trace.result;
    return run;
}
