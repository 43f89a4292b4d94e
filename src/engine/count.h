// SPDX-License-Identifier: MIT
//
// Executions counted exactly (EngineOptions.count): of each block, of each block in each trace, of each exit of a trace.
//
// Generated code does it: KIR's COUNT at the start of each block, an addition before each exit of a trace (CountedExit of host/host.h).
// Code that is made without the option knows nothing of all this. What was counted outlives blocks and traces: it is kept until the
// process ends, so that sums are always right. Additions are not atomic: of several threads in the same code some may be lost. A block
// counts as executed as a whole, also where a fault leaves it halfway.
#ifndef KILN_ENGINE_COUNT_H
#define KILN_ENGINE_COUNT_H

#include "engine/trace.h"

typedef enum CountTier { COUNT_INTERPRETED, COUNT_BLOCKS, COUNT_FIRST, COUNT_SECOND, COUNT_TIERS } CountTier;

typedef struct ExitSum {
    uint64_t target, count;
    uint32_t block; // of the plan, that is left
    uint8_t kind;   // KirExitKind
    bool polls;     // somebody wanted to look; never linked
} ExitSum;

// One translated block, or one form of a trace.
typedef struct Counted {
    struct Counted *next; // older
    CountTier tier;
    uint64_t pc;
    uint32_t count, exit_count;
    KirCount *blocks; // `count` of them, as in the plan
    uint32_t *insns;  // guest instructions of each
    ExitSum *exits;   // as of the last count_take_exits
} Counted;

// With the engine's lock held. What generated code shall count in: for a block that is about to be translated (its insns[0] is to be
// set), for a form of a trace that is about to be made.
Counted *count_block(Engine *engine, uint64_t pc);
Counted *count_trace(Engine *engine, const TracePlan *plan, CountTier tier);
// Brings trace->counted->exits up to date: before the trace's memory goes, and before somebody reads them.
void count_take_exits(Engine *engine, const Trace *trace);
// Guest instructions executed so far, by tier.
void count_by_tier(const Engine *engine, uint64_t insns[COUNT_TIERS]);
// From now on: a new process.
void count_restart(Engine *engine);

#endif
