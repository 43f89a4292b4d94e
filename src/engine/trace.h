// SPDX-License-Identifier: MIT
//
// Traces: paths of blocks that are executed as one piece of code, and the cache that holds them.
//
//   plan          which blocks, in which order, and to which of them the last one leads back (src/hot chose them)
//   first form    the path as one long block through the fast tier: there at once, and counts its executions
//   second form   an object from the optimizer; takes the first form's place when it comes
//
// A trace begins at the guest pc of its head. While it is in use (`live`) the head's `entry` is its code, so everything that is linked
// to the head goes there; its exits are linked to blocks like any other exit. Nothing else points to a trace, but the threads' caches of
// indirect targets, which are emptied before its memory is used again.
//
// The cache is a ring, code and data in step: a new trace is placed behind the newest one, and what lies there is evicted; these are the
// oldest, as an end that is too small for the new one is swept too. Eviction happens with the world stopped: no thread is inside (engine/world.c), and generated code is never returned into, so the bytes are free.
//
// Everything here is called with the engine's lock held, but trace_at_host.
#ifndef KILN_ENGINE_TRACE_H
#define KILN_ENGINE_TRACE_H

#include "engine/block.h"

typedef struct TracePlan {
    Block **blocks; // the head first; malloc'ed
    uint32_t count;
    int32_t loop;   // the block to which the last one of the path leads back, -1: none
    uint32_t path;  // how many of the blocks are the path; the others are side ways that come back
    uint8_t shape;  // HotShape
    uint8_t reason; // Reason: why the path ended
} TracePlan;

typedef enum TraceForm { TRACE_FIRST, TRACE_SECOND } TraceForm;
typedef enum TraceWish { TRACE_NOT_ASKED, TRACE_ASKED, TRACE_REFUSED } TraceWish; // of a second form

// A block of a trace, in the list of the traces that contain the block.
typedef struct TraceLink {
    struct TraceLink *next, **back;
    struct Trace *trace;
} TraceLink;

typedef struct Trace {
    struct Trace *next; // newer
    TraceLink *links;   // by block of the plan
    uint64_t id;
    TracePlan plan;
    Block *head; // the plan's first block, for who has come out of the trace without the lock: trace_widen may move the plan's list
    Block code;  // as which it leaves; never in the table of blocks
    TraceForm form;
    bool live;
    TraceWish wish;
    uint32_t guest_insns; // of the path
    uint32_t floats;      // KIR operations of floating point for these
    HeadRecord *counter;  // first form; NULL: does not count
    uint32_t rounds;      // of a loop in one execution of the first form
    uint64_t entered;     // executions of the first form until counters left,
    uint64_t ended;       // and how many of them came to the path's last exit
    bool sampled;         // both were counted for long enough, so that the latter follows from the former;
    bool by_rounds;       // or a loop counts where it leads back to itself alone, and the former follows
    uint64_t sample_entered;
    uint64_t sample_ended;
    uint64_t executions;  // rounds that these may have been
    uint32_t completed;   // per cent that came to the path's last exit
    uint32_t ops;         // KIR operations of the path
    uint32_t asked_under; // assumptions of its request,
    uint32_t made_under;  // and of a second form that came of one
    uint64_t made_ns;     // processor time of the program when it came into use
    HotPurchase purchase; // of the second form: a first form's is what it has asked for
    uint8_t looks;        // in vain, for an answer or for the chance to ask
    uint64_t compile_ns;
    uint8_t *data, *data_end;
    struct Counted *counted, *counted_second; // count.h; of this form, and of the one that was asked for
} Trace;

// A thread's numbers for a first form; their place outlives it and goes to the next one.
typedef struct TraceTallies {
    uint32_t counter, ends;
    uint32_t armed; // so many executions until the counter leaves, 0: it was not told
} TraceTallies;

typedef struct TraceCache {
    CodeMemory memory;       // code_next and data_next are where the next trace goes
    Trace *oldest, **newest; // all that have memory, in order of their age
    Trace **by_line;         // by cache line of the code
    uint64_t last_id;
    uint32_t made;   // first and second forms together
    uint32_t *spare; // offsets of TraceTallies
    uint32_t spare_count, spare_room;
} TraceCache;

enum { TRACE_LINE = 64 };

