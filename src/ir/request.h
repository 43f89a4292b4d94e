// SPDX-License-Identifier: MIT
//
// What a guest process asks of the optimizer, and what it gets back: the blocks of a path or region as KIR, and a relocatable object.
//
// The optimizer is a pure function from request to result. A request has no pointer into the process it comes from: it brings the
// guest's registers and helpers (KirWorld), the layout of the cpu state, and the register convention with it. It serialises to bytes
// that can be kept in a file and replayed.
//
// The object defines one function, `kiln_trace`, of convention preserve_none:
//
//   void kiln_trace(i64 int0, i64 int1, ptr base, i64 int2, i64 int3, i64 int4, i64 int8, i64 int9, i64 int5, i64 int6, i64 int7,
//                   T float0 ... T float7)        T: double where pinned floats are f64, <2 x i64> where they are v128
//
// in which intN and floatN are the values of the globals pinned_int[N] and pinned_float[N] (unused ones are undefined and are passed on),
// and `base` is layout.bias bytes into the guest's state. It never returns: each way out is a tail call with the same arguments to
//
//   kiln_exit_N        exit N of the result (the loader makes it a jump that can be redirected)
//   the code found in the indirect-branch cache
//   kiln_exit_indirect, kiln_exit_return    the cache does not know the target; the guest pc has been stored in the cpu state
//
// At each of them every global that is not pinned is in its home.
#ifndef KILN_IR_REQUEST_H
#define KILN_IR_REQUEST_H

#include "ir/kir.h"
#include "base/reasons.h"

enum { TRACE_MAX_BLOCKS = 256, TRACE_LEAVES = -1, OPTIMIZER_MOST_THREADS = 64 };

// What the process is known to do while the trace is in use.
enum {
    TRACE_PRIVATE_MEMORY =
        1, // nobody else reads or writes its memory: guest accesses are plain ones, atomics are made of plain ones,
           // fences are nothing. Without it accesses are volatile, fences and atomics real.
    TRACE_NO_FAULT_HANDLER = 2, // registers need not be exact at a fault. Without it the result has a fault table.
};

// What the optimizer is asked to do otherwise than usual.
enum {
    TRACE_WANT_TEXT = 1,  // the result carries LLVM IR before and after optimisation, and assembly
    TRACE_NO_VECTORS = 2, // no loop is vectorised
    TRACE_NO_PASSES = 4,  // code generation alone
    TRACE_NO_AVX = 8,
    TRACE_NO_FMA = 16,
    TRACE_NO_BMI = 32,   // as if the host lacked them
    TRACE_EVAL_ALL = 64, // every operation that the evaluator knows goes through it (tests)
};

// Where generated code finds things: byte offsets from `base`, unless said otherwise.
typedef struct TraceLayout {
    int32_t bias; // base - address of the guest's state: a global's home is at its offset - bias
    int32_t cpu;  // address of the cpu structure (what helpers get as their first argument) relative to base: negative
    int32_t pc, ibc, ibc_mask, poll, guest_mxcsr, host_mxcsr, functions, fault_address;
    int32_t args;                       // four KirValue, the last one the result
    uint32_t ibc_entries;               // the entries for returns lie behind these
    uint32_t ibc_entry_bytes, ibc_code; // size of an entry {pc, ..., code}; offset of `code` in it
    uint32_t pc_shift;                  // index of an entry: (pc & what lies at ibc_mask) >> pc_shift
    uint32_t evaluator;                 // number of kir_eval's entry in `functions`: void (cpu, const EvalRecord *)
} TraceLayout;

typedef struct TraceBlock {
    const KirBlock *kir;   // as built or folded: every SET is there, so that at each INSN the globals are right; no fault table
    const int32_t *next;   // by exit of `kir`: the block of the request that it leads to, or TRACE_LEAVES
    int32_t next_indirect; // the block that the final indirect exit is predicted to lead to, or TRACE_LEAVES
    uint32_t weight;       // executions, in relation to the other blocks
} TraceBlock;

typedef struct TraceRequest {
    uint64_t id;              // given back with the result
    uint32_t heat;            // requests that wait are served by it, the hottest first
    uint32_t assumptions;     // TRACE_PRIVATE_MEMORY ...
    uint32_t options;         // TRACE_WANT_TEXT ...
    uint32_t disabled_passes; // bit i: pass i of optimizer_passes.def is left out
    TraceLayout layout;
    KirWorld world;                           // helpers' addresses are not sent
    uint16_t pinned_int[10], pinned_float[8]; // 0xffff: none
    const TraceBlock *blocks;                 // the first one is the entry
    uint32_t block_count;
} TraceRequest;

typedef enum TraceExitKind {
    TRACE_EXIT_LINK,      // a direct exit that may be linked
    TRACE_EXIT_POLL,      // the thread is asked to stop: go on at exit.target, never linked
    TRACE_EXIT_EXCEPTION, // exit.code raised at exit.target
} TraceExitKind;

typedef struct TraceExit {
    KirExit exit;
    uint8_t kind;   // TraceExitKind
    uint32_t block; // of the request, that is left
} TraceExit;

// Where a global's value is at a faulting instruction: CONST: `value`; GPR, XMM: register `reg` (numbers of the x86 encoding);
// STACK: at `value` bytes above what the register `reg` holds.
typedef enum TracePlace { TRACE_PLACE_CONST, TRACE_PLACE_GPR, TRACE_PLACE_XMM, TRACE_PLACE_STACK } TracePlace;
typedef struct TraceFaultEntry {
    uint16_t global;
    uint8_t place, reg;
    int64_t value;
} TraceFaultEntry;
// One host instruction that may fault; `offset` counts from `kiln_trace`. Globals without an entry are at home, pinned ones too.
typedef struct TraceFault {
    uint32_t offset, first_entry, entry_count;
    uint64_t pc;
} TraceFault;

enum { TRACE_TEXT_LLVM, TRACE_TEXT_LLVM_OPT, TRACE_TEXT_ASM, TRACE_TEXTS };

typedef struct TraceResult {
    uint64_t id;
    uint32_t reason;     // Reason; REASON_NONE: there is an object
    uint64_t compile_ns; // CPU time it took
    const TraceExit *exits;
    uint32_t exit_count;
    const uint8_t *object;
    uint32_t object_size;
    const TraceFault *faults; // ascending offsets
    uint32_t fault_count;
    const TraceFaultEntry *entries;
    uint32_t entry_count;
    uint32_t fallbacks;            // operations that became calls of the evaluator
    const char *text[TRACE_TEXTS]; // NULL: not asked for
} TraceResult;

// Serialised forms: bytes written, or needed if that is more than capacity. Reading returns false for anything malformed; what is read
// lives in the arena (and, for objects and texts, in `data`).
size_t trace_request_write(const TraceRequest *request, uint8_t *out, size_t capacity);
bool trace_request_read(Arena *arena, TraceRequest *request, const uint8_t *data, size_t size);
// What a queue needs to know of a request, without reading all of it. False: not a request (both are 0 then, or what could be read).
bool trace_request_peek(const uint8_t *data, size_t size, uint64_t *id, uint32_t *heat);
size_t trace_result_write(const TraceResult *result, uint8_t *out, size_t capacity);
bool trace_result_read(Arena *arena, TraceResult *result, const uint8_t *data, size_t size);

#endif
