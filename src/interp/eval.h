// SPDX-License-Identifier: MIT
//
// Inside of the evaluator: one function for each value operation of ops.def, and what they share.
//
// An evaluator gets an Eval: the instruction, and its operands cut to their types (bits above a value's type
// are zero, so a consumer may read any wider member of KirValue). What it returns is cut to the result's type
// by kir_eval. No C floating-point arithmetic is done anywhere here: numbers are taken apart as integers
// (eval_soft.c) or given to single SSE instructions (eval_hard.c), so nothing depends on how a compiler
// treats the floating-point environment.
#ifndef KILN_INTERP_EVAL_H
#define KILN_INTERP_EVAL_H

#include "ir/kir.h"

typedef unsigned __int128 U128;
typedef __int128 S128;

typedef struct Eval {
    const KirInsn *insn;
    const uint8_t *types; // of the operands
    KirValue a, b, c;
    unsigned bits; // width of the instruction's type
} Eval;

// kir_eval_ADD and so on. An operation without such a function does not link.
#define KIR_OP(e, text, result, operands, flags) KirValue kir_eval_##e(const Eval *v);
#include "ir/ops.def"
#undef KIR_OP

static inline KirValue kir_value(uint64_t low) { return (KirValue){.u64 = {low, 0}}; }
static inline KirValue kir_value128(U128 value) { return (KirValue){.u64 = {(uint64_t)value, (uint64_t)(value >> 64)}}; }
static inline U128 kir_bits128(KirValue v) { return (U128)v.u64[1] << 64 | v.u64[0]; }
static inline uint64_t cut64(uint64_t value, unsigned bits) { return bits >= 64 ? value : value & (((uint64_t)1 << bits) - 1); }
static inline int64_t sign64(uint64_t value, unsigned bits) { return (int64_t)(value << (64 - bits)) >> (64 - bits); }

// ---- lanes of a vector, as wide integers. Sizes are log2 of bytes; an index is taken modulo the l
U128 lane_unsigned(const KirValue *v, unsigned size, unsigned index);
S128 lane_signed(const KirValue *v, unsigned size, unsigned index);
void lane_put(KirValue *v, unsigned size, unsigned index, U128 value);

// ---- floating point -----------------------------------------------------------------------------
typedef enum FloatFormat { FORMAT_HALF, FORMAT_SINGLE, FORMAT_DOUBLE } FloatFormat;

// How an operation rounds, what it does about NaN, and what it raised. `flags` collects KIR_FFLAG_*.
typedef struct FloatContext {
    KirRound round; // never KIR_RDYN
    bool arm;       // Arm's NaN rule, and underflow found before rounding instead of after it
    unsigned flags;
} FloatContext;

// The rounding mode of the environment resolved; mxcsr is read once.
FloatContext float_context(unsigned round, bool arm);
// Raises what was collected in MXCSR.
void float_raise(const FloatContext *context);

static inline FloatFormat float_format(KirType type) { return type == KIR_F64 || type == KIR_I64 ? FORMAT_DOUBLE : FORMAT_SINGLE; }

// Bits in, bits out, whatever the rounding mode and rules (eval_soft.c).
uint64_t soft_add(FloatContext *context, FloatFormat format, uint64_t a, uint64_t b);
uint64_t soft_sub(FloatContext *context, FloatFormat format, uint64_t a, uint64_t b);
uint64_t soft_mul(FloatContext *context, FloatFormat format, uint64_t a, uint64_t b);
uint64_t soft_div(FloatContext *context, FloatFormat format, uint64_t a, uint64_t b);
uint64_t soft_sqrt(FloatContext *context, FloatFormat format, uint64_t a);
uint64_t soft_fma(FloatContext *context, FloatFormat format, uint64_t a, uint64_t b, uint64_t c);
uint64_t soft_step(FloatContext *context, FloatFormat format, KirFstep step, uint64_t a, uint64_t b);
uint64_t soft_convert(FloatContext *context, FloatFormat from, FloatFormat to, uint64_t a);
uint64_t soft_from_int(FloatContext *context, FloatFormat format, bool negative, uint64_t magnitude);
uint64_t soft_round(FloatContext *context, FloatFormat format, bool raise_inexact, uint64_t a);
// To an integer of `bits` bits, saturating; NaN gives 0 or the largest value.
uint64_t soft_to_int(FloatContext *context, FloatFormat format, unsigned bits, bool is_unsigned, bool nan_zero, uint64_t a);

// Comparison and classification (eval_compare.c).
uint64_t float_min_max(FloatContext *context, FloatFormat format, bool max, bool number, uint64_t a, uint64_t b);
bool float_compare(FloatContext *context, FloatFormat format, KirFcmp kind, uint64_t a, uint64_t b);
unsigned float_class(FloatFormat format, uint64_t a); // RISC-V's ten bits
uint64_t float_estimate(FloatContext *context, FloatFormat format, KirFest kind, uint64_t a);
uint64_t float_sign_bit(FloatFormat format);
uint64_t float_default_nan(FloatFormat format);
bool float_is_nan(FloatFormat format, uint64_t a);
bool float_is_signalling(FloatFormat format, uint64_t a);
// Result of an operation with NaN operands (n of them, in order; at least one NaN): raises, picks by rule.
uint64_t float_pick_nan(FloatContext *context, FloatFormat format, const uint64_t *operands, int n);

// ---- the host's arithmetic under the present MXCSR; NaN results are the canonical NaN (eval_hard.
typedef enum HardOp { HARD_ADD, HARD_SUB, HARD_MUL, HARD_DIV, HARD_SQRT } HardOp;
uint64_t hard_arithmetic(HardOp op, FloatFormat format, uint64_t a, uint64_t b);
uint64_t hard_fma(FloatFormat format, uint64_t a, uint64_t b, uint64_t c);
bool hard_has_fma(void);
uint32_t hard_get_mxcsr(void);
void hard_set_mxcsr(uint32_t mxcsr);

// What the scalar and the lane-wise operations are made of: the host's arithmetic where it means the same,
// else the exact one.
typedef enum FloatOp { FLOAT_ADD, FLOAT_SUB, FLOAT_MUL, FLOAT_DIV, FLOAT_SQRT, FLOAT_FMA } FloatOp;
uint64_t float_arithmetic(FloatOp op, FloatFormat format, unsigned round, bool arm, uint64_t a, uint64_t b, uint64_t c);

// Tests only: which of the two ways float_arithmetic may take.
extern bool kir_eval_never_hard, kir_eval_no_fma;

#endif
