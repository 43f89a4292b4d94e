// SPDX-License-Identifier: MIT
//
// Exact floating-point arithmetic on integers: any rounding mode, both NaN rules, underflow found before or
// after rounding.
//
// A number is taken apart into sign, exponent and an integer: value = (sig + tail) * 2^exp, where 0 <= tail <
// 1 and `sticky` says that tail is not 0. Operations work on that with 128 bits, keep at least 3 bits more
// than the result needs whenever sticky is set, and hand it to pack(), the one place that rounds and raises
// overflow, underflow and inexact.
#include "interp/eval.h"

typedef struct Shape {
    unsigned fraction;
    int bias;
    unsigned bits;
} Shape; // bits of the fraction field; exponent bias; width
static const Shape shapes[] = {[FORMAT_HALF] = {10, 15, 16}, [FORMAT_SINGLE] = {23, 127, 32}, [FORMAT_DOUBLE] = {52, 1023, 64}};

typedef enum Kind { IS_ZERO, IS_NUMBER, IS_INFINITY, IS_NAN } Kind;
typedef struct Number {
    Kind kind;
    bool negative, sticky;
    int exp;
    U128 sig; // not 0 if kind is IS_NUMBER
} Number;

static uint64_t top_exponent(const Shape *s) { return (uint64_t)(2 * s->bias + 1); }
static uint64_t with_sign(const Shape *s, bool negative, uint64_t magnitude) {
    return magnitude | (uint64_t)negative << (s->bits - 1);
}
static uint64_t make_infinity(const Shape *s, bool negative) { return with_sign(s, negative, top_exponent(s) << s->fraction); }

uint64_t float_sign_bit(FloatFormat format) { return (uint64_t)1 << (shapes[format].bits - 1); }
uint64_t float_default_nan(FloatFormat format) {
    const Shape *s = &shapes[format];
    return make_infinity(s, false) | (uint64_t)1 << (s->fraction - 1);
}
bool float_is_nan(FloatFormat format, uint64_t a) { return (a & ~float_sign_bit(format)) > make_infinity(&shapes[format], false); }
bool float_is_signalling(FloatFormat format, uint64_t a) {
    return float_is_nan(format, a) && !(a >> (shapes[format].fraction - 1) & 1);
}

static int top_bit(U128 x) {
    uint64_t high = (uint64_t)(x >> 64);
    return high ? 127 - __builtin_clzll(high) : 63 - __builtin_clzll((uint64_t)x);
}

static Number unpack(FloatFormat format, uint64_t a) {
    const Shape *s = &shapes[format];
    uint64_t exponent = a >> s->fraction & top_exponent(s), fraction = cut64(a, s->fraction);
    Number n = {.negative = a >> (s->bits - 1) & 1};
    if (exponent == top_exponent(s)) {
        n.kind = fraction ? IS_NAN : IS_INFINITY;
    } else if (exponent || fraction) {
        n.kind = IS_NUMBER;
        n.sig = exponent ? fraction | (uint64_t)1 << s->fraction : fraction;
        n.exp = (int)(exponent ? exponent : 1) - s->bias - (int)s->fraction;
    }
    return n;
}

// ---- rounding -----------------------------------------------------------------------------------

// sig * 2^-shift to an integer; *inexact is set if that was not one. shift <= 0 multiplies (no sticky then).
static U128 round_shift(const Number *n, int shift, KirRound round, bool *inexact) {
    if (shift <= 0) {
        *inexact = n->sticky;
        return n->sig << -shift;
    }
    U128 kept = shift > 127 ? 0 : n->sig >> shift;
    bool half = shift <= 128 && (n->sig >> (shift - 1) & 1);
    bool below = n->sticky || (shift > 128 ? n->sig != 0 : (n->sig & (((U128)1 << (shift - 1)) - 1)) != 0);
    bool up = false;
    *inexact = half || below;
    switch (round) {
    case KIR_RNE: up = half && (below || (kept & 1)); break;
    case KIR_RMM: up = half; break;
    case KIR_RDN: up = *inexact && n->negative; break;
    case KIR_RUP: up = *inexact && !n->negative; break;
    case KIR_RTZ:
    case KIR_RDYN: break;
    }
    return kept + up;
}

static uint64_t pack_overflow(FloatContext *context, const Shape *s, bool negative) {
    context->flags |= KIR_FFLAG_OF | KIR_FFLAG_NX;
    bool to_largest = context->round == KIR_RTZ || context->round == (negative ? KIR_RUP : KIR_RDN);
    return make_infinity(s, negative) - to_largest;
}