// `bytes` of code and as much data lie at memory->code, memory->data already.
void trace_cache_init(TraceCache *cache);
// Forgets all traces, for that reason; the blocks go too.
void trace_cache_reset(Engine *engine, Reason reason);
const Trace *trace_at_host(const TraceCache *cache, const uint8_t *address);
Trace *trace_by_id(const TraceCache *cache, uint64_t id);
// No form of any trace is made any more (EngineOptions.trace_limit). To be asked before the next two are called.
bool trace_limit_reached(const Engine *engine);

// Makes the first form and puts it into use. Takes over the plan. NULL and *reason if not.
Trace *trace_make_first(Engine *engine, TracePlan plan, Reason *reason);
// Puts the optimizer's object into use, in place of what the head has now. Takes over the plan.
Trace *trace_make_second(Engine *engine, TracePlan plan, struct Counted *counted, const TraceResult *result, Reason *reason);
// The head goes back to its own code.
void trace_retire(Engine *engine, Trace *trace, Reason reason);
// The side ways of the path, from now on.
void trace_widen(Trace *trace, Block *const *added, uint32_t count);
// The block's code has changed: so have all traces that contain it.
void traces_invalidate(Engine *engine, Block *block);
// All second forms (an assumption does not hold any more).
void traces_retract(Engine *engine);
void trace_plan_free(TracePlan *plan);

// ---- heads.c: which blocks count, and what happens at the threshold -----------------------------------------------------------------
// Where a link leads: on, back (a loop), or back by a call.
typedef enum HeadWay { HEAD_FORWARD, HEAD_BACKWARD, HEAD_CALL_BACKWARD } HeadWay;
// A block that is made now will count as soon as it has been entered in this way.
bool head_at_once(const Engine *engine, HotArrival how, HeadWay way);
// The numbers of a first form's counter that a thread counts with; and from where it counts.
TraceTallies *tallies_of(Cpu *cpu, const HeadRecord *counter);
void tallies_arm(Cpu *cpu, const HeadRecord *counter, uint32_t executions);
// The block is about to be entered in this way; the lock is not held.
void head_arrival(Engine *engine, Block *block, HotArrival how, HeadWay way);
// For a block that is made now and counts in front of its code; NULL: no room.
HeadRecord *head_new_counter(Engine *engine);
// It counts (again), from its threshold.
void head_count(Engine *engine, Block *block);
// Everything that leads to the block goes to its entry as it is now.
void head_relink(Engine *engine, Block *block);
// Its trace failed or went away: it counts up to twice as much, or never again.
void head_fail(Engine *engine, Block *block, Reason reason);
// Its path is to be recorded once more, soon.
void head_again(Engine *engine, Block *block);
// A counter has reached zero: what comes next for cpu, or NULL (a hook has been called, or somebody wants to look).
Block *head_hot(Cpu *cpu, HeadRecord *record);

// ---- record.c: the path that executes next, from `head` on --------------------------------------------------------------------------
// Executes it, block by block, in the interpreter, and makes the traces. As head_hot.
Block *record_path(Cpu *cpu, Block *head);

// ---- optimizer.c: the connection to kiln-opt ---------------------------------------------------------------------------------------
typedef struct Optimizer {
    int channel;       // -1: none yet
    bool absent;       // it could not be started, or it died
    uint32_t waiting;  // requests without answer
    uint32_t passed;   // chances to take answers
    bool started;      // it has cost what a start costs
    bool unwritable;   // requests cannot be written to files, which has been said
    uint64_t spent_ns; // of its processor time, on all answers
} Optimizer;
// Asks for a second form of the trace with this id; with `wait`, waits for the answer and takes it in.
Reason optimizer_ask(Engine *engine, uint64_t id, const TracePlan *plan, uint32_t heat, struct Counted *counted, bool wait);
// Takes in what has come.
void optimizer_take(Engine *engine);
// A first form that will not get a second one is entered behind its counter.
void trace_stop_counting(Engine *engine, Trace *trace);
// How many of its executions come to the end is taken to be known: a first form counts with one counter from now on.
void trace_end_sample(Engine *engine, Trace *trace);
// Where an exit that leads to the block goes to.
const uint8_t *trace_entry_from(const ExitRecord *record, const Block *target);
// Sets the counter of a first form to when it is to be looked at again.
void trace_arm(Engine *engine, Trace *trace);
// A first form is there: asks at once if it is to.
void trace_made(Engine *engine, Trace *trace);
// It has counted down: asks for its second form if that pays.
void trace_counted(Engine *engine, Trace *trace);
void optimizer_after_fork(Engine *engine); // in the child: a channel of its own, when it needs one

#endif
