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
    if (convention_test(only) != REASON_NONE) bug("the calling convention is another one");
    return only;
}

void opt_tier_describe(Engine *engine, const KirWorld *world, TraceRequest *request) {
    host_describe(engine->host, request);
    request->world = *world;
}

Reason opt_tier_compile(Engine *engine, const KirWorld *world, TraceRequest *request, Arena *arena, TraceResult *result) {
    opt_tier_describe(engine, world, request);
    size_t size = trace_request_write(request, NULL, 0);
    uint8_t *data = arena_alloc(arena, size);
    trace_request_write(request, data, size);
    TraceRequest read;
    TraceResult compiled;
    if (!trace_request_read(arena, &read, data, size)) return REASON_BAD_REQUEST;
    compile_trace(compiler(), &read, arena, &compiled);
    size = trace_result_write(&compiled, NULL, 0);
    data = arena_alloc(arena, size);
    trace_result_write(&compiled, data, size);
    return trace_result_read(arena, result, data, size) ? (Reason)result->reason : REASON_BAD_RESULT;
}

static Reason place(Engine *engine, Arena *arena, const TraceResult *result, HostCompiled *out) {
    Reason reason = host_place_trace(engine->host, &engine->memory, result, arena, out);
    if (reason != REASON_CACHE_FULL) return reason;
    code_memory_reset(&engine->memory);
    host_write_stubs(engine->host, &engine->memory);
    return host_place_trace(engine->host, &engine->memory, result, arena, out);
}

static void take_exit(Cpu *cpu, const HostCompiled *trace, OptRun *run) {
    void *left = cpu->exit_record;
    if (!left || left == HOST_EXIT_RETURN) return;
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

OptRun opt_tier_run(Engine *engine, Cpu *cpu, const KirWorld *world, TraceRequest *request, Arena *arena) {
    OptRun run = {.way = OPT_LEFT};
    HostCompiled trace;
    run.reason = opt_tier_compile(engine, world, request, arena, &run.result);
    if (run.reason != REASON_NONE) return run;
    run.reason = place(engine, arena, &run.result, &trace);
    if (run.reason != REASON_NONE) return run;
    current_cpu = cpu;
    cpu->engine = engine;
    cpu->raised = -1;
    cpu->fault_address = 0;
    host_enter(engine->host, cpu, trace.code);
    take_exit(cpu, &trace, &run);
    return run;
}
