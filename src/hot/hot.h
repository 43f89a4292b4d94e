// SPDX-License-Identifier: MIT
//
// The hot-path engine: which blocks are heads, which path follows a head, what of it becomes a trace, and when a better form pays.
//
// It knows block ids, edges and counts; no guest, no host, no engine. Nothing here is global, allocates (annotations: in the
// caller's arena) or locks. All of a HotHead is changed by atomic operations; every other object belongs to one thread at a time.
//
//      an exit is linked, a block is entered ──hot_is_potential_head──► NONE/ACTIVE → TRACE_HEAD: its slot counts
//      the count reaches HotHead.threshold   ──hot_record_start───────► each next block: hot_record_next, until false
//      the recording has ended               ──hot_paths──────────────► 0 to 2 paths, in the order in which to make them
//      a path                                ──hot_netplus────────────► the region around it, for the second form
//      no path, a failure, an eviction       ──hot_head_fail──────────► back to ACTIVE, or given up
//      the first form is counting            ──hot_worth──────────────► so many executions more, then ask for the second form
//
// Terms (drawings: docs/trace-selection.md). A path is a sequence of different blocks. Straight: it leads elsewhere. O-shape:
// its last block leads back to its first. 6-shape: the last leads back to a later one; from there on it is the inner cycle.
#ifndef KILN_HOT_HOT_H
#define KILN_HOT_HOT_H

#include "base/arena.h"
#include "base/reasons.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HOT_MAX_BLOCKS = 256 }; // of a path or region: the upper bound of the parameter `length`

// ---- parameters (params.c)

typedef enum HotSelect {
    HOT_NET,        // relaxed NET
    HOT_NET_STRICT, // NET as first published: backward branches begin and end paths
    HOT_TRACETREE,  // relaxed heads; straight lines and O-shapes only
    HOT_SELECT_COUNT
} HotSelect;

typedef struct HotParams {
    HotSelect select;
#define HOT_PARAM(type, field, value, least, greatest, unit, meaning) type field;
#include "hot/params.def"
#undef HOT_PARAM
} HotParams;

// For options, help and tests: what params.def says about each number.
typedef struct HotParamInfo {
    const char *name, *unit, *meaning;
    unsigned value, least, greatest;
    bool is_switch;
    size_t offset; // in HotParams
} HotParamInfo;
extern const HotParamInfo hot_param_info[];
extern const unsigned hot_param_count;

HotParams hot_params_default(void);
const char *hot_select_name(HotSelect select); // "net", "net-strict", "tracetree"
bool hot_select_parse(const char *name, HotSelect *select);

// ---- heads (head.c)

typedef enum __attribute__((packed)) HotState {
    HOT_NONE,       // has not run yet
    HOT_ACTIVE,     // has run; not counted
    HOT_TRACE_HEAD, // a potential head: its slot counts, or its path is being recorded
    HOT_OPTIMIZED,  // its trace is there, or in the making
    HOT_INVALID,    // its code is gone; final
    HOT_STATE_COUNT
} HotState;

// The table of transitions.
bool hot_state_allowed(HotState from, HotState to);
// By compare-and-swap. False: the state is not `from` any more, and nothing was changed. The transition must be an allowed one.
bool hot_state_change(HotState *state, HotState from, HotState to);
// From HOT_NONE or HOT_ACTIVE to HOT_TRACE_HEAD. False: it was in another state, and nothing was changed.
bool hot_state_to_head(HotState *state);
const char *hot_state_name(HotState state);

typedef struct HotHead {
    HotState state;
    uint8_t attempts;   // failures so far
    uint32_t threshold; // executions until the path is recorded; copied into the counter by whoever switches profiling on
} HotHead;

void hot_head_init(HotHead *head, const HotParams *params);
// What was recorded is dropped for the reason `why`, or the trace has failed or was evicted: a TRACE_HEAD or OPTIMIZED block is
// ACTIVE again, with twice the threshold. An interrupted recording costs no attempt: it says nothing about the path. Blocks in
// other states are left alone. Returns REASON_GIVEN_UP for the failure that was one too many, else REASON_NONE.
Reason hot_head_fail(HotHead *head, const HotParams *params, Reason why);
bool hot_head_given_up(const HotHead *head, const HotParams *params);

// How execution came, or will come, to a block.
typedef enum HotArrival {
    HOT_BY_TRACE_EXIT, // rule 1: through the exit of a trace
    HOT_BY_INDIRECT,   // rule 2: through an indirect branch
    HOT_BY_ENGINE,     // rule 2: back from the engine (a system call, a fault, an instruction done in C)
    HOT_BY_LINK,       // rule 3: a direct exit is being linked to it
    HOT_BY_DISPATCH,   // rule 3: the dispatcher enters it after a direct exit
    HOT_ARRIVAL_COUNT
} HotArrival;

// The three rules. `executed_before`: the block had run before this arrival; `backward`: a branch to the same or a lower address.
bool hot_is_potential_head(const HotParams *params, HotArrival how, bool executed_before, bool backward);

// ---- recording (record.c)

typedef struct HotStep {
    uint32_t block;
    bool backward;  // reached by a branch to the same or a lower address
    bool loop_head; // the head of a known loop: annotated, or of an O-shaped trace
} HotStep;

typedef struct HotRecorder {
    Reason reason; // why it ended; REASON_NONE while it records
    int loop;      // index that the last block leads back to; -1: none
    uint32_t count;
    uint32_t limit;
    HotSelect select;
    uint32_t blocks[HOT_MAX_BLOCKS];
} HotRecorder;