// Below the smallest normal number? After rounding (SSE, RISC-V): rounded as if exponents had no lower limit.
static bool is_tiny(const FloatContext *context, const Shape *s, const Number *n, int exponent) {
    if (exponent >= 1 - s->bias) return false;
    if (context->arm || exponent < -s->bias) return true;
    bool inexact;
    U128 unlimited = round_shift(n, exponent - (int)s->fraction - n->exp, context->round, &inexact);
    return !(unlimited >> (s->fraction + 1));
}

static uint64_t pack_number(FloatContext *context, const Shape *s, const Number *n) {
    int exponent = n->exp + top_bit(n->sig); // of the leading bit
    int lowest = 1 - s->bias;
    int unit = (exponent < lowest ? lowest : exponent) - (int)s->fraction; // exponent of the result's last bit
    bool inexact;
    uint64_t kept = (uint64_t)round_shift(n, unit - n->exp, context->round, &inexact);
    if (inexact) context->flags |= KIR_FFLAG_NX | (is_tiny(context, s, n, exponent) ? KIR_FFLAG_UF : 0);
    // Adding instead of or-ing lets a carry out of the fraction go into the exponent; a subnormal has no
    // hidden bit to add.
    uint64_t biased = (uint64_t)(unit + (int)s->fraction - lowest);
    uint64_t magnitude = (biased << s->fraction) + kept;
    if (unit + (int)s->fraction > s->bias || magnitude >= make_infinity(s, false)) return pack_overflow(context, s, n->negative);
    return with_sign(s, n->negative, magnitude);
}

static uint64_t pack(FloatContext *context, FloatFormat format, const Number *n) {
    const Shape *s = &shapes[format];
    switch (n->kind) {
    case IS_ZERO: return with_sign(s, n->negative, 0);
    case IS_INFINITY: return make_infinity(s, n->negative);
    case IS_NUMBER: return pack_number(context, s, n);
    case IS_NAN: break;
    }
    return float_default_nan(format);
}

static uint64_t invalid(FloatContext *context, FloatFormat format) {
    context->flags |= KIR_FFLAG_NV;
    return float_default_nan(format);
}

// ---- NaN ----------------------------------------------------------------------------------------
uint64_t float_pick_nan(FloatContext *context, FloatFormat format, const uint64_t *operands, int n) {
    uint64_t quiet_bit = (uint64_t)1 << (shapes[format].fraction - 1);
    for (int i = 0; i < n; i++) {
        if (!float_is_signalling(format, operands[i])) continue;
        context->flags |= KIR_FFLAG_NV;
        return context->arm ? operands[i] | quiet_bit : float_default_nan(format);
    }
    for (int i = 0; i < n && context->arm; i++)
        if (float_is_nan(format, operands[i])) return operands[i];
    return float_default_nan(format);
}

static uint64_t nan_of_two(FloatContext *context, FloatFormat format, uint64_t a, uint64_t b) {
    return float_pick_nan(context, format, (const uint64_t[]){a, b}, 2);
}

// ---- sums ---------------------------------------------------------------------------------------

static Number zero_sum(const FloatContext *context, bool negative_a, bool negative_b) {
    return (Number){.kind = IS_ZERO, .negative = negative_a == negative_b ? negative_a : context->round == KIR_RDN};
}

static void justify(Number *n) {
    int shift = 125 - top_bit(n->sig); // leaves a bit for the carry and one for safety
    n->sig <<= shift;
    n->exp -= shift;
}

// Both are numbers or zeros, exact, of at most 106 significant bits: where bits of the smaller one are lost
// to `sticky` the exponents differ by so much that cancellation costs one bit at most.
static Number add_numbers(const FloatContext *context, Number a, Number b) {
    if (a.kind == IS_ZERO && b.kind == IS_ZERO) return zero_sum(context, a.negative, b.negative);
    if (a.kind == IS_ZERO) return b;
    if (b.kind == IS_ZERO) return a;
    justify(&a);
    justify(&b);
    if (a.exp < b.exp || (a.exp == b.exp && a.sig < b.sig)) {
        Number swapped = a;
        a = b;
        b = swapped;
    }
    int distance = a.exp - b.exp;
    U128 aligned = distance > 127 ? 0 : b.sig >> distance;
    bool lost = distance > 127 || (aligned << distance) != b.sig;
    Number sum = {.kind = IS_NUMBER, .negative = a.negative, .exp = a.exp, .sticky = lost};
    sum.sig = a.negative == b.negative ? a.sig + aligned : a.sig - aligned - lost; // a - (b + tail) = (a - b - 1) + (1 - tail)
    return sum.sig ? sum : zero_sum(context, a.negative, b.negative);
}

