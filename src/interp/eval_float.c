// SPDX-License-Identifier: MIT
//
// Scalar floating-point operations. Rounding comes from `aux` (KIR_RDYN: from MXCSR), flags go to MXCSR and
// are never taken away.
//
// The host's own arithmetic is used where it means the same: canonical NaN and the rounding mode that MXCSR
// has anyway. The rest (other modes, nearest with ties away, Arm's rules, all conversions) is exact integer
// arithmetic.
#include "interp/eval.h"

bool kir_eval_never_hard, kir_eval_no_fma;

// ---- the environment ----------------------------------------------------------------------------
enum { MXCSR_IE = 1, MXCSR_ZE = 4, MXCSR_OE = 8, MXCSR_UE = 16, MXCSR_PE = 32, MXCSR_FLAGS = 61, MXCSR_RC_SHIFT = 13 };
static const uint8_t round_of_rc[4] = {KIR_RNE, KIR_RDN, KIR_RUP, KIR_RTZ};
static const uint8_t rc_of_round[4] = {[KIR_RNE] = 0, [KIR_RDN] = 1, [KIR_RUP] = 2, [KIR_RTZ] = 3};

static uint32_t flags_to_mxcsr(unsigned flags) {
    return (flags & KIR_FFLAG_NV ? MXCSR_IE : 0) | (flags & KIR_FFLAG_DZ ? MXCSR_ZE : 0) | (flags & KIR_FFLAG_OF ? MXCSR_OE : 0) |
           (flags & KIR_FFLAG_UF ? MXCSR_UE : 0) | (flags & KIR_FFLAG_NX ? MXCSR_PE : 0);
}

static unsigned flags_of_mxcsr(uint32_t mxcsr) {
    return (mxcsr & MXCSR_IE ? KIR_FFLAG_NV : 0) | (mxcsr & MXCSR_ZE ? KIR_FFLAG_DZ : 0) | (mxcsr & MXCSR_OE ? KIR_FFLAG_OF : 0) |
           (mxcsr & MXCSR_UE ? KIR_FFLAG_UF : 0) | (mxcsr & MXCSR_PE ? KIR_FFLAG_NX : 0);
}

static KirRound environment_round(void) { return (KirRound)round_of_rc[hard_get_mxcsr() >> MXCSR_RC_SHIFT & 3]; }

FloatContext float_context(unsigned round, bool arm) {
    return (FloatContext){.round = round > KIR_RMM ? environment_round() : (KirRound)round, .arm = arm};
}

void float_raise(const FloatContext *context) {
    uint32_t before = hard_get_mxcsr(), after = before | flags_to_mxcsr(context->flags);
    if (after != before) hard_set_mxcsr(after);
}

KirValue kir_eval_FGETFLAGS(const Eval *v) { return kir_value(flags_of_mxcsr(hard_get_mxcsr())); }
KirValue kir_eval_FSETFLAGS(const Eval *v) {
    hard_set_mxcsr((hard_get_mxcsr() & ~(uint32_t)MXCSR_FLAGS) | flags_to_mxcsr((unsigned)v->a.i));
    return kir_value(0);
}
// Nearest with ties away has no place in MXCSR: translations made for that mode say so in `aux`.
KirValue kir_eval_FSETROUND(const Eval *v) {
    uint32_t rc = v->a.i <= KIR_RUP ? rc_of_round[v->a.i] : 0;
    hard_set_mxcsr((hard_get_mxcsr() & ~(3u << MXCSR_RC_SHIFT)) | rc << MXCSR_RC_SHIFT);
    return kir_value(0);
}

// ---- arithmetic ---------------------------------------------------------------------------------
static uint64_t soft_arithmetic(FloatContext *context, FloatOp op, FloatFormat format, uint64_t a, uint64_t b, uint64_t c) {
    switch (op) {
    case FLOAT_ADD: return soft_add(context, format, a, b);
    case FLOAT_SUB: return soft_sub(context, format, a, b);
    case FLOAT_MUL: return soft_mul(context, format, a, b);
    case FLOAT_DIV: return soft_div(context, format, a, b);
    case FLOAT_SQRT: return soft_sqrt(context, format, a);
    case FLOAT_FMA: return soft_fma(context, format, a, b, c);
    }
    return 0;
}

uint64_t float_arithmetic(FloatOp op, FloatFormat format, unsigned round, bool arm, uint64_t a, uint64_t b, uint64_t c) {
    FloatContext context = float_context(round, arm);
    if (!arm && !kir_eval_never_hard && context.round == environment_round()) {
        if (op != FLOAT_FMA) return hard_arithmetic((HardOp)op, format, a, b);
        bool nan = float_is_nan(format, a) || float_is_nan(format, b) || float_is_nan(format, c);
        if (!nan && hard_has_fma() && !kir_eval_no_fma) return hard_fma(format, a, b, c);
    }
    uint64_t result = soft_arithmetic(&context, op, format, a, b, c);
    float_raise(&context);
    return result;
}
_Static_assert((int)FLOAT_SQRT == (int)HARD_SQRT && (int)FLOAT_ADD == (int)HARD_ADD, "HardOp numbers operations as FloatOp does");

