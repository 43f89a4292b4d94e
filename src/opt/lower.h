// SPDX-License-Identifier: MIT
//
// From KIR to LLVM IR: what the files of this folder share. No other folder knows LLVM.
//
//   lower.c      the function: signature, homes and copies of globals, blocks in order, one operation after the other
//   graph.c      the blocks' graph: where blocks join, their order, which edges go back, which loops run
//                in strips, which globals are dirty where
//   control.c    ways out of a block: edges inside the trace, exits, polls, the indirect-branch cache
//   call.c       calls into C: helpers, and the evaluator for operations that have no code here (counted as fallbacks)
//   integer.c    integer operations, bits that only move             memory.c   guest memory
//   exact.c      guest memory where faults show all registers        sites.c    those accesses in the object, and the fault table
//   float.c      scalar floating point                               vector.c   vectors and cryptography
//   proven.c     which accesses cannot fault
//   unroll.c     short loops that are put in several times
//   lazy.c       canonical NaN, boxes of singles and flags of multiply-add where somebody looks, and not before
//   flags.c      the floating-point environment
//   pipeline.c   passes, code generation, errors of LLVM             self_test.c  is the calling convention what we take it for?
//
// Globals. Each guest register that the trace uses is an alloca: loaded at entry (or from its argument, if it is pinned), read and
// written by GET and SET, promoted to SSA values by LLVM's sroa. A global is *dirty* where its home may be out of date (`dirty`: a bit
// each, a forward union over the blocks' edges); exits store what is dirty, off the hot path. Pinned globals are dirty from the start and
// are stored only for helpers that look at globals; exits pass them as arguments.
//
// Values. A KIR value of type i1 ... i64, i128 is an LLVM integer of that width, f32 is float, f64 double, v64 i64, v128 <2 x i64>.
//
// Memory. Guest accesses go through pointers made from null by the guest address; the cpu state is reached from `base`. alias.scope and
// noalias metadata keep the two apart.
#ifndef KILN_OPT_LOWER_H
#define KILN_OPT_LOWER_H

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>
#include "opt/compiler.h"
#include "opt/exact.h"

enum {
    LOWER_GLOBALS = 256,
    LOWER_INTS = 11, // integer arguments of a trace; the cpu state is one of them
    LOWER_BASE = 2,
    LOWER_FLOATS = 8,
    LOWER_ARGS = LOWER_INTS + LOWER_FLOATS,
    LOWER_CONVENTION = 21, // preserve_none, which the C API has no name for
    NO_PIN = 0xffff,
};

// Which optional instructions may be used: what the machine has, less what the request forbids.
typedef struct LowerFeatures {
    bool avx, avx2, avx512, fma, f16c, bmi1, bmi2, lzcnt, pclmul, aes;
} LowerFeatures;

typedef struct GlobalSet {
    uint64_t bits[LOWER_GLOBALS / 64];
} GlobalSet;

// What is known of addresses and memory at one place (proven.c): globals as sums, stretches of memory that were accessed.
enum { MOST_STRETCHES = 24 };
typedef struct Sum {
    uint32_t root; // 0: a constant
    int64_t distance;
} Sum;
typedef struct Stretch {
    int64_t start, end; // distances from the root
    uint32_t root;
    bool writes;
} Stretch;
typedef struct Known {
    Sum globals[LOWER_GLOBALS];
    Stretch stretches[MOST_STRETCHES];
    unsigned stretch_count, oldest;
} Known;

// In which form a register's value is (lazy.c).
typedef enum Lazy { LAZY_NONE, LAZY_NAN, LAZY_BOX, LAZY_BOTH, LAZY_MIXED, LAZY_UNKNOWN } Lazy;

