// SPDX-License-Identifier: MIT
//
// The fast tier for x86-64: what its files share.
//
//   detect.c   which instructions the machine has
//   stubs.c    the way into generated code, out of it, and from it into C
//   plan.c     one pass backwards over a block: last uses, dead values, what is fused, which register a value should go to
//   alloc.c    one pass forwards: where values are; registers are taken, freed and spilled as the pass goes
//   emit_*.c   one function an operation
//   compile.c  the pipeline, exits, cold paths
//   object.c   not of this tier: places what the optimizer has compiled, and tells it the register convention
//
// Where a value can be: a register, the home of a global, a spill slot, nowhere (a constant). A pinned register holds, at any
// moment, what the guest register holds or is about to hold (plan.c: hints); it is never used for anything else. Four general
// registers and eight vector registers are temporaries.
#ifndef KILN_HOST_X86_64_EMIT_H
#define KILN_HOST_X86_64_EMIT_H

#include "host/host.h"
#include "host/x86_64/encode.h"
#include "base/error.h"
#include <stddef.h>

enum { GPRS = 16, XMMS = 16, CPU_REG = R14, MAX_GLOBALS = 256, MAX_FAULT_ENTRIES = MAX_GLOBALS };
#define CPU_MEM(field)     mem_base(CPU_REG, (int32_t)offsetof(Cpu, field) - (int32_t)offsetof(Cpu, guest) - CPU_BIAS)
#define GUEST_MEM(offset_) mem_base(CPU_REG, (int32_t)(offset_)-CPU_BIAS)

// The convention, frozen: trace code is compiled to it by LLVM (preserve_none).
extern const uint8_t host_pinned_gprs[10];
#define TEMP_GPR_MASK ((1u << RAX) | (1u << RBX) | (1u << RBP) | (1u << R10))
#define TEMP_XMM_MASK 0xff00u

typedef struct HostFeatures {
    bool bmi2, lzcnt, bmi1, avx, fma, pclmul;
} HostFeatures;
HostFeatures host_detect(const EngineOptions *options);

typedef struct Pin {
    uint8_t reg;
    bool xmm;
    uint8_t type;
    uint32_t offset;
} Pin;

// Constants that vector instructions take from memory, 16 bytes each.
typedef struct HostConstants {
    KirWide nan64, nan32, sign64, sign32, abs64, abs32, box_high;
    uint64_t class_bounds
        [2][2]; // by format, 64 and 32 bits: the least normal number and infinity, without their sign, at the top of the word
    uint8_t flags_of_mxcsr[64], mxcsr_of_flags[32]; // KIR_FFLAG_* and MXCSR's sticky bits
} HostConstants;

struct Host {
    const Guest *guest;
    const EngineOptions *options;
    HostFeatures features;
    bool private_memory; // nobody else reads or writes the process's memory
    Pin pins[18];
    unsigned pin_count;
    uint8_t gpr_of_global[MAX_GLOBALS]; // NO_REG: not pinned
    uint8_t xmm_of_global[MAX_GLOBALS];
    uint16_t global_of_gpr[GPRS], global_of_xmm[XMMS];
    uint64_t pinned[MAX_GLOBALS / 64];
    const void **functions; // helpers, then the evaluator
    // In the code memory:
    uint8_t *enter, *leave, *exit, *exit_indirect, *exit_return, *call_helper, *call_helper_fpenv, *call_eval;
    uint8_t *exit_indirect_stored, *exit_return_stored;
    HostConstants *constants;
};

// What the evaluator gets from generated code: an operation, its operands are in Cpu.args.
typedef struct EvalRecord {
    KirInsn insn;
    uint8_t types[4];
} EvalRecord;

enum { NO_GLOBAL = -1, NO_SLOT = -1 };
// Flags of a value.
enum { VALUE_NEEDED = 1 /* some consumer wants it in a register */, VALUE_EMITTED = 2 };

typedef struct Value {
    uint32_t last_use; // index of the last instruction that uses it; 0: dead
    KirRef root;       // the value whose bits it shares (itself, mostly)
    int16_t home;      // global whose home holds the same bits, or NO_GLOBAL
    int16_t slot;      // spill slot, or NO_SLOT
    uint8_t reg;       // register, or NO_REG
    uint8_t hint;      // pinned register to be computed into, or NO_REG
    uint8_t flags;
    uint8_t xmm; // lives in vector registers
} Value;

typedef struct Emit Emit;
// A piece of code off the main path, written behind the block: `run` writes it, bound to `from`, and jumps to `back`.
typedef struct Cold {
    struct Cold *next;
    void (*run)(Emit *e, const struct Cold *cold);
    uint8_t *from; // the jump displacement that leads here
    uint8_t *back;
    uint32_t index; // instruction
    uint8_t regs[4];
    const void *data;
} Cold;

struct Emit {
    Code c;
    const Host *host;
    CodeMemory *memory;
    const HeadRecord *head; // what counts this code, or NULL
    const KirBlock *kir;
    const KirInsn *insns;
    Arena *scratch;
    Value *values;
    uint32_t index;              // of the instruction being emitted
    uint64_t insn_pc;            // of the guest instruction it belongs to
    KirRef holds[2][16];         // by class (0 general, 1 vector) and register: the value in it, or KIR_NONE
    uint16_t locked[2], busy[2]; // by class: registers of operands; registers that hold a value
    bool too_complex;            // out of spill slots
    uint8_t *start;
    uint8_t *ends; // where it counts that its last exit was reached
    Cold *cold, **cold_tail;
    HostFault *faults;
    uint32_t fault_count, fault_capacity;
    HostFaultEntry *entries;
    uint32_t entry_count, entry_capacity;
    uint32_t next_fault;                 // in kir->faults
    uint32_t fault_first, fault_entries; // of the instruction being emitted, in entries
    ExitRecord **exits;
    uint32_t exit_count, exit_capacity;
    uint32_t fallbacks, helper_calls;
    bool counts_exits;
    uint64_t counted; // address in the last COUNT; 0: there was none
    uint32_t parts;   // COUNTs so far
    // Set by alloc_start; not zeroed with the rest, as they are most of it.
    KirRef slot_value[CPU_SPILL_SLOTS];
    KirRef home_value[MAX_GLOBALS];
};

