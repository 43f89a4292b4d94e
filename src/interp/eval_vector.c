// SPDX-License-Identifier: MIT
//
// Lane-wise integer vector operations. Every lane is computed in 128-bit arithmetic, where nothing overflows,
// then brought back: cut, or saturated. Lane size in `aux` is always that of the source; results of widening
// operations have twice the size. KIR_VEC_LANE 4 (the whole register) is for operations that move lanes
// (eval_permute.c) or bits; here it counts as 3.
#include <string.h>
#include "interp/eval.h"
#include "ir/fold.h"

// ---- lanes --------------------------------------------------------------------------------------
U128 lane_unsigned(const KirValue *v, unsigned size, unsigned index) {
    U128 value = 0;
    memcpy(&value, v->u8 + ((index << size) & 15), (size_t)1 << size);
    return value;
}

S128 lane_signed(const KirValue *v, unsigned size, unsigned index) {
    unsigned unused = 128 - (8u << size);
    return (S128)(lane_unsigned(v, size, index) << unused) >> unused;
}

void lane_put(KirValue *v, unsigned size, unsigned index, U128 value) {
    memcpy(v->u8 + ((index << size) & 15), &value, (size_t)1 << size);
}

static unsigned flag(const Eval *v, unsigned bit) { return v->insn->aux & bit; }
static unsigned lane_size(const Eval *v) {
    unsigned size = v->insn->aux & KIR_VEC_LANE;
    return size > 3 ? 3 : size;
}
static unsigned lane_bits(const Eval *v) { return 8u << lane_size(v); }
static unsigned lane_count(const Eval *v) { return (v->bits / 8) >> lane_size(v); }
static bool is_signed(const Eval *v) { return flag(v, KIR_VEC_SIGNED); }

static S128 lane(const Eval *v, const KirValue *from, unsigned index) {
    return is_signed(v) ? lane_signed(from, lane_size(v), index) : (S128)lane_unsigned(from, lane_size(v), index);
}

static S128 power(unsigned n) { return (S128)1 << n; }
static S128 saturate(S128 value, unsigned bits, bool as_signed) {
    S128 low = as_signed ? -power(bits - 1) : 0, high = as_signed ? power(bits - 1) - 1 : power(bits) - 1;
    return value < low ? low : value > high ? high : value;
}

// A lane function gets the lanes (extended by the signedness in aux) and gives a value of which the low bits
// count.
typedef S128 (*LaneFunction)(const Eval *v, S128 a, S128 b);
static KirValue each_lane(const Eval *v, LaneFunction function) {
    KirValue result = kir_value(0);
    for (unsigned i = 0; i < lane_count(v); i++)
        lane_put(&result, lane_size(v), i, (U128)function(v, lane(v, &v->a, i), lane(v, &v->b, i)));
    return result;
}

// ---- arithmetic ---------------------------------------------------------------------------------
static S128 add(const Eval *v, S128 a, S128 b) { return (S128)((U128)a + (U128)b); }
static S128 subtract(const Eval *v, S128 a, S128 b) { return (S128)((U128)a - (U128)b); }
static S128 multiply(const Eval *v, S128 a, S128 b) { return (S128)((U128)a * (U128)b); }
static S128 average(const Eval *v, S128 a, S128 b) { return (a + b + !!flag(v, KIR_VEC_ROUND)) >> 1; }
static S128 half_difference(const Eval *v, S128 a, S128 b) { return (a - b) >> 1; }
static S128 distance(const Eval *v, S128 a, S128 b) { return a > b ? a - b : b - a; }
static S128 smaller(const Eval *v, S128 a, S128 b) { return a < b ? a : b; }
static S128 larger(const Eval *v, S128 a, S128 b) { return a > b ? a : b; }
static S128 saturated_difference(const Eval *v, S128 a, S128 b) { return saturate(a - b, lane_bits(v), is_signed(v)); }

KirValue kir_eval_VADD(const Eval *v) { return each_lane(v, add); }
KirValue kir_eval_VSUB(const Eval *v) { return each_lane(v, subtract); }
KirValue kir_eval_VMUL(const Eval *v) { return each_lane(v, multiply); }
KirValue kir_eval_VAVG(const Eval *v) { return each_lane(v, average); }
KirValue kir_eval_VHSUB(const Eval *v) { return each_lane(v, half_difference); }
KirValue kir_eval_VABD(const Eval *v) { return each_lane(v, distance); }
KirValue kir_eval_VMIN(const Eval *v) { return each_lane(v, smaller); }
KirValue kir_eval_VMAX(const Eval *v) { return each_lane(v, larger); }
KirValue kir_eval_VQSUB(const Eval *v) { return each_lane(v, saturated_difference); }

