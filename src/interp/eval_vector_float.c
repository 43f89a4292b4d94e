// SPDX-License-Identifier: MIT
//
// Lane-wise floating point. Each lane is the scalar operation; rounding is MXCSR's but where an operation
// names its own; flags of all lanes come together.
#include "interp/eval.h"

static FloatFormat format_of(const Eval *v) { return (v->insn->aux & KIR_VEC_LANE) == 3 ? FORMAT_DOUBLE : FORMAT_SINGLE; }
static unsigned size_of(FloatFormat format) { return (unsigned)format + 1; } // log2 of its bytes
static unsigned count_of(const Eval *v) { return (v->bits / 8) >> size_of(format_of(v)); }
static bool is_arm(const Eval *v) { return v->insn->aux & KIR_VEC_NAN_ARM; }
static bool is_variant(const Eval *v) { return v->insn->aux & KIR_VEC_VARIANT; }
static bool is_signed(const Eval *v) { return v->insn->aux & KIR_VEC_SIGNED; }
static uint64_t get(const Eval *v, const KirValue *from, unsigned i) {
    return (uint64_t)lane_unsigned(from, size_of(format_of(v)), i);
}
static void put(const Eval *v, KirValue *to, unsigned i, uint64_t bits) { lane_put(to, size_of(format_of(v)), i, bits); }

static uint64_t compute(const Eval *v, FloatOp op, uint64_t a, uint64_t b, uint64_t c) {
    return float_arithmetic(op, format_of(v), KIR_RDYN, is_arm(v), a, b, c);
}
static KirValue arithmetic(const Eval *v, FloatOp op) {
    KirValue result = kir_value(0);
    for (unsigned i = 0; i < count_of(v); i++)
        put(v, &result, i, compute(v, op, get(v, &v->a, i), get(v, &v->b, i), get(v, &v->c, i)));
    return result;
}
KirValue kir_eval_VFADD(const Eval *v) { return arithmetic(v, FLOAT_ADD); }
KirValue kir_eval_VFSUB(const Eval *v) { return arithmetic(v, FLOAT_SUB); }
KirValue kir_eval_VFMUL(const Eval *v) { return arithmetic(v, FLOAT_MUL); }
KirValue kir_eval_VFDIV(const Eval *v) { return arithmetic(v, FLOAT_DIV); }
KirValue kir_eval_VFSQRT(const Eval *v) { return arithmetic(v, FLOAT_SQRT); }

// Turning a sign is a matter of bits, NaN included: VARIANT turns operand a's before the product is made.
static KirValue turn_signs(const Eval *v, KirValue value, bool clear) {
    uint64_t sign = float_sign_bit(format_of(v));
    for (unsigned i = 0; i < count_of(v); i++) {
        uint64_t bits = get(v, &value, i);
        put(v, &value, i, clear ? bits & ~sign : bits ^ sign);
    }
    return value;
}
KirValue kir_eval_VFNEG(const Eval *v) { return turn_signs(v, v->a, false); }
KirValue kir_eval_VFABS(const Eval *v) { return turn_signs(v, v->a, true); }
KirValue kir_eval_VFABD(const Eval *v) { return turn_signs(v, arithmetic(v, FLOAT_SUB), true); }
KirValue kir_eval_VFMA(const Eval *v) {
    Eval turned = *v;
    if (is_variant(v)) turned.a = turn_signs(v, v->a, false);
    return arithmetic(&turned, FLOAT_FMA);
}

KirValue kir_eval_VFPADD(const Eval *v) {
    KirValue result = kir_value(0);
    unsigned count = count_of(v);
    for (unsigned i = 0; i < count; i++) {
        unsigned x = 2 * i, y = 2 * i + 1; // of a followed by b
        uint64_t first = x < count ? get(v, &v->a, x) : get(v, &v->b, x - count);
        uint64_t second = y < count ? get(v, &v->a, y) : get(v, &v->b, y - count);
        put(v, &result, i, compute(v, FLOAT_ADD, first, second, 0));
    }
    return result;
}

