// SPDX-License-Identifier: MIT
//
// Comparison, minimum and maximum, classification, and Arm's estimates: what can be decided by looking at a
// number's bits.
#include "interp/eval.h"

// ---- order --------------------------------------------------------------------------------------
// Bits as an integer that orders like the number; both zeros are 0.
static int64_t ordinal(FloatFormat format, uint64_t a) {
    int64_t magnitude = (int64_t)(a & ~float_sign_bit(format));
    return a & float_sign_bit(format) ? -magnitude : magnitude;
}

bool float_compare(FloatContext *context, FloatFormat format, KirFcmp kind, uint64_t a, uint64_t b) {
    bool unordered = float_is_nan(format, a) || float_is_nan(format, b);
    bool signals = kind == KIR_FEQ_S || kind == KIR_FLT_S || kind == KIR_FLE_S || kind == KIR_FGT_S || kind == KIR_FGE_S;
    if (unordered) {
        if (signals || float_is_signalling(format, a) || float_is_signalling(format, b)) context->flags |= KIR_FFLAG_NV;
        return kind == KIR_FUNORD;
    }
    int64_t x = ordinal(format, a), y = ordinal(format, b);
    switch (kind) {
    case KIR_FEQ:
    case KIR_FEQ_S: return x == y;
    case KIR_FLT:
    case KIR_FLT_S: return x < y;
    case KIR_FLE:
    case KIR_FLE_S: return x <= y;
    case KIR_FGT:
    case KIR_FGT_S: return x > y;
    case KIR_FGE:
    case KIR_FGE_S: return x >= y;
    case KIR_FUNORD: break;
    }
    return false;
}

// By the number rule a single NaN loses; but on Arm only a quiet one does.
static uint64_t min_max_nan(FloatContext *context, FloatFormat format, bool number, uint64_t a, uint64_t b) {
    bool nan_a = float_is_nan(format, a), nan_b = float_is_nan(format, b);
    bool signalling = float_is_signalling(format, a) || float_is_signalling(format, b);
    uint64_t picked = float_pick_nan(context, format, (const uint64_t[]){a, b}, 2);
    if (!number || (nan_a && nan_b) || (signalling && context->arm)) return picked;
    return nan_a ? b : a;
}

uint64_t float_min_max(FloatContext *context, FloatFormat format, bool max, bool number, uint64_t a, uint64_t b) {
    if (float_is_nan(format, a) || float_is_nan(format, b)) return min_max_nan(context, format, number, a, b);
    int64_t x = ordinal(format, a), y = ordinal(format, b);
    if (x == y) return max ? a & b : a | b; // zeros: the sign decides; all else: a = b
    return (x < y) != max ? a : b;
}

// ---- the parts of a number ----------------------------------------------------------------------
typedef struct Parts {
    bool negative;
    unsigned exponent, top;
    uint64_t fraction;
    unsigned fraction_bits;
} Parts;

static Parts take_apart(FloatFormat format, uint64_t a) {
    unsigned fraction_bits = format == FORMAT_DOUBLE ? 52 : 23;
    unsigned top = format == FORMAT_DOUBLE ? 0x7ff : 0xff;
    return (Parts){.negative = a & float_sign_bit(format),
                   .exponent = (unsigned)(a >> fraction_bits) & top,
                   .top = top,
                   .fraction = cut64(a, fraction_bits),
                   .fraction_bits = fraction_bits};
}

static uint64_t put_together(const Parts *p) {
    uint64_t sign = (uint64_t)p->negative << (p->fraction_bits == 52 ? 63 : 31);
    return sign | (uint64_t)p->exponent << p->fraction_bits | p->fraction;
}

unsigned float_class(FloatFormat format, uint64_t a) {
    enum { NEGATIVE_INFINITY, NEGATIVE_NORMAL, NEGATIVE_SUBNORMAL, NEGATIVE_ZERO, SIGNALLING = 8, QUIET = 9 };
    Parts p = take_apart(format, a);
    unsigned kind;
    if (p.exponent == p.top && p.fraction) return 1u << (float_is_signalling(format, a) ? SIGNALLING : QUIET);
    if (p.exponent == p.top) kind = NEGATIVE_INFINITY;
    else if (p.exponent) kind = NEGATIVE_NORMAL;
    else kind = p.fraction ? NEGATIVE_SUBNORMAL : NEGATIVE_ZERO;
    return 1u << (p.negative ? kind : 7 - kind); // the positive ones follow in reverse order
}

// ---- estimates: 8 correct bits, defined by integer formulas in Arm's manual ---------------------
static unsigned reciprocal_estimate(unsigned a) { // 256..511 stands for 0.5 to 1; so does the result for 1 to 2
    unsigned b = (1u << 19) / (a * 2 + 1);
    return (b + 1) / 2;
}