// MIXED: a and the result are as SIGNED says, b is the other way.
KirValue kir_eval_VQADD(const Eval *v) {
    KirValue result = kir_value(0);
    bool b_signed = is_signed(v) != !!flag(v, KIR_VEC_MIXED);
    for (unsigned i = 0; i < lane_count(v); i++) {
        S128 b = b_signed ? lane_signed(&v->b, lane_size(v), i) : (S128)lane_unsigned(&v->b, lane_size(v), i);
        lane_put(&result, lane_size(v), i, (U128)saturate(lane(v, &v->a, i) + b, lane_bits(v), is_signed(v)));
    }
    return result;
}

// Operations on signed lanes whatever aux says.
typedef S128 (*SignedFunction)(S128 a, unsigned bits);
static KirValue each_signed(const Eval *v, SignedFunction function) {
    KirValue result = kir_value(0);
    for (unsigned i = 0; i < lane_count(v); i++)
        lane_put(&result, lane_size(v), i, (U128)function(lane_signed(&v->a, lane_size(v), i), lane_bits(v)));
    return result;
}

static S128 negate(S128 a, unsigned bits) { return -a; }
static S128 absolute(S128 a, unsigned bits) { return a < 0 ? -a : a; }
static S128 saturated_negate(S128 a, unsigned bits) { return saturate(-a, bits, true); }
static S128 saturated_absolute(S128 a, unsigned bits) { return saturate(absolute(a, bits), bits, true); }
static S128 leading_zeros(S128 a, unsigned bits) {
    unsigned n = 0;
    while (n < bits && !((U128)a >> (bits - 1 - n) & 1)) n++;
    return n;
}
static S128 leading_signs(S128 a, unsigned bits) { return leading_zeros(a < 0 ? ~a : a, bits) - 1; }
static S128 population(S128 a, unsigned bits) {
    unsigned n = 0;
    for (unsigned i = 0; i < bits; i++) n += (unsigned)((U128)a >> i & 1);
    return n;
}
static S128 reverse_bits(S128 a, unsigned bits) {
    U128 result = 0;
    for (unsigned i = 0; i < bits; i++) result |= ((U128)a >> i & 1) << (bits - 1 - i);
    return (S128)result;
}

KirValue kir_eval_VNEG(const Eval *v) { return each_signed(v, negate); }
KirValue kir_eval_VABS(const Eval *v) { return each_signed(v, absolute); }
KirValue kir_eval_VQNEG(const Eval *v) { return each_signed(v, saturated_negate); }
KirValue kir_eval_VQABS(const Eval *v) { return each_signed(v, saturated_absolute); }
KirValue kir_eval_VCLZ(const Eval *v) { return each_signed(v, leading_zeros); }
KirValue kir_eval_VCLS(const Eval *v) { return each_signed(v, leading_signs); }
KirValue kir_eval_VPOPCNT(const Eval *v) { return each_signed(v, population); }
KirValue kir_eval_VBITREV(const Eval *v) { return each_signed(v, reverse_bits); }

// ---- bits ---------------------------------------------------------------------------------------
KirValue kir_eval_VAND(const Eval *v) { return kir_value128(kir_bits128(v->a) & kir_bits128(v->b)); }
KirValue kir_eval_VOR(const Eval *v) { return kir_value128(kir_bits128(v->a) | kir_bits128(v->b)); }
KirValue kir_eval_VXOR(const Eval *v) { return kir_value128(kir_bits128(v->a) ^ kir_bits128(v->b)); }
KirValue kir_eval_VANDN(const Eval *v) { return kir_value128(kir_bits128(v->a) & ~kir_bits128(v->b)); }
KirValue kir_eval_VORN(const Eval *v) { return kir_value128(kir_bits128(v->a) | ~kir_bits128(v->b)); }
KirValue kir_eval_VNOT(const Eval *v) { return kir_value128(~kir_bits128(v->a)); }
KirValue kir_eval_VBSL(const Eval *v) {
    U128 mask = kir_bits128(v->a);
    return kir_value128((mask & kir_bits128(v->b)) | (~mask & kir_bits128(v->c)));
}
KirValue kir_eval_VSATURATED(const Eval *v) { return kir_value(kir_bits128(v->a) != kir_bits128(v->b)); }

// ---- shifts -------------------------------------------------------------------------------------
// x / 2^n towards minus infinity, or to nearest with ties up. Beyond 66 nothing changes: lanes have 64 bits.
static S128 shift_right(S128 x, unsigned n, bool round) {
    if (n > 66) n = 66;
    return n ? (x + (round ? power(n - 1) : 0)) >> n : x;
}