static uint64_t add(FloatContext *context, FloatFormat format, uint64_t a, uint64_t b, bool subtract) {
    if (float_is_nan(format, a) || float_is_nan(format, b)) return nan_of_two(context, format, a, b);
    Number x = unpack(format, a), y = unpack(format, b);
    y.negative ^= subtract;
    if (x.kind == IS_INFINITY && y.kind == IS_INFINITY && x.negative != y.negative) return invalid(context, format);
    if (x.kind == IS_INFINITY) return pack(context, format, &x);
    if (y.kind == IS_INFINITY) return pack(context, format, &y);
    Number sum = add_numbers(context, x, y);
    return pack(context, format, &sum);
}

uint64_t soft_add(FloatContext *context, FloatFormat format, uint64_t a, uint64_t b) { return add(context, format, a, b, false); }
uint64_t soft_sub(FloatContext *context, FloatFormat format, uint64_t a, uint64_t b) { return add(context, format, a, b, true); }

// ---- products -----------------------------------------------------------------------------------

// Not for NaN, nor for infinity times zero.
static Number multiply(Number a, Number b) {
    bool negative = a.negative != b.negative;
    if (a.kind == IS_INFINITY || b.kind == IS_INFINITY) return (Number){.kind = IS_INFINITY, .negative = negative};
    if (a.kind == IS_ZERO || b.kind == IS_ZERO) return (Number){.kind = IS_ZERO, .negative = negative};
    return (Number){.kind = IS_NUMBER, .negative = negative, .exp = a.exp + b.exp, .sig = a.sig * b.sig};
}

static bool infinity_by_zero(const Number *a, const Number *b) {
    return (a->kind == IS_INFINITY && b->kind == IS_ZERO) || (a->kind == IS_ZERO && b->kind == IS_INFINITY);
}

uint64_t soft_mul(FloatContext *context, FloatFormat format, uint64_t a, uint64_t b) {
    if (float_is_nan(format, a) || float_is_nan(format, b)) return nan_of_two(context, format, a, b);
    Number x = unpack(format, a), y = unpack(format, b);
    if (infinity_by_zero(&x, &y)) return invalid(context, format);
    Number product = multiply(x, y);
    return pack(context, format, &product);
}

// Infinity times zero is invalid even if a quiet NaN is added.
uint64_t soft_fma(FloatContext *context, FloatFormat format, uint64_t a, uint64_t b, uint64_t c) {
    Number x = unpack(format, a), y = unpack(format, b), z = unpack(format, c);
    if (infinity_by_zero(&x, &y) && !float_is_signalling(format, c)) return invalid(context, format);
    if (x.kind == IS_NAN || y.kind == IS_NAN || z.kind == IS_NAN)
        return float_pick_nan(context, format, (const uint64_t[]){c, a, b}, 3);
    Number product = multiply(x, y);
    if (product.kind == IS_INFINITY && z.kind == IS_INFINITY && product.negative != z.negative) return invalid(context, format);
    if (product.kind == IS_INFINITY) return pack(context, format, &product);
    if (z.kind == IS_INFINITY) return pack(context, format, &z);
    Number sum = add_numbers(context, product, z);
    return pack(context, format, &sum);
}

static Number small_integer(unsigned value) { return (Number){.kind = IS_NUMBER, .sig = value}; }

// Arm's Newton steps: one rounding, and infinity times zero counts as 0.
static Number newton_step(const FloatContext *context, Number a, Number b, unsigned constant) {
    a.negative = !a.negative;
    if (infinity_by_zero(&a, &b)) return small_integer(constant);
    Number product = multiply(a, b);
    if (product.kind == IS_INFINITY) return product;
    return add_numbers(context, product, small_integer(constant));
}

uint64_t soft_step(FloatContext *context, FloatFormat format, KirFstep step, uint64_t a, uint64_t b) {
    Number x = unpack(format, a), y = unpack(format, b), result;
    if (step != KIR_FSTEP_MULX) a ^= float_sign_bit(format); // the steps negate their first operand, NaN included
    if (x.kind == IS_NAN || y.kind == IS_NAN) return nan_of_two(context, format, a, b);
    if (step == KIR_FSTEP_MULX) {
        result = infinity_by_zero(&x, &y) ? small_integer(2) : multiply(x, y);
        result.negative = x.negative != y.negative;
    } else {
        result = newton_step(context, x, y, step == KIR_FSTEP_RECPS ? 2 : 3);
        if (step == KIR_FSTEP_RSQRTS) result.exp--;
    }
    return pack(context, format, &result);
}

// ---- quotients and roots ------------------------------------------------------------------------