static unsigned root_estimate(unsigned a) { // 128..511 stands for 0.25 to 1
    a = a < 256 ? a * 2 + 1 : ((a >> 1 << 1) + 1) * 2;
    unsigned b = 512;
    while (a * (b + 1) * (b + 1) < 1u << 28) b++;
    return (b + 1) / 2;
}

// The fraction at 52 bits, whatever the format.
static uint64_t wide_fraction(const Parts *p) { return p->fraction << (52 - p->fraction_bits); }
static uint64_t make_estimate(bool negative, unsigned exponent, uint64_t wide, FloatFormat format) {
    Parts p = {.negative = negative, .exponent = exponent, .fraction_bits = format == FORMAT_DOUBLE ? 52 : 23};
    p.fraction = wide >> (52 - p.fraction_bits);
    return put_together(&p);
}
static const uint64_t wide_mask = ((uint64_t)1 << 52) - 1;

static uint64_t reciprocal_overflow(FloatContext *context, const Parts *p) {
    context->flags |= KIR_FFLAG_OF | KIR_FFLAG_NX;
    Parts infinity = {.negative = p->negative, .exponent = p->top, .fraction_bits = p->fraction_bits};
    bool to_largest = context->round == KIR_RTZ || context->round == (p->negative ? KIR_RUP : KIR_RDN);
    return put_together(&infinity) - to_largest;
}

static uint64_t estimate_reciprocal(FloatContext *context, FloatFormat format, Parts p) {
    Parts extreme = {.negative = p.negative, .fraction_bits = p.fraction_bits};
    if (p.exponent == p.top) return put_together(&extreme);
    if (!p.exponent && !p.fraction) {
        context->flags |= KIR_FFLAG_DZ;
        extreme.exponent = p.top;
        return put_together(&extreme);
    }
    int exponent = (int)p.exponent;
    uint64_t wide = wide_fraction(&p);
    if (exponent == 0) {
        if (!(wide >> 50)) return reciprocal_overflow(context, &p); // below a quarter of the smallest normal number
        if (!(wide >> 51)) {
            exponent = -1;
            wide <<= 1;
        }
        wide = wide << 1 & wide_mask;
    }
    int result = (int)(2 * (p.top >> 1) - 1) - exponent; // 253 or 2045
    uint64_t estimate = (uint64_t)(reciprocal_estimate(256 | (unsigned)(wide >> 44)) & 255) << 44;
    if (result == 0) estimate = (uint64_t)1 << 51 | estimate >> 1;
    if (result == -1) estimate = (uint64_t)1 << 50 | estimate >> 2;
    return make_estimate(p.negative, result < 0 ? 0 : (unsigned)result, estimate, format);
}

static uint64_t estimate_root(FloatContext *context, FloatFormat format, Parts p) {
    if (!p.exponent && !p.fraction) {
        context->flags |= KIR_FFLAG_DZ;
        return make_estimate(p.negative, p.top, 0, format);
    }
    if (p.negative) {
        context->flags |= KIR_FFLAG_NV;
        return float_default_nan(format);
    }
    if (p.exponent == p.top) return 0;
    int exponent = (int)p.exponent;
    uint64_t wide = wide_fraction(&p);
    if (exponent == 0) {
        for (; !(wide >> 51); exponent--) wide <<= 1;
        wide = wide << 1 & wide_mask;
    }
    unsigned scaled = exponent & 1 ? 128 | (unsigned)(wide >> 45) : 256 | (unsigned)(wide >> 44);
    int result = ((int)(3 * (p.top >> 1) - 1) - exponent) / 2; // from 380 or 3068
    return make_estimate(false, (unsigned)result, (uint64_t)(root_estimate(scaled) & 255) << 44, format);
}

static uint64_t reciprocal_exponent(Parts p) {
    p.exponent = p.exponent ? ~p.exponent & p.top : p.top - 1;
    p.fraction = 0;
    return put_together(&p);
}

uint64_t float_estimate(FloatContext *context, FloatFormat format, KirFest kind, uint64_t a) {
    if (kind == KIR_FEST_URECP) return a >> 31 & 1 ? (uint64_t)reciprocal_estimate((unsigned)(a >> 23 & 511)) << 23 : 0xffffffffu;
    if (kind == KIR_FEST_URSQRT) return a >> 30 & 3 ? (uint64_t)root_estimate((unsigned)(a >> 23 & 511)) << 23 : 0xffffffffu;
    if (float_is_nan(format, a)) return float_pick_nan(context, format, &a, 1);
    Parts p = take_apart(format, a);
    if (kind == KIR_FEST_RECP) return estimate_reciprocal(context, format, p);
    if (kind == KIR_FEST_RSQRT) return estimate_root(context, format, p);
    return reciprocal_exponent(p);
}
