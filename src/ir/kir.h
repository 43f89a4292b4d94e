// SPDX-License-Identifier: MIT
//
// KIR, Kiln's intermediate representation.
//
// A block is a straight list of instructions. An instruction that has a result *is* the value: a reference (KirRef)
// is the index of the instruction that defines it, so a block is in SSA form by construction and a reference always
// points backwards. There are no labels inside a block: it has one entry, one final exit and any number of side
// exits, therefore a path of blocks is again one (long) block.
//
// Guest registers are *globals*, described by the guest (KirGlobal: name, offset in the cpu state, type) and touched by
// GET and SET alone. Order is program order: GET sees the last SET before it.
//
//   insn   0x101b4               ; start of a guest instruction: everything up to the next `insn` belongs to it
//   %1 = get.i64 a1
//   %2 = get.i64 a2
//   %3 = add.i64 %1, %2
//   set    a0, %3
//
// Fault rule: at an instruction with flag F (and at side exits) every global has in its home the value of the last SET
// before it, or the block's fault table (KirBlock.faults) says which value belongs there. A pass that removes or moves
// a SET across such an instruction adds the entry.
//
// Value conventions, the same in every tier: i1 is 0 or 1. A value of type T has the bits of T alone; what a consumer
// keeps above them (in a register, in KirValue) is unspecified in the fast tier and zero in the interpreter.
#ifndef KILN_IR_KIR_H
#define KILN_IR_KIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"

typedef uint32_t KirRef;
#define KIR_NONE ((KirRef)0xffffffffu)

typedef enum KirType {
    KIR_VOID,
    KIR_I1,
    KIR_I8,
    KIR_I16,
    KIR_I32,
    KIR_I64,
    KIR_I128,
    KIR_F32,
    KIR_F64,
    KIR_V64,
    KIR_V128,
    KIR_TYPE_COUNT
} KirType;

typedef enum KirOp {
#define KIR_OP(e, text, result, operands, flags) KIR_##e,
#include "ir/ops.def"
#undef KIR_OP
    KIR_OP_COUNT
} KirOp;

// Effect flags of an operation (KirOpInfo.flags), one bit a letter of ops.def.
enum {
    KIR_FLAG_PURE = 1,
    KIR_FLAG_READ = 2,
    KIR_FLAG_WRITE = 4,
    KIR_FLAG_FAULT = 8,
    KIR_FLAG_GLOBAL = 16,
    KIR_FLAG_SIDE_EXIT = 32,
    KIR_FLAG_END = 64,
    KIR_FLAG_FPENV = 128,
    KIR_FLAG_CALL = 256,
};

typedef struct KirOpInfo {
    const char *name;
    char result;      // see ops.def
    char operands[4]; // letters for a, b, c
    uint16_t flags;
} KirOpInfo;

extern const KirOpInfo kir_op_info[KIR_OP_COUNT];

// Slots a, b, c hold references or immediates as the operand letters say. An imm64 (CONST, INSN) lies over a and b.
typedef struct KirInsn {
    uint8_t op;   // KirOp
    uint8_t type; // KirType
    uint16_t aux;
    uint32_t c;
    union {
        struct {
            uint32_t a, b;
        };
        uint64_t imm;
    };
} KirInsn;
_Static_assert(sizeof(KirInsn) == 16, "KirInsn stays small: passes are memory bound");

typedef enum KirConstKind {
    KIR_PLAIN,
    KIR_IMAGE, // an address inside the guest file the block comes from: moves with it under address randomisation
} KirConstKind;

typedef enum KirCond {
    KIR_EQ,
    KIR_NE,
    KIR_LTS,
    KIR_LES,
    KIR_GTS,
    KIR_GES,
    KIR_LTU,
    KIR_LEU,
    KIR_GTU,
    KIR_GEU,
} KirCond;

// aux of LOAD, STORE, CAS, AMO.
enum {
    KIR_MEM_8 = 0,
    KIR_MEM_16 = 1,
    KIR_MEM_32 = 2,
    KIR_MEM_64 = 3,
    KIR_MEM_128 = 4, // log2 of the bytes
    KIR_MEM_SIZE = 7,
    KIR_MEM_SIGNED = 1 << 3,
    KIR_MEM_ACQUIRE = 1 << 4,
    KIR_MEM_RELEASE = 1 << 5, // acquire and release together on a load or store: sequentially consistent
    KIR_MEM_ALIGNED = 1 << 6, // misaligned: the guest's alignment fault (helper `raise_misaligned` of the engine)
    KIR_MEM_NOFAULT = 1 << 7, // proven: cannot fault
    KIR_MEM_ATOMIC = 1 << 8,  // single-copy atomic if aligned (all plain host accesses up to 8 bytes are)
};