void hot_record_start(HotRecorder *rec, const HotParams *params, uint32_t head);
// The block that is executed next. False: the recording has ended, and the block is not part of it.
bool hot_record_next(HotRecorder *rec, HotStep step);
// A branch, of which `samples` recordings have seen `along` go the way of the path.
bool hot_is_unsteady(const HotParams *params, unsigned along, unsigned samples);
// Of a recording that has ended, and is no loop, the first `count` blocks are left. Without effect on a loop.
void hot_record_cut(HotRecorder *rec, uint32_t count, Reason reason);
// Ends it from outside (EXCEPTION, INTERRUPTED, CODE_GONE). Without effect on one that has ended.
void hot_record_stop(HotRecorder *rec, Reason reason);

// ---- paths and regions (path.c, netplus.c)

typedef enum HotShape { HOT_STRAIGHT, HOT_O, HOT_6 } HotShape;
const char *hot_shape_name(HotShape shape); // "straight", "O", "6"

typedef struct HotPath {
    uint32_t count; // blocks of the path, in order of execution; never one twice
    uint32_t added; // blocks that NETPlus added: blocks[count] to blocks[count + added - 1]
    int loop;       // index that the last block leads back to; -1: none
    HotShape shape;
    Reason end; // why recording ended
    Reason cut; // NOT_CONNECTED: what was recorded after the last block, loop included, was dropped; else REASON_NONE
    uint32_t blocks[HOT_MAX_BLOCKS];
} HotPath;

typedef struct HotPaths {
    unsigned count;
    Reason dropped; // why the recorded head gets no path; REASON_NONE: it has one, the last
    HotPath path[2];
} HotPaths;

// Does an exit of `from` lead to `to`?
typedef bool HotConnected(void *context, uint32_t from, uint32_t to);
// What to make of an ended recording. Of a 6-shape first the inner cycle, an O-shape with a head of its own, which must be made a
// TRACE_HEAD before its trace is requested, then the whole. Returns paths->count.
unsigned hot_paths(const HotRecorder *rec, const HotParams *params, HotConnected *connected, void *context, HotPaths *paths);

// The known successors of a block: up to `room` of them to `out`; returns how many.
typedef unsigned HotSuccessors(void *context, uint32_t block, uint32_t *out, unsigned room);
// NETPlus: adds the blocks on detours of at most params->netplus_depth blocks that leave the path and come back to it, the shortest
// first, each as a whole, until the region has params->length blocks. Nothing happens where params->netplus is off or the loop is
// `annotated` (its author has said what belongs to it). Returns how many were added.
unsigned hot_netplus(HotPath *path, const HotParams *params, bool annotated, HotSuccessors *successors, void *context);

bool hot_path_contains(const HotPath *path, uint32_t block); // added blocks too
// Is trace `a` to be retired because `b` does its work?
bool hot_covered(const HotPath *a, const HotPath *b, const HotParams *params);

// ---- when the second form pays (worth.c)

// Running average of what compiling has cost, in ns per KIR operation.
typedef struct HotCompileCost {
    uint64_t ns_per_op; // 0: nothing measured yet
} HotCompileCost;

void hot_cost_measured(HotCompileCost *cost, const HotParams *params, unsigned ops, uint64_t ns);
uint64_t hot_cost_expected(const HotCompileCost *cost, const HotParams *params, unsigned ops); // ns

typedef struct HotCost {
    uint64_t executions; // of the path so far
    unsigned insns;      // guest instructions on the path
    unsigned floats;     // KIR operations of floating point for these
    unsigned ops;        // KIR operations to compile
    bool loop;           // one execution leads to the next
    unsigned completed;  // per cent of the executions that came to the path's end
} HotCost;

// The number of further executions after which to ask for the second form; 0: now. The ski-rental rule: rent (run the first form)
// until the rent paid equals the price (compiling), then buy. Whatever comes after, the cost is at most twice the best possible.
uint64_t hot_worth(const HotCost *what, const HotParams *params, const HotCompileCost *cost);
// What a second form could have saved so far, in ns.
uint64_t hot_saving(const HotCost *what, const HotParams *params);
// A second form that was bought. All times are processor time of the program.
typedef struct HotPurchase {
    uint64_t price_ns;
    uint64_t saving_ns; // what it could have saved before it was asked for,
    uint64_t within_ns; // in that time
    uint64_t since_ns;  // in use since
} HotPurchase;

// What it has earned: it goes on as it began, but saves half of what was assumed, and never more than its price counts.
uint64_t hot_earned(const HotPurchase *what, uint64_t now_ns);

// May the optimizer go on? It has used `spent_ns` that second forms have not earned yet, the next compilation is expected to take
// `next_ns`, the program has used `program_ns`.
bool hot_within_budget(const HotParams *params, uint64_t spent_ns, uint64_t next_ns, uint64_t program_ns);

// ---- annotated loops (annotations.c)

// One loop head per line: a guest address in hexadecimal, which begins with a digit (`10a4c`, `0x10a4c`), or a symbol, with an
// offset if need be (`main`, `main+28`, `main+0x1c`). `#` begins a comment.
typedef struct HotAnnotation {
    const char *symbol; // NULL: `value` is the address
    uint64_t value;     // address, or offset from the symbol
    unsigned line;
} HotAnnotation;

typedef struct HotAnnotations {
    HotAnnotation *list;
    unsigned count;
    unsigned error_line; // 0: no error
    const char *error;   // what is wrong in that line
} HotAnnotations;

// False: `out` holds line and error, and what came before it.
bool hot_annotations_parse(const char *text, size_t size, Arena *arena, HotAnnotations *out);

#endif