// x * 2^n cut, or saturated.
static S128 shift_left(S128 x, unsigned n, unsigned bits, bool saturating, bool as_signed) {
    if (n > 63) return saturating && x ? saturate(x < 0 ? -power(80) : power(80), bits, as_signed) : 0;
    S128 product = (S128)((U128)x << n);
    if (!saturating) return product;
    return saturate(product >> n == x ? product : x < 0 ? -power(80) : power(80), bits, as_signed);
}

static S128 shift_by_lane(const Eval *v, S128 a, S128 b) {
    int n = (int8_t)b;
    if (n < 0) return shift_right(a, (unsigned)-n, flag(v, KIR_VEC_ROUND));
    return shift_left(a, (unsigned)n, lane_bits(v), flag(v, KIR_VEC_SATURATE), is_signed(v));
}
KirValue kir_eval_VSHL(const Eval *v) { return each_lane(v, shift_by_lane); }

static S128 shift_left_by_immediate(const Eval *v, S128 a, S128 b) { return (S128)((U128)a << (v->insn->b & 127)); }
static S128 shift_right_by_immediate(const Eval *v, S128 a, S128 b) { return shift_right(a, v->insn->b, flag(v, KIR_VEC_ROUND)); }
KirValue kir_eval_VSHLI(const Eval *v) { return each_lane(v, shift_left_by_immediate); }
KirValue kir_eval_VSHRI(const Eval *v) { return each_lane(v, shift_right_by_immediate); }

// MIXED: signed source, unsigned result.
KirValue kir_eval_VQSHLI(const Eval *v) {
    KirValue result = kir_value(0);
    bool mixed = flag(v, KIR_VEC_MIXED);
    for (unsigned i = 0; i < lane_count(v); i++) {
        S128 x = mixed ? lane_signed(&v->a, lane_size(v), i) : lane(v, &v->a, i);
        lane_put(&result, lane_size(v), i, (U128)shift_left(x, v->insn->b & 127, lane_bits(v), true, is_signed(v) && !mixed));
    }
    return result;
}

static KirValue insert_shifted(const Eval *v, bool left) {
    KirValue result = kir_value(0);
    unsigned n = v->insn->c & 127;
    U128 ones = (U128)power(lane_bits(v)) - 1;
    U128 mask = left ? ones << n : ones >> n;
    for (unsigned i = 0; i < lane_count(v); i++) {
        U128 under = lane_unsigned(&v->a, lane_size(v), i), over = lane_unsigned(&v->b, lane_size(v), i);
        lane_put(&result, lane_size(v), i, (under & ~mask) | ((left ? over << n : over >> n) & mask));
    }
    return result;
}
KirValue kir_eval_VSLI(const Eval *v) { return insert_shifted(v, true); }
KirValue kir_eval_VSRI(const Eval *v) { return insert_shifted(v, false); }

// ---- comparison ---------------------------------------------------------------------------------
static S128 compare(const Eval *v, S128 a, S128 b) {
    uint64_t lane = (uint64_t)(power(lane_bits(v)) - 1);
    return -(S128)kir_eval_cond((KirCond)v->insn->c, lane_bits(v), (uint64_t)a & lane, (uint64_t)b & lane);
}
static S128 test(const Eval *v, S128 a, S128 b) { return -(S128)((a & b) != 0); }
KirValue kir_eval_VCMP(const Eval *v) { return each_lane(v, compare); }
KirValue kir_eval_VTST(const Eval *v) { return each_lane(v, test); }

// ---- wider and narrower -------------------------------------------------------------------------
// The half of an operand that a widening operation reads starts at lane `half * lanes of the result`.
KirValue kir_eval_VWIDEN(const Eval *v) {
    KirValue result = kir_value(0);
    unsigned count = lane_count(v) / 2, first = (v->insn->b & 1) * count;
    for (unsigned i = 0; i < count; i++) lane_put(&result, lane_size(v) + 1, i, (U128)lane(v, &v->a, first + i));
    return result;
}

static U128 polynomial_product(U128 x, U128 y) {
    U128 product = 0;
    for (unsigned i = 0; i < 64; i++)
        if (y >> i & 1) product ^= x << i;
    return product;
}
KirValue kir_eval_VMULL(const Eval *v) {
    KirValue result = kir_value(0);
    unsigned size = lane_size(v), count = lane_count(v) / 2, first = (v->insn->c & 1) * count;
    for (unsigned i = first; i < first + count; i++) {
        U128 x = lane_unsigned(&v->a, size, i), y = lane_unsigned(&v->b, size, i);
        U128 product = flag(v, KIR_VEC_POLY) ? polynomial_product(x, y)
                       : is_signed(v)        ? (U128)(lane_signed(&v->a, size, i) * lane_signed(&v->b, size, i))
                                             : x * y;
        lane_put(&result, size + 1, i - first, product);
    }
    return result;
}
KirValue kir_eval_VPMUL(const Eval *v) {
    KirValue result = kir_value(0);
    unsigned size = lane_size(v);
    for (unsigned i = 0; i < lane_count(v); i++)
        lane_put(&result, size, i, polynomial_product(lane_unsigned(&v->a, size, i), lane_unsigned(&v->b, size, i)));
    return result;
}