typedef enum KirAmo {
    KIR_AMO_XCHG,
    KIR_AMO_ADD,
    KIR_AMO_AND,
    KIR_AMO_OR,
    KIR_AMO_XOR,
    KIR_AMO_SMIN,
    KIR_AMO_SMAX,
    KIR_AMO_UMIN,
    KIR_AMO_UMAX,
    KIR_AMO_CLEAR, // CLEAR: and-not
} KirAmo;

// FENCE: bits 0-1 predecessor reads, writes; bits 2-3 successor reads, writes; bit 4: instruction stream (no code on x86).
enum { KIR_FENCE_PR = 1, KIR_FENCE_PW = 2, KIR_FENCE_SR = 4, KIR_FENCE_SW = 8, KIR_FENCE_ALL = 15, KIR_FENCE_INSN = 16 };

typedef enum KirRound { KIR_RNE, KIR_RTZ, KIR_RDN, KIR_RUP, KIR_RMM, KIR_RDYN = 7 } KirRound;

// aux of scalar floating point.
enum {
    KIR_FP_ROUND = 7,         // KirRound: KIR_RDYN = the environment's; RMM = nearest, ties away from zero
    KIR_FP_NAN_CANONICAL = 0, // a NaN result is the positive quiet NaN with no payload (RISC-V, Arm with DN)
    KIR_FP_NAN_ARM = 1 << 3,  // first signalling operand quieted, else first quiet operand, in operand order (addend first
                              // for FMA), else the default NaN (positive)
    KIR_FP_NAN_RULE = 3 << 3,
    KIR_FP_NEG_PRODUCT = 1 << 5,
    KIR_FP_NEG_ADDEND = 1 << 6,
    KIR_FP_UNSIGNED = 1 << 7,
    KIR_FP_NAN_ZERO = 1 << 8,
    KIR_FP_NUMBER = 1 << 9,
    KIR_FP_EXACT = 1 << 10,
};

// aux of FCMP, slot c of VFCMP. The S forms raise invalid for any NaN, the others for a signalling one only.
typedef enum KirFcmp {
    KIR_FEQ,
    KIR_FLT,
    KIR_FLE,
    KIR_FUNORD,
    KIR_FEQ_S,
    KIR_FLT_S,
    KIR_FLE_S,
    KIR_FGT,
    KIR_FGE,
    KIR_FGT_S,
    KIR_FGE_S
} KirFcmp;

// Slot b of VFEST and slot c of VFSTEP. RECPS: 2 - a*b, RSQRTS: (3 - a*b)/2, MULX: a*b; infinity times zero counts as 0, MULX: 2.
typedef enum KirFest { KIR_FEST_RECP, KIR_FEST_RSQRT, KIR_FEST_URECP, KIR_FEST_URSQRT, KIR_FEST_RECPX } KirFest;
typedef enum KirFstep { KIR_FSTEP_RECPS, KIR_FSTEP_RSQRTS, KIR_FSTEP_MULX } KirFstep;

// FGETFLAGS, FSETFLAGS: RISC-V's order.
enum { KIR_FFLAG_NX = 1, KIR_FFLAG_UF = 2, KIR_FFLAG_OF = 4, KIR_FFLAG_DZ = 8, KIR_FFLAG_NV = 16 };

// aux of vector operations.
enum {
    KIR_VEC_LANE = 7, // log2 of the lane's bytes, 0..3 (4: the whole register)
    KIR_VEC_SIGNED = 1 << 3,
    KIR_VEC_ROUND = 1 << 4,
    KIR_VEC_SATURATE = 1 << 5,
    KIR_VEC_MIXED = 1 << 6, // signed source, unsigned result (or the reverse for adds: SUQADD, USQADD)
    KIR_VEC_POLY = 1 << 7,
    KIR_VEC_NAN_ARM = 1 << 8, // else canonical
    KIR_VEC_VARIANT = 1 << 10,
};

typedef enum KirSha {
    KIR_SHA1C,
    KIR_SHA1P,
    KIR_SHA1M,
    KIR_SHA1H,
    KIR_SHA1SU0,
    KIR_SHA1SU1,
    KIR_SHA256H,
    KIR_SHA256H2,
    KIR_SHA256SU0,
    KIR_SHA256SU1
} KirSha;

// aux of EXIT_IND and EXIT_IF_IND, KirExit.hint.
typedef enum KirJumpHint { KIR_JUMP, KIR_JUMP_CALL, KIR_JUMP_RETURN } KirJumpHint;

typedef enum KirExitKind {
    KIR_EXIT_DIRECT,    // go on at target
    KIR_EXIT_EXCEPTION, // guest exception `code` raised by the instruction at target
} KirExitKind;