static FloatFormat result_format(const Eval *v) { return float_format((KirType)v->insn->type); }
static FloatFormat operand_format(const Eval *v) { return float_format((KirType)v->types[0]); }
static bool is_arm(const Eval *v) { return (v->insn->aux & KIR_FP_NAN_RULE) == KIR_FP_NAN_ARM; }
static unsigned round_field(const Eval *v) { return v->insn->aux & KIR_FP_ROUND; }

static KirValue arithmetic(const Eval *v, FloatOp op) {
    return kir_value(float_arithmetic(op, result_format(v), round_field(v), is_arm(v), v->a.i, v->b.i, v->c.i));
}
KirValue kir_eval_FADD(const Eval *v) { return arithmetic(v, FLOAT_ADD); }
KirValue kir_eval_FSUB(const Eval *v) { return arithmetic(v, FLOAT_SUB); }
KirValue kir_eval_FMUL(const Eval *v) { return arithmetic(v, FLOAT_MUL); }
KirValue kir_eval_FDIV(const Eval *v) { return arithmetic(v, FLOAT_DIV); }
KirValue kir_eval_FSQRT(const Eval *v) { return arithmetic(v, FLOAT_SQRT); }

// The signs of operands a and c are turned before anything else looks at them, those of NaN too.
KirValue kir_eval_FMA(const Eval *v) {
    FloatFormat format = result_format(v);
    uint64_t sign = float_sign_bit(format);
    uint64_t a = v->insn->aux & KIR_FP_NEG_PRODUCT ? v->a.i ^ sign : v->a.i;
    uint64_t c = v->insn->aux & KIR_FP_NEG_ADDEND ? v->c.i ^ sign : v->c.i;
    return kir_value(float_arithmetic(FLOAT_FMA, format, round_field(v), is_arm(v), a, v->b.i, c));
}

// ---- what raises flags through a context --------------------------------------------------------
static FloatContext context_of(const Eval *v) { return float_context(round_field(v), is_arm(v)); }
static KirValue finish(const FloatContext *context, uint64_t result) {
    float_raise(context);
    return kir_value(result);
}

static KirValue min_max(const Eval *v, bool max) {
    FloatContext context = context_of(v);
    bool number = v->insn->aux & KIR_FP_NUMBER;
    return finish(&context, float_min_max(&context, result_format(v), max, number, v->a.i, v->b.i));
}
KirValue kir_eval_FMIN(const Eval *v) { return min_max(v, false); }
KirValue kir_eval_FMAX(const Eval *v) { return min_max(v, true); }

KirValue kir_eval_FCMP(const Eval *v) {
    FloatContext context = {0};
    return finish(&context, float_compare(&context, result_format(v), (KirFcmp)v->insn->aux, v->a.i, v->b.i));
}

KirValue kir_eval_FTOI(const Eval *v) {
    FloatContext context = context_of(v);
    bool is_unsigned = v->insn->aux & KIR_FP_UNSIGNED, nan_zero = v->insn->aux & KIR_FP_NAN_ZERO;
    return finish(&context, soft_to_int(&context, operand_format(v), v->bits, is_unsigned, nan_zero, v->a.i));
}

KirValue kir_eval_ITOF(const Eval *v) {
    FloatContext context = context_of(v);
    int64_t value = sign64(v->a.i, kir_type_bits((KirType)v->types[0]));
    bool negative = value < 0 && !(v->insn->aux & KIR_FP_UNSIGNED);
    return finish(&context, soft_from_int(&context, result_format(v), negative, negative ? -(uint64_t)value : v->a.i));
}

static KirValue convert(const Eval *v, FloatFormat from, FloatFormat to, uint64_t a) {
    FloatContext context = context_of(v);
    return finish(&context, soft_convert(&context, from, to, a));
}
KirValue kir_eval_FTOF(const Eval *v) { return convert(v, operand_format(v), result_format(v), v->a.i); }
KirValue kir_eval_HTOF(const Eval *v) { return convert(v, FORMAT_HALF, result_format(v), v->a.u16[0]); }
KirValue kir_eval_FTOH(const Eval *v) { return convert(v, operand_format(v), FORMAT_HALF, v->a.i); }

KirValue kir_eval_FROUND(const Eval *v) {
    FloatContext context = context_of(v);
    return finish(&context, soft_round(&context, result_format(v), v->insn->aux & KIR_FP_EXACT, v->a.i));
}

// ---- what only looks at bits --------------------------------------------------------------------
KirValue kir_eval_FNEG(const Eval *v) { return kir_value(v->a.i ^ float_sign_bit(result_format(v))); }
KirValue kir_eval_FABS(const Eval *v) { return kir_value(v->a.i & ~float_sign_bit(result_format(v))); }
KirValue kir_eval_FCOPYSIGN(const Eval *v) {
    uint64_t sign = float_sign_bit(result_format(v));
    return kir_value((v->a.i & ~sign) | (v->b.i & sign));
}
KirValue kir_eval_FCLASS(const Eval *v) { return kir_value(float_class(operand_format(v), v->a.i)); }
KirValue kir_eval_NANBOX(const Eval *v) { return kir_value(v->a.i | 0xffffffff00000000u); }
KirValue kir_eval_NANUNBOX(const Eval *v) {
    return kir_value(v->a.u32[1] == 0xffffffffu ? v->a.u32[0] : float_default_nan(FORMAT_SINGLE));
}