// Multiplications and additions whose flags are looked at together (lazy.c).
enum { MOST_CHAINS = 6, MOST_FACTORS = 8 };
typedef struct FmaFactors {
    LLVMValueRef x[2];
    KirType type;
} FmaFactors;
typedef struct FmaChain {
    FmaFactors factors[MOST_FACTORS];
    unsigned count;    // 0: not in use
    LLVMValueRef tail; // NaN if any of the sums is
} FmaChain;
typedef struct FmaChains {
    FmaChain chain[MOST_CHAINS];
    uint8_t in[LOWER_GLOBALS];        // by global: the number of the chain, from 1, whose tail was put into it; 0: none
    LLVMValueRef held[LOWER_GLOBALS]; // that value: it is not the tail any more if the chain went on
} FmaChains;

// One block of the request.
typedef struct LowerBlock {
    LLVMBasicBlockRef code;
    LLVMBasicBlockRef latch; // the way back to it: made when the first one is lowered
    LLVMBasicBlockRef strip; // NULL, or where a strip of its loop begins
    LLVMValueRef left;       // iterations of the strip
    GlobalSet dirty;         // at its start
    const int32_t *next;     // by exit: the block it leads to, or TRACE_LEAVES
    uint32_t end;            // how many of its instructions are lowered
    int32_t joins;           // the block that goes on there, or TRACE_LEAVES: it ends with an exit of its own
    bool strips;             // a loop of its own, that may be worth vectorising: polls are for strips of it
    uint32_t ways_in;        // edges to it, and the entry
    bool *stored;            // by index: a SET that goes home at once
    Known *known;            // NULL, or what is known on the one way in
    bool *exact;             // by KirRef: somebody looks at the bits of a NaN (mark_exact_values)
    bool *needs_box;         // by KirRef of a GET: it is used for more than the single that is boxed in it
    GlobalSet seen;          // at its start: may be looked at before it is written
    uint8_t *lazy;           // by global, at its start: Lazy
    uint8_t *latch_lazy;     // the same in its latch
    FmaChains *chains;       // NULL, or those on the one way in
    uint32_t order;          // position in reverse postorder, from 1; 0: not reached
} LowerBlock;

typedef struct Lower {
    const TraceRequest *request; // what unroll.c made of it
    uint32_t *origin;            // by block: the one of the request as it came
    LowerFeatures features;
    const char *tune; // LLVM's name of the processor that the code is for
    Arena *arena;
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef builder;
    LLVMValueRef function;
    LLVMTypeRef types[KIR_TYPE_COUNT], ptr, trace_type, helper_type, evaluator_type;
    LLVMValueRef args[LOWER_ARGS]; // of the function
    LLVMValueRef base;             // the cpu state
    LLVMValueRef memory;           // address 0 of guest memory
    unsigned scope_kind, noalias_kind, weights_kind;
    LLVMValueRef cpu_scope, guest_scope; // lists of one alias scope
    // By global: its alloca, NULL if the trace does not touch it; its argument, or -1.
    LLVMValueRef copy[LOWER_GLOBALS];
    LLVMValueRef single[LOWER_GLOBALS]; // an alloca of the single that is boxed in it, kept beside; NULL where nobody asks for it
    int16_t argument[LOWER_GLOBALS];
    LowerBlock *blocks;
    uint32_t *ordered, reached; // numbers of the blocks that are reached, in that order
    // The block being lowered:
    uint32_t block; // its number
    const KirBlock *kir;
    uint32_t index;       // of the instruction
    uint64_t insn_pc;     // of the guest instruction
    uint64_t counted;     // address of the KirCount of its last COUNT; 0: there was none
    bool uncounted;       // COUNTs are left out
    bool stores_all;      // SETs go home at once, so that accesses in exact mode have few registers to name
    LLVMValueRef *values; // by KirRef
    bool *exact;          // of the block
    uint8_t *lazy;        // by global: Lazy
    FmaChains chains;
    FmaChain *chain;       // NULL, or the one that the operation being lowered goes on with
    uint8_t *chain_of;     // by KirRef: as FmaChains.in
    bool *neutral;         // by KirRef: part of a neutral stretch (flags.c)
    LLVMValueRef *singles; // by KirRef: of a GET, the single that is boxed in it, or NULL
    Known *known;          // in exact mode
    Sum *sums;             // by KirRef
    uint32_t roots;        // how many there are so far
    GlobalSet pending;     // registers whose value is only made in ways out (flags.c), and that value
    KirRef pending_value[LOWER_GLOBALS];
    GlobalSet dirty;
    // What comes out:
    TraceExit *exits;
    uint32_t exit_count, exit_capacity;
    SiteTable sites;
    uint32_t fallbacks;
    bool keeps_pinned_home; // pinned integers are stored at the entry
    bool failed;            // something that the verifier should have refused
} Lower;