// Exceptions a guest instruction can raise by itself (KirExit.code). The Linux layer turns them into calls and signals.
typedef enum KirException {
    KIR_EXC_SYSCALL,
    KIR_EXC_BREAKPOINT,
    KIR_EXC_ILLEGAL,
    KIR_EXC_FETCH_FAULT,
    KIR_EXC_MISALIGNED_ADDRESS,
    KIR_EXC_DIVIDE,
    KIR_EXC_TRAP,
    KIR_EXC_FENCE_I, // resume after the instruction at target, all code changes seen
    KIR_EXC_RESUME,  // leave to the engine and go on at target (end of block because a mode changed)
} KirException;

typedef struct KirExit {
    uint64_t target; // guest pc
    uint8_t kind;    // KirExitKind
    uint8_t code;    // KirException
    uint8_t hint;    // KirJumpHint; CALL: `link` is the address the callee will return to
    uint8_t image;   // target (and link) are image addresses
    uint64_t link;
} KirExit;

// What COUNT counts: executions, and how often the block was left indirectly after it. Additions are not atomic.
typedef struct KirCount {
    uint64_t executed, left_indirectly;
} KirCount;

// A guest register as KIR sees it. Offsets count from the start of the guest's state (Cpu.guest).
typedef struct KirGlobal {
    const char *name;
    uint32_t offset;
    uint8_t type;
} KirGlobal;

// Helpers: C functions that a block may call. Prototype: KirHelperFn with 0 to 3 operands of i1..i64 (f32, f64 travel as
// their bits, v64/v128 do not travel), `void *cpu` first, result i1..i64, f32, f64 as bits in a uint64_t.
enum {
    KIR_HELPER_READS_GLOBALS = 1,
    KIR_HELPER_WRITES_GLOBALS = 2,
    KIR_HELPER_MAY_RAISE = 4, // may end in engine_raise()
    KIR_HELPER_FPENV = 8,     // runs under the guest's MXCSR (rounding, sticky flags); else under the default one
    KIR_HELPER_PURE = 16,
};
typedef uint64_t (*KirHelperFn)(void *cpu, uint64_t a, uint64_t b, uint64_t c);
typedef struct KirHelper {
    const char *name;
    KirHelperFn fn;
    uint8_t result;      // KirType
    uint8_t operands[3]; // KirType, KIR_VOID = absent
    uint8_t flags;
} KirHelper;

// At instruction `at` (flag F or a side exit), global `global` is not in its home: its value is `value`.
typedef struct KirFaultEntry {
    uint32_t at;
    uint16_t global;
    uint16_t pad;
    KirRef value;
} KirFaultEntry;

typedef struct KirWide {
    uint64_t lo, hi;
} KirWide;

// What a block's instructions refer to by number; one constant object a guest.
typedef struct KirWorld {
    const KirGlobal *globals;
    uint32_t global_count;
    const KirHelper *helpers;
    uint32_t helper_count;
} KirWorld;

typedef struct KirBlock {
    const KirWorld *world;
    uint64_t pc;          // of the first guest instruction
    uint32_t mode;        // guest mode flags the block was translated under
    uint32_t guest_bytes; // length of the guest code from pc (0 for a path of several blocks)
    uint32_t guest_insns;
    uint64_t image_base;    // load bias of the guest file; KIR_IMAGE constants print relative to it
    const uint64_t *pinned; // bit set by global: kept in a host register, so a SET costs nothing; NULL: none is
    bool image_valid;       // pc-relative values shall be KIR_IMAGE (the file can move)
    bool folded;            // made by one builder from start to end: the fold pass has nothing to find
    KirInsn *insns;
    uint32_t count, capacity;
    KirExit *exits;
    uint32_t exit_count, exit_capacity;
    KirWide *wides;
    uint32_t wide_count, wide_capacity;
    KirFaultEntry *faults; // sorted by `at`
    uint32_t fault_count, fault_capacity;
    Arena *arena; // owns all of the above
} KirBlock;

// ---- building (ir/build.c). The builder folds while it builds: constants, identities, GET after SET/GET. --------------
typedef struct KirBuilder {
    KirBlock *block;
    KirRef *current; // by global: the value it holds now, or KIR_NONE
    uint32_t generation;
    KirRef *recent; // direct-mapped table of recent pure values (ir/build.c); entries are hints, checked when used
} KirBuilder;

// Starts an empty block in `arena`. Nothing is freed but with the arena.
KirBlock *kir_block_new(Arena *arena, const KirWorld *world, uint64_t pc, uint32_t mode);
void kir_builder_init(KirBuilder *b, KirBlock *block);