uint64_t soft_div(FloatContext *context, FloatFormat format, uint64_t a, uint64_t b) {
    if (float_is_nan(format, a) || float_is_nan(format, b)) return nan_of_two(context, format, a, b);
    Number x = unpack(format, a), y = unpack(format, b);
    Number quotient = {.negative = x.negative != y.negative};
    if (x.kind == y.kind && x.kind != IS_NUMBER) return invalid(context, format); // 0/0, infinity/infinity
    if (x.kind == IS_INFINITY || y.kind == IS_ZERO) {
        if (y.kind == IS_ZERO && x.kind == IS_NUMBER) context->flags |= KIR_FFLAG_DZ;
        quotient.kind = IS_INFINITY;
    } else if (x.kind == IS_NUMBER && y.kind == IS_NUMBER) {
        justify(&x); // 126 bits by 53: at least 73 bits
        quotient.kind = IS_NUMBER;
        quotient.sig = x.sig / y.sig;
        quotient.sticky = x.sig % y.sig != 0;
        quotient.exp = x.exp - y.exp;
    }
    return pack(context, format, &quotient);
}

static U128 square_root(U128 x) {
    U128 root = 0;
    for (int bit = 63; bit >= 0; bit--) {
        U128 next = root | (U128)1 << bit;
        if (next * next <= x) root = next;
    }
    return root;
}

uint64_t soft_sqrt(FloatContext *context, FloatFormat format, uint64_t a) {
    if (float_is_nan(format, a)) return float_pick_nan(context, format, &a, 1);
    Number x = unpack(format, a);
    if (x.kind == IS_ZERO) return a;
    if (x.negative) return invalid(context, format);
    if (x.kind == IS_INFINITY) return a;
    justify(&x);
    if (x.exp & 1) {
        x.sig <<= 1;
        x.exp--;
    }
    Number root = {.kind = IS_NUMBER, .sig = square_root(x.sig), .exp = x.exp / 2};
    root.sticky = root.sig * root.sig != x.sig;
    return pack(context, format, &root);
}

// ---- conversion ---------------------------------------------------------------------------------

// A NaN keeps its sign and the leading bits of its payload on Arm.
static uint64_t convert_nan(FloatContext *context, FloatFormat from, FloatFormat to, uint64_t a) {
    uint64_t picked = float_pick_nan(context, from, &a, 1);
    if (!context->arm) return float_default_nan(to);
    const Shape *s = &shapes[from], *t = &shapes[to];
    uint64_t fraction = cut64(picked, s->fraction);
    fraction = t->fraction >= s->fraction ? fraction << (t->fraction - s->fraction) : fraction >> (s->fraction - t->fraction);
    return make_infinity(t, picked >> (s->bits - 1) & 1) | fraction;
}

uint64_t soft_convert(FloatContext *context, FloatFormat from, FloatFormat to, uint64_t a) {
    if (float_is_nan(from, a)) return convert_nan(context, from, to, a);
    Number n = unpack(from, a);
    return pack(context, to, &n);
}

uint64_t soft_from_int(FloatContext *context, FloatFormat format, bool negative, uint64_t magnitude) {
    Number n = {.kind = magnitude ? IS_NUMBER : IS_ZERO, .negative = negative && magnitude, .sig = magnitude};
    return pack(context, format, &n);
}

uint64_t soft_round(FloatContext *context, FloatFormat format, bool raise_inexact, uint64_t a) {
    if (float_is_nan(format, a)) return float_pick_nan(context, format, &a, 1);
    Number n = unpack(format, a);
    if (n.kind != IS_NUMBER || n.exp >= 0) return a;
    bool inexact;
    n.sig = round_shift(&n, -n.exp, context->round, &inexact);
    n.exp = 0;
    n.kind = n.sig ? IS_NUMBER : IS_ZERO;
    if (inexact && raise_inexact) context->flags |= KIR_FFLAG_NX;
    return pack(context, format, &n);
}

uint64_t soft_to_int(FloatContext *context, FloatFormat format, unsigned bits, bool is_unsigned, bool nan_zero, uint64_t a) {
    uint64_t largest = is_unsigned ? cut64(~(uint64_t)0, bits) : cut64(~(uint64_t)0, bits - 1);
    uint64_t most_negative = is_unsigned ? 0 : (uint64_t)1 << (bits - 1); // its magnitude, and its bits
    Number n = unpack(format, a);
    bool inexact = false;
    U128 magnitude = 0;
    if (n.kind == IS_NAN) {
        context->flags |= KIR_FFLAG_NV;
        return nan_zero ? 0 : largest;
    }
    if (n.kind == IS_NUMBER) { magnitude = n.exp > 64 ? (U128)1 << 65 : round_shift(&n, -n.exp, context->round, &inexact); }
    if (n.kind == IS_INFINITY || magnitude > (n.negative ? most_negative : largest)) {
        context->flags |= KIR_FFLAG_NV;
        return n.negative ? most_negative : largest;
    }
    if (inexact) context->flags |= KIR_FFLAG_NX;
    return cut64(n.negative ? -(uint64_t)magnitude : (uint64_t)magnitude, bits);
}