// ---- lower.c
// The trace as a function `kiln_trace` of l->module. l->request, context, module, features and arena are set.
bool lower_trace(Lower *l);
// The value of an operand.
static inline LLVMValueRef value_of(const Lower *l, KirRef v) { return l->values[v]; }
static inline KirType type_of(const Lower *l, KirRef v) { return kir_result_type(&l->kir->insns[v]); }
static inline LLVMTypeRef llvm_type(const Lower *l, unsigned kir_type) { return l->types[kir_type]; }
// Nobody sees registers at a fault.
static inline bool dies_at_faults(const Lower *l) { return l->request->assumptions & TRACE_NO_FAULT_HANDLER; }
static inline bool private_memory(const Lower *l) { return l->request->assumptions & TRACE_PRIVATE_MEMORY; }
LLVMValueRef const_int(const Lower *l, unsigned kir_type, uint64_t value);
LLVMValueRef const_i32(const Lower *l, uint32_t value);
// A call of an intrinsic that is overloaded on `overloads` types (e.g. "llvm.ctpop" on one); arguments in `args`.
LLVMValueRef intrinsic(Lower *l, const char *name, LLVMTypeRef *overloads, unsigned overload_count, LLVMValueRef *args,
                       unsigned arg_count);
void add_call_attribute(Lower *l, LLVMValueRef call, const char *name, uint64_t value);
// A field of the cpu state, by its offset from base (TraceLayout).
LLVMValueRef cpu_field(Lower *l, int32_t offset);
LLVMValueRef load_cpu(Lower *l, LLVMTypeRef type, int32_t offset, const char *name);
LLVMValueRef store_cpu(Lower *l, LLVMValueRef value, int32_t offset);
LLVMValueRef mark_cpu_access(Lower *l, LLVMValueRef access);
LLVMValueRef mark_guest_access(Lower *l, LLVMValueRef access);
// What the global holds now.
LLVMValueRef read_global(Lower *l, unsigned global);
void write_global(Lower *l, unsigned global, LLVMValueRef value);
// Increments the counter at this address.
void count_at(Lower *l, uint64_t address);
// Brings the homes of all dirty globals up to date; stores_pinned: the pinned ones too.
void store_dirty(Lower *l, const GlobalSet *dirty, bool pinned);
void reload_globals(Lower *l);
static inline void set_remove(GlobalSet *s, unsigned i) { s->bits[i / 64] &= ~(1ull << i % 64); }
static inline bool set_has(const GlobalSet *s, unsigned i) { return s->bits[i / 64] >> i % 64 & 1; }
static inline void set_add(GlobalSet *s, unsigned i) { s->bits[i / 64] |= 1ull << i % 64; }
// A new basic block behind the ones there are; the builder stays where it is.
LLVMBasicBlockRef new_block(Lower *l, const char *name);
// A conditional branch; weights: how often it goes either way, relative to each other (0, 0: not known).
void branch_if(Lower *l, LLVMValueRef condition, LLVMBasicBlockRef yes, LLVMBasicBlockRef no, uint32_t yes_weight,
               uint32_t no_weight);
enum { LIKELY = 4000, UNLIKELY = 1, STRIP = 1024, ROUNDS = 32 };

// ---- unroll.c: the request that is lowered instead; fills in l->origin.
const TraceRequest *repeat_loops(Lower *l);

// ---- graph.c: fills in l->blocks and the order, from the request and l->argument.
void find_graph(Lower *l);
void step_dirty(const Lower *l, uint32_t block, uint32_t index, GlobalSet *dirty);
// In exact mode: a pinned global that is at home where the trace begins.
bool is_kept_home(const Lower *l, unsigned global);
unsigned helper_flags(const KirBlock *kir, const KirInsn *insn);