void kir_insn_start(KirBuilder *b, uint64_t pc, unsigned bytes); // INSN marker
void kir_count(KirBuilder *b, uint64_t address);                 // of a KirCount
KirRef kir_const(KirBuilder *b, KirType type, uint64_t value);   // value is cut to the type
KirRef kir_image(KirBuilder *b, uint64_t address);               // i64; KIR_IMAGE if block->image_valid, else plain
KirRef kir_constv(KirBuilder *b, KirType type, uint64_t lo, uint64_t hi);
KirRef kir_get(KirBuilder *b, unsigned global);
void kir_set(KirBuilder *b, unsigned global, KirRef value);
// Any value operation with KIR_NONE (or an immediate) in unused slots. Folds; may return an existing value.
KirRef kir_emit(KirBuilder *b, KirOp op, KirType type, unsigned aux, uint32_t a, uint32_t b_, uint32_t c);
KirRef kir_load(KirBuilder *b, KirType type, unsigned mem, KirRef address, int32_t displacement);
void kir_store(KirBuilder *b, unsigned mem, KirRef address, int32_t displacement, KirRef value);
KirRef kir_call(KirBuilder *b, unsigned helper, KirRef a, KirRef b_, KirRef c); // forgets globals the helper may write
unsigned kir_exit_new(KirBuilder *b, KirExit exit);
unsigned kir_exit_direct(KirBuilder *b, uint64_t target); // image as block->image_valid
unsigned kir_exit_exception(KirBuilder *b, KirException code, uint64_t pc);
void kir_exit_if(KirBuilder *b, KirRef cond, unsigned exit); // constant false: nothing
void kir_exit(KirBuilder *b, unsigned exit);
void kir_exit_cond(KirBuilder *b, KirRef cond, unsigned taken, unsigned not_taken); // constant: plain exit
void kir_exit_ind(KirBuilder *b, KirRef pc, KirJumpHint hint);
void kir_exit_if_ind(KirBuilder *b, KirRef cond, KirRef pc, KirJumpHint hint); // constant false: nothing

// ---- paths (ir/path.c) --------------------------------------------------------------------------------------------------
// One block out of blocks that were executed one after the other: each final exit but the last becomes a side exit wherever it does not
// lead to the next block. A block may stand in it more than once (a loop that is unrolled). The blocks are as a translator made them, without
// fault table. *joined: how many were joined; fewer than `count` where one does not lead to the next. All live in `arena` afterwards.
KirBlock *kir_path(Arena *arena, const KirBlock *const *blocks, unsigned count, unsigned *joined);
// Does the final exit of `from` lead to `to`, as far as it is known: directly, or by an indirect jump that may?
bool kir_leads_to(const KirBlock *from, uint64_t to);

static inline KirType kir_type(const KirBlock *block, KirRef v) { return (KirType)block->insns[v].type; }
// The type of the value an instruction defines (CMP has the operands' type in `type` and defines an i1).
KirType kir_result_type(const KirInsn *insn);
// 0..3 operand slots that are references: fills refs with pointers to the slots, returns how many.
int kir_operands(KirInsn *insn, uint32_t *refs[3]);
unsigned kir_type_bits(KirType type);
bool kir_is_const(const KirBlock *block, KirRef v);

// ---- text (ir/print.c, ir/parse.c), verifier (ir/verify.c), binary form (ir/binary.c) ----------------------------------
// print.c: writes the block as text; parse.c reads exactly that form back.
typedef struct KirText {
    char *data;
    size_t length, capacity;
} KirText;
void kir_print(KirText *out, const KirBlock *block);
KirBlock *kir_parse(Arena *arena, const KirWorld *world, const char *text, char *error, size_t error_size);
// True if well formed; else false and a message naming the instruction.
bool kir_verify(const KirBlock *block, char *error, size_t error_size);
// Position-independent serialised form; returns bytes written or needed. kir_read returns NULL for anything malformed.
size_t kir_write(const KirBlock *block, uint8_t *out, size_t capacity);
KirBlock *kir_read(Arena *arena, const KirWorld *world, const uint8_t *data, size_t size);

// ---- passes, one file each (ir/pass_*.c); all linear -----------------------------------------------------------------
typedef struct KirPass {
    const char *name;
    void (*run)(KirBlock *block);
} KirPass;
extern const KirPass kir_passes[];                     // in pipeline order, ended by a NULL name
void kir_optimise(KirBlock *block, uint32_t disabled); // runs the pipeline; bit i switches pass i off; verifies in debug

// ---- evaluation (interp/eval.c): the meaning of every pure and floating-point operation, as C. --------------------------
typedef union KirValue {
    uint64_t u64[2];
    int64_t s64[2];
    uint32_t u32[4];
    uint16_t u16[8];
    uint8_t u8[16];
    uint64_t i;
    float f32;
    double f64;
    unsigned __int128 i128;
} KirValue;
// Result of a value operation without memory, globals or exits. `insn` gives op, type, aux and immediates; operand types for
// conversions are in `types` (of a, b, c). Runs under the current MXCSR: rounding is taken from it, flags are raised in it.
KirValue kir_eval(const KirInsn *insn, const uint8_t types[3], KirValue a, KirValue b, KirValue c);

#endif