// ---- plan.c
void plan(Emit *e);
// A comparison that is not computed by itself: consumers repeat it as flags.
bool plan_is_fused(const Emit *e, KirRef v);

// ---- alloc.c
static inline KirRef root_of(const Emit *e, KirRef v) { return e->values[v].root; }
static inline Value *value_of(Emit *e, KirRef v) { return &e->values[e->values[v].root]; }
static inline bool is_const(const Emit *e, KirRef v) { return e->insns[v].op == KIR_CONST; }
static inline KirType type_of(const Emit *e, KirRef v) { return kir_result_type(&e->insns[v]); }
// The constant, sign-extended from its width.
int64_t const_of(const Emit *e, KirRef v);
static inline bool is_imm32(const Emit *e, KirRef v) {
    if (!is_const(e, v) || e->insns[v].aux == KIR_IMAGE) return false;
    int64_t x = const_of(e, v);
    return x == (int32_t)x;
}
// No use behind the current instruction.
static inline bool dies_here(Emit *e, KirRef v) { return value_of(e, v)->last_use <= e->index; }
void alloc_start(Emit *e);
// The value in a register, which is locked until alloc_end. The register stays readable after def_*, even if def_* returns it:
// the caller takes care of that overlap.
unsigned use_gpr(Emit *e, KirRef v);
unsigned use_xmm(Emit *e, KirRef v);
// True: the value is in memory only (home or slot), *mem says where; use it as a memory operand.
bool use_memory(Emit *e, KirRef v, Mem *mem);
// A register for the result of the current instruction (its hint if it has one); what it held before is saved.
unsigned def_gpr(Emit *e, KirRef v);
unsigned def_xmm(Emit *e, KirRef v);
// As def_*, but prefers `operand`'s register if that is a temporary whose value dies here.
unsigned def_gpr_over(Emit *e, KirRef v, KirRef operand);
unsigned def_xmm_over(Emit *e, KirRef v, KirRef operand);
// A free temporary for the length of this instruction.
unsigned temp_gpr(Emit *e);
unsigned temp_xmm(Emit *e);
// This very temporary, locked: its value, if needed later, goes elsewhere (it stays readable in it until overwritten).
void take_gpr(Emit *e, unsigned reg);
// The result of the current instruction is in temporary `reg`: keeps it there, or moves it to the hint.
void result_in_gpr(Emit *e, KirRef v, unsigned reg);
// Unlocks, and frees the registers of values used for the last time.
void alloc_end(Emit *e);
// Before a call into C: temporaries that live on go to slots (rbx and rbp stay). `globals_change`: so do values that are only in
// pinned registers or homes.
void spill_for_call(Emit *e, bool globals_change);
void emit_set(Emit *e, unsigned global, KirRef v);
void emit_get(Emit *e, KirRef v);
void load_const_gpr(Emit *e, unsigned reg, KirRef constant);
// Stores all bits the value has (8 or 16 bytes) for C to read.
void store_value(Emit *e, Mem to, KirRef v);

// ---- emit_*.c
void emit_integer(Emit *e, KirRef v, const KirInsn *insn);
void emit_divide(Emit *e, KirRef v, const KirInsn *insn);
void emit_load(Emit *e, KirRef v, const KirInsn *insn);
void emit_store(Emit *e, const KirInsn *insn);
void emit_fence(Emit *e, const KirInsn *insn);
void emit_atomic(Emit *e, KirRef v, const KirInsn *insn);
void emit_float(Emit *e, KirRef v, const KirInsn *insn);
void emit_get_flags(Emit *e, KirRef v);
void emit_set_flags(Emit *e, const KirInsn *insn);
bool has_float_code(const Emit *e, const KirInsn *insn); // else: emit_fallback
void emit_move(Emit *e, KirRef v, const KirInsn *insn);  // BITCAST, PAIR, LO64, HI64, NANBOX, NANUNBOX
void emit_call(Emit *e, KirRef v, const KirInsn *insn);
void emit_fallback(Emit *e, KirRef v, const KirInsn *insn);
// A cold path that has the evaluator compute the operation from the operand registers in cold->regs[0..2] into regs[3].
void cold_evaluate(Emit *e, const Cold *cold);
// Sets the flags so that the returned condition holds when the i1 value does.
X86Cond emit_condition(Emit *e, KirRef v);

// ---- stubs.c
extern const int context_gpr[16]; // where a signal's context keeps each register

// ---- compile.c
Cold *cold_path(Emit *e, void (*run)(Emit *, const Cold *), uint8_t *from);
void emit_exit_indirect(Emit *e, KirRef pc, KirJumpHint hint);
void emit_poll(Emit *e, const KirExit *exit);
// Faults, in two steps: collect where values of the fault table are, once operands are in registers and before a result register
// is chosen; then mark each host instruction that may fault on behalf of the current guest instruction.
void fault_collect(Emit *e);
void fault_here(Emit *e);
EvalRecord *eval_record(Emit *e, const KirInsn *insn);
// Room for one more element of an array that doubles in the scratch arena.
void *grow(Emit *e, void *array, uint32_t count, uint32_t *capacity, size_t size);

#endif
