// SPDX-License-Identifier: MIT
//
// Runs KIR blocks as a trace of the optimizer, for tests that compare it with the interpreter.
#ifndef KILN_TESTS_OPT_TIER_H
#define KILN_TESTS_OPT_TIER_H

#include "fast_tier.h"
#include "host/host.h"
#include "ir/request.h"

typedef enum OptWay { OPT_LEFT, OPT_POLLED, OPT_EXCEPTION, OPT_FAULT } OptWay;
typedef struct OptRun {
    Reason reason; // not REASON_NONE: no trace came out, nothing was run
    OptWay way;
    KirException code; // OPT_EXCEPTION
    TraceResult result;
} OptRun;

typedef struct OptTrace {
    TraceResult result;
    HostCompiled code;
} OptTrace;

// Compiles the blocks as `request` says (blocks, assumptions and options are set; the rest is filled in here) and runs the trace
// once, from the cpu's state. Request and result go through their serialised forms. cpu->pc is where to go on.
OptRun opt_tier_run(Engine *engine, Cpu *cpu, const KirWorld *world, TraceRequest *request, Arena *arena);

// The same in two steps, for traces that run more than once. REASON_NONE: it can be entered, until the next one is placed.
Reason opt_tier_place(Engine *engine, const KirWorld *world, TraceRequest *request, Arena *arena, OptTrace *trace);
void opt_tier_enter(Engine *engine, Cpu *cpu, const OptTrace *trace, OptRun *run);

// The request's serialised form, and what kiln-opt answers to such a message, whatever it is: REASON_BAD_REQUEST if it is none.
size_t opt_tier_write(Engine *engine, const KirWorld *world, TraceRequest *request, Arena *arena, uint8_t **data);
Reason opt_tier_answer(const uint8_t *data, size_t size, Arena *arena, TraceResult *result);
// The compiling alone; REASON_BAD_RESULT if a serialised form did not come back.
Reason opt_tier_compile(Engine *engine, const KirWorld *world, TraceRequest *request, Arena *arena, TraceResult *result);
// Fills in what the host says about a request, and the world.
void opt_tier_describe(Engine *engine, const KirWorld *world, TraceRequest *request);

#endif