// ---- one function a subject. A result of NULL: no code for it here, the evaluator does it. An operation without a result
// returns anything but NULL when it is done. Builder and l->values are the state; nothing else changes.
LLVMValueRef lower_integer(Lower *l, const KirInsn *insn);
LLVMValueRef lower_memory(Lower *l, const KirInsn *insn); // never NULL, but for FENCE (which is an effect)
LLVMValueRef lower_float(Lower *l, const KirInsn *insn);
LLVMValueRef lower_vector(Lower *l, const KirInsn *insn);

// ---- exact.c, for memory.c: accesses that show all registers when they fault
typedef struct Access {
    LLVMValueRef base;
    int32_t displacement;
    uint8_t log2_size;
    bool is_signed;
} Access;
// Integers that are narrower than the type are extended; all other types have the access's size.
LLVMValueRef exact_load(Lower *l, LLVMTypeRef type, const Access *access);
// The low bits of an integer, or a value of the access's size.
LLVMValueRef exact_store(Lower *l, LLVMValueRef value, const Access *access);
// Atomic operations on as many bits as the operand has, which is an integer, or for a compare and swap of 16 bytes a vector. The old value.
LLVMValueRef exact_compare_and_swap(Lower *l, LLVMValueRef address, LLVMValueRef expected, LLVMValueRef desired);
LLVMValueRef exact_exchange(Lower *l, LLVMValueRef address, LLVMValueRef value);
LLVMValueRef exact_add(Lower *l, LLVMValueRef address, LLVMValueRef value);

// ---- proven.c: is called in exact mode
void known_start_block(Lower *l, uint32_t number);
void known_pass_on(Lower *l, uint32_t number);
void known_step(Lower *l, const KirInsn *insn); // after the instruction
// The access cannot fault. If it may, it is known from now on that it did not.
bool is_proven(Lower *l, const KirInsn *insn, int32_t displacement, unsigned bytes, bool writes);