// ---- lanes that share a context -----------------------------------------------------------------
typedef uint64_t (*LaneFunction)(const Eval *v, FloatContext *context, uint64_t a, uint64_t b);
static KirValue each_lane(const Eval *v, unsigned round, LaneFunction function) {
    KirValue result = kir_value(0);
    FloatContext context = float_context(round, is_arm(v));
    for (unsigned i = 0; i < count_of(v); i++) put(v, &result, i, function(v, &context, get(v, &v->a, i), get(v, &v->b, i)));
    float_raise(&context);
    return result;
}

static uint64_t minimum(const Eval *v, FloatContext *context, uint64_t a, uint64_t b) {
    return float_min_max(context, format_of(v), false, is_variant(v), a, b);
}
static uint64_t maximum(const Eval *v, FloatContext *context, uint64_t a, uint64_t b) {
    return float_min_max(context, format_of(v), true, is_variant(v), a, b);
}
static uint64_t compare(const Eval *v, FloatContext *context, uint64_t a, uint64_t b) {
    return -(uint64_t)float_compare(context, format_of(v), (KirFcmp)v->insn->c, a, b);
}
static uint64_t to_int(const Eval *v, FloatContext *context, uint64_t a, uint64_t b) {
    return soft_to_int(context, format_of(v), format_of(v) == FORMAT_DOUBLE ? 64 : 32, !is_signed(v), true, a);
}
static uint64_t from_int(const Eval *v, FloatContext *context, uint64_t a, uint64_t b) {
    int64_t value = sign64(a, format_of(v) == FORMAT_DOUBLE ? 64 : 32);
    bool negative = is_signed(v) && value < 0;
    return soft_from_int(context, format_of(v), negative, negative ? -(uint64_t)value : a);
}
static uint64_t round_lane(const Eval *v, FloatContext *context, uint64_t a, uint64_t b) {
    return soft_round(context, format_of(v), is_variant(v), a);
}
static uint64_t estimate(const Eval *v, FloatContext *context, uint64_t a, uint64_t b) {
    return float_estimate(context, format_of(v), (KirFest)v->insn->b, a);
}
static uint64_t step(const Eval *v, FloatContext *context, uint64_t a, uint64_t b) {
    return soft_step(context, format_of(v), (KirFstep)v->insn->c, a, b);
}

KirValue kir_eval_VFMIN(const Eval *v) { return each_lane(v, KIR_RDYN, minimum); }
KirValue kir_eval_VFMAX(const Eval *v) { return each_lane(v, KIR_RDYN, maximum); }
KirValue kir_eval_VFCMP(const Eval *v) { return each_lane(v, KIR_RDYN, compare); }
KirValue kir_eval_VFTOI(const Eval *v) { return each_lane(v, v->insn->b & KIR_FP_ROUND, to_int); }
KirValue kir_eval_VITOF(const Eval *v) { return each_lane(v, KIR_RDYN, from_int); }
KirValue kir_eval_VFROUND(const Eval *v) { return each_lane(v, v->insn->b & KIR_FP_ROUND, round_lane); }
KirValue kir_eval_VFEST(const Eval *v) { return each_lane(v, KIR_RDYN, estimate); }
KirValue kir_eval_VFSTEP(const Eval *v) { return each_lane(v, KIR_RDYN, step); }

// ---- other formats: lane size in aux is the source's --------------------------------------------
static KirValue convert(const Eval *v, FloatFormat from, FloatFormat to, unsigned first, unsigned count) {
    KirValue result = kir_value(0);
    FloatContext context = float_context(KIR_RDYN, is_arm(v));
    for (unsigned i = 0; i < count; i++) {
        uint64_t source = (uint64_t)lane_unsigned(&v->a, size_of(from), first + i);
        lane_put(&result, size_of(to), i, soft_convert(&context, from, to, source));
    }
    float_raise(&context);
    return result;
}
KirValue kir_eval_VFCVTL(const Eval *v) {
    FloatFormat from = (v->insn->aux & KIR_VEC_LANE) == 1 ? FORMAT_HALF : FORMAT_SINGLE;
    unsigned count = (v->bits / 8) >> (size_of(from) + 1);
    return convert(v, from, (FloatFormat)(from + 1), (v->insn->b & 1) * count, count);
}
KirValue kir_eval_VFCVTN(const Eval *v) {
    FloatFormat from = format_of(v);
    unsigned count = (kir_type_bits((KirType)v->types[0]) / 8) >> size_of(from);
    return convert(v, from, (FloatFormat)(from - 1), 0, count);
}