// Twice the product, its high half, saturated: only the smallest number by itself overflows.
KirValue kir_eval_VMULH(const Eval *v) {
    KirValue result = kir_value(0);
    unsigned size = lane_size(v), bits = lane_bits(v);
    for (unsigned i = 0; i < lane_count(v); i++) {
        S128 product = lane_signed(&v->a, size, i) * lane_signed(&v->b, size, i);
        lane_put(&result, size, i, (U128)saturate(shift_right(product, bits - 1, flag(v, KIR_VEC_ROUND)), bits, true));
    }
    return result;
}

// Lanes of `from` shifted right, then cut or saturated to half the size, into `result` from lane `first` on.
static void narrow(const Eval *v, KirValue *result, unsigned first, const KirValue *from, KirType type, unsigned shift) {
    unsigned size = lane_size(v), count = (kir_type_bits(type) / 8) >> size, half = lane_bits(v) / 2;
    bool mixed = flag(v, KIR_VEC_MIXED);
    if (!size) return;
    for (unsigned i = 0; i < count; i++) {
        S128 x = mixed ? lane_signed(from, size, i) : lane(v, from, i);
        x = shift_right(x, shift, flag(v, KIR_VEC_ROUND));
        if (flag(v, KIR_VEC_SATURATE)) x = saturate(x, half, is_signed(v) && !mixed);
        lane_put(result, size - 1, first + i, (U128)x);
    }
}
KirValue kir_eval_VNARROW(const Eval *v) {
    KirValue result = kir_value(0);
    narrow(v, &result, 0, &v->a, (KirType)v->types[0], 0);
    return result;
}
KirValue kir_eval_VNARROW2(const Eval *v) {
    KirValue result = kir_value128(kir_bits128(v->a) & (((U128)1 << v->bits / 2) - 1));
    narrow(v, &result, lane_count(v), &v->b, (KirType)v->types[1], 0);
    return result;
}
KirValue kir_eval_VSHRN(const Eval *v) {
    KirValue result = kir_value(0);
    narrow(v, &result, 0, &v->a, (KirType)v->types[0], v->insn->b);
    return result;
}

// ---- pairs and reductions -----------------------------------------------------------------------
static KirValue each_pair(const Eval *v, LaneFunction function) {
    KirValue result = kir_value(0);
    unsigned count = lane_count(v);
    for (unsigned i = 0; i < count; i++) {
        const KirValue *from = 2 * i < count ? &v->a : &v->b;
        unsigned first = 2 * i < count ? 2 * i : 2 * i - count;
        if (count == 1) return each_lane(v, function); // the pair is the one lane of a and the one of b
        lane_put(&result, lane_size(v), i, (U128)function(v, lane(v, from, first), lane(v, from, first + 1)));
    }
    return result;
}
KirValue kir_eval_VPADD(const Eval *v) { return each_pair(v, add); }
KirValue kir_eval_VPMIN(const Eval *v) { return each_pair(v, smaller); }
KirValue kir_eval_VPMAX(const Eval *v) { return each_pair(v, larger); }

KirValue kir_eval_VPADDL(const Eval *v) {
    KirValue result = kir_value(0);
    for (unsigned i = 0; i < lane_count(v) / 2; i++)
        lane_put(&result, lane_size(v) + 1, i, (U128)(lane(v, &v->a, 2 * i) + lane(v, &v->a, 2 * i + 1)));
    return result;
}

// Reductions give a lane, extended as SIGNED says to the scalar type (VREDADDL: a lane of twice the size).
static KirValue reduce(const Eval *v, LaneFunction function, unsigned result_bits) {
    unsigned count = (kir_type_bits((KirType)v->types[0]) / 8) >> lane_size(v);
    S128 total = lane(v, &v->a, 0);
    for (unsigned i = 1; i < count; i++) total = function(v, total, lane(v, &v->a, i));
    uint64_t low = (uint64_t)total;
    if (result_bits >= 64) return kir_value(low);
    return kir_value(is_signed(v) ? (uint64_t)sign64(low, result_bits) : cut64(low, result_bits));
}
KirValue kir_eval_VREDADD(const Eval *v) { return reduce(v, add, lane_bits(v)); }
KirValue kir_eval_VREDADDL(const Eval *v) { return reduce(v, add, 2 * lane_bits(v)); }
KirValue kir_eval_VREDMIN(const Eval *v) { return reduce(v, smaller, lane_bits(v)); }
KirValue kir_eval_VREDMAX(const Eval *v) { return reduce(v, larger, lane_bits(v)); }