// ---- float.c, for itself and vector.c
// Which values of the block's instructions before `end` somebody sees bit by bit; the others may be any NaN where they should be the canonical one.
void mark_exact_values(const Lower *l, const KirBlock *block, uint32_t end, bool *exact);
// Does the operation make the same of all quiet NaN? Then nobody sees which of them its operand is.
bool takes_any_nan(const KirInsn *insn);
// The canonical NaN for a NaN; hot: where nobody has left the trace.
LLVMValueRef canonical_result(Lower *l, KirType type, LLVMValueRef result, bool hot);
// A single in its box.
LLVMValueRef box(Lower *l, LLVMValueRef x);
// Invalid, if it is infinity times zero.
void raise_for_factors(Lower *l, const FmaFactors *factors);
// May registers be looked at here? Accesses that check their alignment leave the trace by an exit of their own.
bool shows_registers(const KirInsn *insn, bool exact_faults);
// AND of classes and a constant mask, without the rest of the class. NULL: it is nothing of the kind.
LLVMValueRef class_test(Lower *l, const KirInsn *insn);
// The single in a register: the canonical NaN if it is not boxed.
LLVMValueRef unbox(Lower *l, LLVMValueRef x);
// A constrained intrinsic: raises flags when and where the guest expects it. Overloaded on its result, and on its operand if it converts.
typedef enum StrictKind { STRICT_ROUNDS = 1, STRICT_CONVERTS = 2 } StrictKind;
LLVMValueRef strict(Lower *l, const char *name, LLVMTypeRef result, LLVMValueRef *operands, unsigned count, StrictKind kind);
LLVMValueRef strict_compare(Lower *l, KirFcmp kind, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef strict_round(Lower *l, unsigned round, LLVMValueRef x); // not inexact, not KIR_RMM
void strict_raise_inexact(Lower *l, LLVMValueRef x);                 // if x is no integral value
// A cold path: p = split(l, rare); hot = ...; begin_cold(l, &p); cold = ...; result = join(l, &p, hot, cold).
typedef struct Paths {
    LLVMBasicBlockRef hot, cold, join;
} Paths;
Paths split(Lower *l, LLVMValueRef rare);
Paths split_unless(Lower *l, LLVMValueRef common);
void begin_cold(Lower *l, Paths *p);
LLVMValueRef join(Lower *l, const Paths *p, LLVMValueRef hot, LLVMValueRef cold);
// The evaluator's result in the rare case.
LLVMValueRef otherwise_evaluate(Lower *l, const KirInsn *insn, LLVMValueRef rare, LLVMValueRef hot, LLVMValueRef operands[3]);

// ---- lazy.c
void find_lazy(Lower *l); // for all blocks; l->copy and l->single are there
// A SET that need not show its value's NaN.
bool is_lazy_set(const Lower *l, const KirBlock *kir, const KirInsn *insn);
Lazy lazy_of_set(const Lower *l, uint32_t number, const KirInsn *insn);
void step_lazy(const Lower *l, uint32_t number, uint32_t index, uint8_t *lazy);
// Registers in their final form: all of them, or the one that a GET needs so.
void show_lazy(Lower *l, bool hot);
void look_at(Lower *l, unsigned global);
// The operation's result is a NaN if an operand is one: l->chain is one of theirs, or NULL. b may be KIR_NONE.
void chain_through(Lower *l, KirRef a, KirRef b);
// A multiply-add goes on with a chain or begins one. False: it is to be looked at here, and the chain of its addend is l->chain.
bool chain_factors(Lower *l, const KirInsn *insn, LLVMValueRef a, LLVMValueRef b);
// Where the result of the operation is known to be NaN.
void end_chain_in_nan(Lower *l);
void step_chains(Lower *l, const KirInsn *insn); // after the instruction
void check_chains(Lower *l);                     // on a way out, which the rest of the block does not see
void end_chains(Lower *l);
// The edge to a block that wants its registers in certain forms; only: NULL, or that block if this is the one way to it.
LLVMBasicBlockRef hand_over(Lower *l, LLVMBasicBlockRef to, const uint8_t *wanted, LowerBlock *only);

// ---- flags.c
// Marks what need not be done in the block being lowered.
void find_neutral(Lower *l);
// A SET whose value is only made where somebody may look at it: the register becomes pending.
bool is_put_off(const Lower *l, const KirInsn *insn);
// In a way out: pending registers get their value.
void show_pending(Lower *l);
LLVMValueRef lower_flags(Lower *l, const KirInsn *insn);
// stmxcsr or ldmxcsr of a field of the cpu state.
void access_mxcsr(Lower *l, const char *name, int32_t offset);

// ---- call.c
LLVMValueRef lower_call(Lower *l, const KirInsn *insn); // NULL if the helper has no result
LLVMValueRef call_evaluator(Lower *l, const KirInsn *insn);
// The same with operands that the caller has at hand (by slot; NULL: unused), in the block the builder is at: for cold paths of
// operations that have code of their own. Does not count as a fallback.
LLVMValueRef evaluate(Lower *l, const KirInsn *insn, LLVMValueRef operands[3]);

// ---- control.c
// Leaves the trace where the condition holds, before anything of the current guest instruction was done.
void exit_if(Lower *l, LLVMValueRef condition, const TraceExit *exit);
LLVMBasicBlockRef exit_block(Lower *l, const TraceExit *exit, const GlobalSet *dirty, LLVMValueRef fault_address);
void lower_entry_poll(Lower *l);
void lower_side_exit(Lower *l, const KirInsn *insn);
void lower_side_exit_indirect(Lower *l, const KirInsn *insn);
void lower_poll(Lower *l, const KirInsn *insn);
void lower_final_exit(Lower *l, const KirInsn *insn);
void lower_join(Lower *l);
void lower_strip(Lower *l, uint32_t number);

// ---- pipeline.c
// Object code of a module as it is (self-test). NULL: LLVM reported an error.
LLVMMemoryBufferRef compile_module(Compiler *compiler, LLVMModuleRef module);

#endif
