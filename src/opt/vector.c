// SPDX-License-Identifier: MIT
//
// Vectors and cryptography, as LLVM's vector operations. Their meaning is interp/eval_vector.c's, eval_permute.c's and
// eval_vector_float.c's.
//
// A v64 is an i64, a v128 a <2 x i64>; both are taken as lanes of the size that the operation is about, and given back as what they are. Where
// floating point is done on a v64, its lanes stand twice in a host register: equal lanes raise equal flags, zeros would raise their own.
//
// Lanes with NaN by Arm's rule, fused products with NaN, and conversions that do not fit are the evaluator's, for the whole vector. What has
// no code here: Arm's estimates and steps, half precision, SHA, polynomial products of other lanes than Arm has.
#include "ir/info.h"
#include "opt/lower.h"

// ---- lanes --------------------------------------------------------------------------------------------------------------------
static unsigned lane_bits(const KirInsn *insn) {
    unsigned size = insn->aux & KIR_VEC_LANE;
    return 8u << (size > 4 ? 4 : size);
}
static unsigned vector_bits(const KirInsn *insn) { return kir_type_bits((KirType)insn->type); }
static unsigned lane_count(const KirInsn *insn) { return vector_bits(insn) / lane_bits(insn); }
static bool is_signed(const KirInsn *insn) { return insn->aux & KIR_VEC_SIGNED; }
static bool is_mixed(const KirInsn *insn) { return insn->aux & KIR_VEC_MIXED; }

static LLVMTypeRef int_type(const Lower *l, unsigned bits) { return LLVMIntTypeInContext(l->context, bits); }
static LLVMTypeRef lanes_type(const Lower *l, unsigned bits, unsigned count) { return LLVMVectorType(int_type(l, bits), count); }
static LLVMValueRef cast(Lower *l, LLVMValueRef x, LLVMTypeRef type) { return LLVMBuildBitCast(l->builder, x, type, ""); }

// Operand `ref`, as lanes of `bits`.
static LLVMValueRef lanes(Lower *l, KirRef ref, unsigned bits) {
    return cast(l, value_of(l, ref), lanes_type(l, bits, kir_type_bits(type_of(l, ref)) / bits));
}

static unsigned count_of(LLVMValueRef x) { return LLVMGetVectorSize(LLVMTypeOf(x)); }
static unsigned bits_of(LLVMValueRef x) { return LLVMGetIntTypeWidth(LLVMGetElementType(LLVMTypeOf(x))); }

static LLVMValueRef every(LLVMValueRef like, uint64_t value) {
    LLVMTypeRef type = LLVMTypeOf(like);
    LLVMValueRef lane = LLVMConstInt(LLVMGetElementType(type), value, true), all[16];
    unsigned count = LLVMGetVectorSize(type);
    for (unsigned i = 0; i < count; i++) all[i] = lane;
    return LLVMConstVector(all, count);
}
static LLVMValueRef zeros(LLVMValueRef like) { return LLVMConstNull(LLVMTypeOf(like)); }
static LLVMValueRef least(LLVMValueRef like) { return every(like, 1ull << (bits_of(like) - 1)); }
static LLVMValueRef greatest(LLVMValueRef like) { return every(like, (1ull << (bits_of(like) - 1)) - 1); }

static LLVMValueRef call1(Lower *l, const char *name, LLVMValueRef a) {
    LLVMTypeRef type = LLVMTypeOf(a);
    return intrinsic(l, name, &type, 1, &a, 1);
}
static LLVMValueRef call2(Lower *l, const char *name, LLVMValueRef a, LLVMValueRef b) {
    LLVMTypeRef type = LLVMTypeOf(a);
    return intrinsic(l, name, &type, 1, (LLVMValueRef[]){a, b}, 2);
}
static LLVMValueRef by_sign(Lower *l, bool as_signed, const char *signed_name, const char *unsigned_name, LLVMValueRef a,
                            LLVMValueRef b) {
    return call2(l, as_signed ? signed_name : unsigned_name, a, b);
}

static LLVMValueRef extend(Lower *l, LLVMValueRef x, bool as_signed) {
    LLVMTypeRef wide = lanes_type(l, 2 * bits_of(x), count_of(x));
    return as_signed ? LLVMBuildSExt(l->builder, x, wide, "") : LLVMBuildZExt(l->builder, x, wide, "");
}
static LLVMValueRef cut(Lower *l, LLVMValueRef x) {
    return LLVMBuildTrunc(l->builder, x, lanes_type(l, bits_of(x) / 2, count_of(x)), "");
}
static LLVMValueRef shift_right(Lower *l, LLVMValueRef x, LLVMValueRef by, bool as_signed) {
    return as_signed ? LLVMBuildAShr(l->builder, x, by, "") : LLVMBuildLShr(l->builder, x, by, "");
}

// Lanes picked by number from a followed by b (NULL: a alone).
static LLVMValueRef pick(Lower *l, LLVMValueRef a, LLVMValueRef b, const unsigned *from, unsigned count) {
    LLVMValueRef numbers[16];
    for (unsigned i = 0; i < count; i++) numbers[i] = const_i32(l, from[i]);
    return LLVMBuildShuffleVector(l->builder, a, b ? b : LLVMGetPoison(LLVMTypeOf(a)), LLVMConstVector(numbers, count), "");
}
// `count` lanes from `first` on, `step` apart.
static LLVMValueRef every_nth(Lower *l, LLVMValueRef a, LLVMValueRef b, unsigned first, unsigned step, unsigned count) {
    unsigned from[16] = {0};
    for (unsigned i = 0; i < count; i++) from[i] = first + i * step;
    return pick(l, a, b, from, count);
}
// Half 0 or 1 of what a widening operation reads.
static LLVMValueRef half(Lower *l, const KirInsn *insn, KirRef ref, unsigned which) {
    unsigned count = lane_count(insn) / 2;
    return every_nth(l, lanes(l, ref, lane_bits(insn)), NULL, (which & 1) * count, 1, count);
}
// Lanes of fewer bits than the type has, with zeros above.
static LLVMValueRef fill(Lower *l, LLVMValueRef x, unsigned bits) {
    unsigned count = bits / bits_of(x), have = count_of(x), from[16] = {0};
    for (unsigned i = 0; i < count; i++) from[i] = i < have ? i : have;
    return have == count ? x : pick(l, x, zeros(x), from, count);
}

// ---- sums, differences, extremes ----------------------------------------------------------------------------------------------
// a unsigned, b signed or the other way round; the result as a.
static LLVMValueRef add_mixed(Lower *l, LLVMValueRef a, LLVMValueRef b, bool as_signed) {
    if (as_signed) { // from the smallest number on, a is unsigned as well
        LLVMValueRef from_least = LLVMBuildXor(l->builder, a, least(a), "");
        return LLVMBuildXor(l->builder, call2(l, "llvm.uadd.sat", from_least, b), least(a), "");
    }
    LLVMValueRef negative = LLVMBuildICmp(l->builder, LLVMIntSLT, b, zeros(b), "");
    LLVMValueRef less = call2(l, "llvm.usub.sat", a, LLVMBuildNeg(l->builder, b, ""));
    return LLVMBuildSelect(l->builder, negative, less, call2(l, "llvm.uadd.sat", a, b), "");
}

// a + b = 2 (a & b) + (a ^ b) = 2 (a | b) - (a ^ b)
static LLVMValueRef average(Lower *l, const KirInsn *insn, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef differ = shift_right(l, LLVMBuildXor(l->builder, a, b, ""), every(a, 1), is_signed(insn));
    if (insn->aux & KIR_VEC_ROUND) return LLVMBuildSub(l->builder, LLVMBuildOr(l->builder, a, b, ""), differ, "");
    return LLVMBuildAdd(l->builder, LLVMBuildAnd(l->builder, a, b, ""), differ, "");
}

// a - b = (a ^ b) - 2 (~a & b)
static LLVMValueRef half_difference(Lower *l, const KirInsn *insn, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef differ = shift_right(l, LLVMBuildXor(l->builder, a, b, ""), every(a, 1), is_signed(insn));
    return LLVMBuildSub(l->builder, differ, LLVMBuildAnd(l->builder, LLVMBuildNot(l->builder, a, ""), b, ""), "");
}

static LLVMValueRef smaller(Lower *l, const KirInsn *insn, LLVMValueRef a, LLVMValueRef b) {
    return by_sign(l, is_signed(insn), "llvm.smin", "llvm.umin", a, b);
}
static LLVMValueRef larger(Lower *l, const KirInsn *insn, LLVMValueRef a, LLVMValueRef b) {
    return by_sign(l, is_signed(insn), "llvm.smax", "llvm.umax", a, b);
}

static LLVMValueRef lane_arithmetic(Lower *l, const KirInsn *insn) {
    LLVMValueRef a = lanes(l, insn->a, lane_bits(insn)), b = lanes(l, insn->b, lane_bits(insn));
    switch (insn->op) {
    case KIR_VADD: return LLVMBuildAdd(l->builder, a, b, "");
    case KIR_VSUB: return LLVMBuildSub(l->builder, a, b, "");
    case KIR_VMUL: return LLVMBuildMul(l->builder, a, b, "");
    case KIR_VQADD:
        return is_mixed(insn) ? add_mixed(l, a, b, is_signed(insn))
                              : by_sign(l, is_signed(insn), "llvm.sadd.sat", "llvm.uadd.sat", a, b);
    case KIR_VQSUB: return by_sign(l, is_signed(insn), "llvm.ssub.sat", "llvm.usub.sat", a, b);
    case KIR_VAVG: return average(l, insn, a, b);
    case KIR_VHSUB: return half_difference(l, insn, a, b);
    case KIR_VABD: return LLVMBuildSub(l->builder, larger(l, insn, a, b), smaller(l, insn, a, b), "");
    case KIR_VMIN: return smaller(l, insn, a, b);
    default: return larger(l, insn, a, b);
    }
}

static LLVMValueRef count_zeros(Lower *l, LLVMValueRef a) {
    LLVMTypeRef type = LLVMTypeOf(a);
    return intrinsic(l, "llvm.ctlz", &type, 1, (LLVMValueRef[]){a, const_int(l, KIR_I1, 0)}, 2);
}
static LLVMValueRef count_signs(Lower *l, LLVMValueRef a) {
    LLVMValueRef sign = LLVMBuildAShr(l->builder, a, every(a, bits_of(a) - 1), "");
    return LLVMBuildSub(l->builder, count_zeros(l, LLVMBuildXor(l->builder, a, sign, "")), every(a, 1), "");
}

static LLVMValueRef lane_unary(Lower *l, const KirInsn *insn) {
    LLVMValueRef a = lanes(l, insn->a, lane_bits(insn));
    switch (insn->op) {
    case KIR_VNEG: return LLVMBuildNeg(l->builder, a, "");
    case KIR_VABS: return call2(l, "llvm.smax", a, LLVMBuildNeg(l->builder, a, ""));
    case KIR_VQNEG: return call2(l, "llvm.ssub.sat", zeros(a), a);
    case KIR_VQABS: return call2(l, "llvm.smax", a, call2(l, "llvm.ssub.sat", zeros(a), a));
    case KIR_VCLZ: return count_zeros(l, a);
    case KIR_VCLS: return count_signs(l, a);
    case KIR_VPOPCNT: return call1(l, "llvm.ctpop", a);
    default: return call1(l, "llvm.bitreverse", a);
    }
}

// ---- bits ---------------------------------------------------------------------------------------------------------------------
static LLVMValueRef logic(Lower *l, const KirInsn *insn) {
    LLVMValueRef a = value_of(l, insn->a), b = insn->op == KIR_VNOT ? NULL : value_of(l, insn->b);
    LLVMBuilderRef builder = l->builder;
    switch (insn->op) {
    case KIR_VAND: return LLVMBuildAnd(builder, a, b, "");
    case KIR_VOR: return LLVMBuildOr(builder, a, b, "");
    case KIR_VXOR: return LLVMBuildXor(builder, a, b, "");
    case KIR_VANDN: return LLVMBuildAnd(builder, a, LLVMBuildNot(builder, b, ""), "");
    case KIR_VORN: return LLVMBuildOr(builder, a, LLVMBuildNot(builder, b, ""), "");
    case KIR_VNOT: return LLVMBuildNot(builder, a, "");
    default: { // VBSL
        LLVMValueRef chosen = LLVMBuildAnd(builder, a, b, "");
        LLVMValueRef others = LLVMBuildAnd(builder, LLVMBuildNot(builder, a, ""), value_of(l, insn->c), "");
        return LLVMBuildOr(builder, chosen, others, "");
    }
    }
}

static LLVMValueRef differs(Lower *l, const KirInsn *insn) {
    LLVMTypeRef whole = int_type(l, kir_type_bits(type_of(l, insn->a)));
    return LLVMBuildICmp(l->builder, LLVMIntNE, cast(l, value_of(l, insn->a), whole), cast(l, value_of(l, insn->b), whole), "");
}

static LLVMValueRef compare(Lower *l, const KirInsn *insn) {
    static const LLVMIntPredicate predicates[] = {
        [KIR_EQ] = LLVMIntEQ,   [KIR_NE] = LLVMIntNE,   [KIR_LTS] = LLVMIntSLT, [KIR_LES] = LLVMIntSLE, [KIR_GTS] = LLVMIntSGT,
        [KIR_GES] = LLVMIntSGE, [KIR_LTU] = LLVMIntULT, [KIR_LEU] = LLVMIntULE, [KIR_GTU] = LLVMIntUGT, [KIR_GEU] = LLVMIntUGE,
    };
    LLVMValueRef a = lanes(l, insn->a, lane_bits(insn)), b = lanes(l, insn->b, lane_bits(insn)), holds;
    if (insn->op == KIR_VTST) holds = LLVMBuildICmp(l->builder, LLVMIntNE, LLVMBuildAnd(l->builder, a, b, ""), zeros(a), "");
    else holds = LLVMBuildICmp(l->builder, predicates[insn->c], a, b, "");
    return LLVMBuildSExt(l->builder, holds, LLVMTypeOf(a), "");
}

// ---- shifts -------------------------------------------------------------------------------------------------------------------
// Right by 1 up to the lane's width. Rounded: plus the last bit that fell out.
static LLVMValueRef shift_right_by(Lower *l, LLVMValueRef x, unsigned n, bool round, bool as_signed) {
    unsigned bits = bits_of(x);
    if (n == 0) return x;
    LLVMValueRef whole = n < bits    ? shift_right(l, x, every(x, n), as_signed)
                         : as_signed ? LLVMBuildAShr(l->builder, x, every(x, bits - 1), "")
                                     : zeros(x);
    if (!round) return whole;
    LLVMValueRef lost = LLVMBuildLShr(l->builder, x, every(x, n - 1), "");
    return LLVMBuildAdd(l->builder, whole, LLVMBuildAnd(l->builder, lost, every(x, 1), ""), "");
}

static LLVMValueRef shift_by_immediate(Lower *l, const KirInsn *insn) {
    unsigned bits = lane_bits(insn), n = insn->b;
    LLVMValueRef a = lanes(l, insn->a, bits);
    if (n > bits || (n == bits && insn->op != KIR_VSHRI)) return NULL;
    if (insn->op == KIR_VSHRI) return shift_right_by(l, a, n, insn->aux & KIR_VEC_ROUND, is_signed(insn));
    if (insn->op == KIR_VSHLI) return LLVMBuildShl(l->builder, a, every(a, n), "");
    if (is_mixed(insn)) return call2(l, "llvm.ushl.sat", call2(l, "llvm.smax", a, zeros(a)), every(a, n)); // VQSHLI
    return by_sign(l, is_signed(insn), "llvm.sshl.sat", "llvm.ushl.sat", a, every(a, n));
}

static LLVMValueRef insert_shifted(Lower *l, const KirInsn *insn) {
    unsigned bits = lane_bits(insn), n = insn->c;
    bool left = insn->op == KIR_VSLI;
    if (n >= bits) return n == bits ? value_of(l, insn->a) : NULL;
    LLVMValueRef under = lanes(l, insn->a, bits), over = lanes(l, insn->b, bits);
    uint64_t ones = ~0ull >> (64 - bits), mask = left ? ones << n : ones >> n;
    under = LLVMBuildAnd(l->builder, under, every(under, ~mask), "");
    over = left ? LLVMBuildShl(l->builder, over, every(over, n), "") : LLVMBuildLShr(l->builder, over, every(over, n), "");
    return LLVMBuildOr(l->builder, under, over, "");
}

static LLVMValueRef below(Lower *l, LLVMValueRef x, uint64_t bound) {
    return LLVMBuildICmp(l->builder, LLVMIntULT, x, every(x, bound), "");
}
// x limited to what a lane may be shifted by.
static LLVMValueRef in_lane(Lower *l, LLVMValueRef x) { return call2(l, "llvm.umin", x, every(x, bits_of(x) - 1)); }

static LLVMValueRef shift_left_by_lane(Lower *l, const KirInsn *insn, LLVMValueRef a, LLVMValueRef n) {
    unsigned bits = bits_of(a);
    LLVMValueRef fits = below(l, n, bits), by = in_lane(l, n);
    if (!(insn->aux & KIR_VEC_SATURATE))
        return LLVMBuildSelect(l->builder, fits, LLVMBuildShl(l->builder, a, by, ""), zeros(a), "");
    LLVMValueRef shifted = by_sign(l, is_signed(insn), "llvm.sshl.sat", "llvm.ushl.sat", a, by);
    LLVMValueRef negative = LLVMBuildICmp(l->builder, LLVMIntSLT, a, zeros(a), "");
    LLVMValueRef most = is_signed(insn) ? LLVMBuildSelect(l->builder, negative, least(a), greatest(a), "") : every(a, ~0ull);
    LLVMValueRef is_zero = LLVMBuildICmp(l->builder, LLVMIntEQ, a, zeros(a), "");
    return LLVMBuildSelect(l->builder, LLVMBuildOr(l->builder, fits, is_zero, ""), shifted, most, "");
}

static LLVMValueRef shift_right_or_zero(Lower *l, LLVMValueRef a, LLVMValueRef n, bool as_signed) {
    LLVMValueRef shifted = shift_right(l, a, in_lane(l, n), as_signed);
    return as_signed ? shifted : LLVMBuildSelect(l->builder, below(l, n, bits_of(a)), shifted, zeros(a), "");
}

static LLVMValueRef shift_right_by_lane(Lower *l, const KirInsn *insn, LLVMValueRef a, LLVMValueRef n) {
    LLVMValueRef whole = shift_right_or_zero(l, a, n, is_signed(insn));
    if (!(insn->aux & KIR_VEC_ROUND)) return whole;
    LLVMValueRef lost = shift_right_or_zero(l, a, LLVMBuildSub(l->builder, n, every(a, 1), ""), is_signed(insn));
    return LLVMBuildAdd(l->builder, whole, LLVMBuildAnd(l->builder, lost, every(a, 1), ""), "");
}

// The amount is the signed low byte of b's lane; as unsigned numbers both directions have room for it.
static LLVMValueRef shift_by_lane(Lower *l, const KirInsn *insn) {
    unsigned bits = lane_bits(insn);
    if (bits == 32 && !l->features.avx2) return NULL; // LLVM would convert powers of two from floating point, 2^31 with a flag
    LLVMValueRef a = lanes(l, insn->a, bits), b = lanes(l, insn->b, bits), byte = every(a, bits - 8);
    LLVMValueRef n = LLVMBuildAShr(l->builder, LLVMBuildShl(l->builder, b, byte, ""), byte, "");
    LLVMValueRef to_right = LLVMBuildICmp(l->builder, LLVMIntSLT, n, zeros(n), "");
    LLVMValueRef left = shift_left_by_lane(l, insn, a, n);
    LLVMValueRef right = shift_right_by_lane(l, insn, a, LLVMBuildNeg(l->builder, n, ""));
    return LLVMBuildSelect(l->builder, to_right, right, left, "");
}

// ---- lanes and bytes as they are ----------------------------------------------------------------------------------------------
static LLVMValueRef permute(Lower *l, const KirInsn *insn) {
    unsigned count = lane_count(insn), odd = insn->c & 1, from[16] = {0};
    if (count == 0) return NULL;
    for (unsigned i = 0; i < count; i++) {
        if (insn->op == KIR_VZIP) from[i] = i / 2 + odd * (count / 2) + (i & 1) * count;
        else if (insn->op == KIR_VUZP) from[i] = 2 * i + odd;
        else from[i] = (i & ~1u) + odd + (i & 1) * count;
    }
    return pick(l, lanes(l, insn->a, lane_bits(insn)), lanes(l, insn->b, lane_bits(insn)), from, count);
}

static LLVMValueRef reverse(Lower *l, const KirInsn *insn) {
    unsigned count = lane_count(insn), in_group = insn->b * 8 / lane_bits(insn), from[16] = {0};
    if (in_group == 0 || (in_group & (in_group - 1))) return value_of(l, insn->a);
    if (in_group > count) return NULL;
    for (unsigned i = 0; i < count; i++) from[i] = i ^ (in_group - 1);
    return pick(l, lanes(l, insn->a, lane_bits(insn)), NULL, from, count);
}

static LLVMValueRef extract_bytes(Lower *l, const KirInsn *insn) {
    unsigned bytes = vector_bits(insn) / 8;
    if (insn->c > bytes) return NULL;
    return every_nth(l, lanes(l, insn->a, 8), lanes(l, insn->b, 8), insn->c, 1, bytes);
}

// PSHUFB gives 0 where the index has its top bit set: adding makes that so for all that are out of range, and leaves the low bits of the
// others. A table of 8 bytes stands twice in the register, as their indices have bit 3 set by then.
static LLVMValueRef look_up(Lower *l, const KirInsn *insn) {
    unsigned bytes = vector_bits(insn) / 8, twice[16];
    LLVMValueRef table = lanes(l, insn->a, 8), index = lanes(l, insn->b, 8), wide_index, result;
    for (unsigned i = 0; i < 16; i++) twice[i] = i % bytes;
    wide_index = call2(l, "llvm.uadd.sat", index, every(index, 0x80 - bytes));
    if (bytes == 8) table = pick(l, table, NULL, twice, 16), wide_index = pick(l, wide_index, NULL, twice, 16);
    result = intrinsic(l, "llvm.x86.ssse3.pshuf.b.128", NULL, 0, (LLVMValueRef[]){table, wide_index}, 2);
    if (bytes == 8) result = every_nth(l, result, NULL, 0, 1, 8);
    if (insn->op == KIR_VTBL) return result;
    return LLVMBuildSelect(l->builder, below(l, index, bytes), result, lanes(l, insn->c, 8), "");
}

// An integer cut or extended with zeros to a lane.
static LLVMValueRef to_lane(Lower *l, LLVMValueRef x, unsigned bits) {
    unsigned have = LLVMGetIntTypeWidth(LLVMTypeOf(x));
    if (have == bits) return x;
    return have > bits ? LLVMBuildTrunc(l->builder, x, int_type(l, bits), "") : LLVMBuildZExt(l->builder, x, int_type(l, bits), "");
}

static LLVMValueRef splat(Lower *l, LLVMValueRef lane, unsigned count) {
    LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(lane), count);
    unsigned first[16] = {0};
    return pick(l, LLVMBuildInsertElement(l->builder, LLVMGetPoison(type), lane, const_i32(l, 0), ""), NULL, first, count);
}

// Lane numbers count modulo the lanes of 16 bytes; those that a v64 does not have read 0.
static LLVMValueRef get_lane(Lower *l, KirRef ref, unsigned bits, unsigned index) {
    index &= 128 / bits - 1;
    LLVMValueRef vector = lanes(l, ref, bits);
    if (index >= count_of(vector)) return LLVMConstInt(int_type(l, bits), 0, false);
    return LLVMBuildExtractElement(l->builder, vector, const_i32(l, index), "");
}

// A lane as i32 or i64, extended or cut.
static LLVMValueRef from_lane(Lower *l, const KirInsn *insn, LLVMValueRef lane) {
    if (LLVMGetIntTypeWidth(LLVMTypeOf(lane)) < vector_bits(insn) && is_signed(insn))
        return LLVMBuildSExt(l->builder, lane, llvm_type(l, insn->type), "");
    return to_lane(l, lane, vector_bits(insn));
}

static LLVMValueRef put_lane(Lower *l, const KirInsn *insn) {
    unsigned bits = lane_bits(insn), index = insn->c & (128 / bits - 1);
    LLVMValueRef vector = lanes(l, insn->a, bits);
    if (index >= count_of(vector)) return vector;
    return LLVMBuildInsertElement(l->builder, vector, to_lane(l, value_of(l, insn->b), bits), const_i32(l, index), "");
}

// ---- wider and narrower -------------------------------------------------------------------------------------------------------
// The sum of x shifted to where y has bits: a product without carries, in x's width.
static LLVMValueRef polynomial_product(Lower *l, LLVMValueRef x, LLVMValueRef y, unsigned bits) {
    LLVMValueRef product = zeros(x), one = every(x, 1);
    for (unsigned i = 0; i < bits; i++) {
        LLVMValueRef bit = LLVMBuildAnd(l->builder, LLVMBuildLShr(l->builder, y, every(y, i), ""), one, "");
        LLVMValueRef all = LLVMBuildNeg(l->builder, bit, "");
        LLVMValueRef term = LLVMBuildAnd(l->builder, LLVMBuildShl(l->builder, x, every(x, i), ""), all, "");
        product = LLVMBuildXor(l->builder, product, term, "");
    }
    return product;
}

static LLVMValueRef multiply_long(Lower *l, const KirInsn *insn) {
    unsigned bits = lane_bits(insn), which = insn->c & 1;
    bool polynomial = insn->aux & KIR_VEC_POLY;
    if (polynomial && bits == 64 && l->features.pclmul && insn->type == KIR_V128 && type_of(l, insn->a) == KIR_V128) {
        LLVMValueRef args[3] = {value_of(l, insn->a), value_of(l, insn->b), const_int(l, KIR_I8, which * 0x11)};
        return intrinsic(l, "llvm.x86.pclmulqdq", NULL, 0, args, 3);
    }
    if (polynomial && bits != 8) return NULL;
    bool as_signed = is_signed(insn) && !polynomial;
    LLVMValueRef a = extend(l, half(l, insn, insn->a, which), as_signed), b = extend(l, half(l, insn, insn->b, which), as_signed);
    return polynomial ? polynomial_product(l, a, b, bits) : LLVMBuildMul(l->builder, a, b, "");
}

static LLVMValueRef multiply_polynomial(Lower *l, const KirInsn *insn) {
    if (lane_bits(insn) != 8) return NULL;
    return polynomial_product(l, lanes(l, insn->a, 8), lanes(l, insn->b, 8), 8);
}

static LLVMValueRef multiply_high(Lower *l, const KirInsn *insn) {
    unsigned bits = lane_bits(insn);
    LLVMValueRef a = extend(l, lanes(l, insn->a, bits), true), b = extend(l, lanes(l, insn->b, bits), true);
    LLVMValueRef high = shift_right_by(l, LLVMBuildMul(l->builder, a, b, ""), bits - 1, insn->aux & KIR_VEC_ROUND, true);
    return cut(l, call2(l, "llvm.smin", high, every(high, (1ull << (bits - 1)) - 1))); // only twice the smallest number overflows
}

static LLVMValueRef narrow(Lower *l, const KirInsn *insn, LLVMValueRef x) {
    unsigned half_bits = bits_of(x) / 2;
    uint64_t most = (1ull << (half_bits - 1)) - 1, all = most * 2 + 1;
    if (!(insn->aux & KIR_VEC_SATURATE)) return cut(l, x);
    if (is_mixed(insn)) return cut(l, call2(l, "llvm.smin", call2(l, "llvm.smax", x, zeros(x)), every(x, all)));
    if (!is_signed(insn)) return cut(l, call2(l, "llvm.umin", x, every(x, all)));
    return cut(l, call2(l, "llvm.smin", call2(l, "llvm.smax", x, every(x, ~most)), every(x, most)));
}

static LLVMValueRef shift_and_narrow(Lower *l, const KirInsn *insn) {
    unsigned bits = lane_bits(insn), n = insn->op == KIR_VSHRN ? insn->b : 0;
    if (bits == 8 || n > bits) return NULL;
    LLVMValueRef x = lanes(l, insn->op == KIR_VNARROW2 ? insn->b : insn->a, bits);
    x = shift_right_by(l, x, n, insn->aux & KIR_VEC_ROUND, is_signed(insn) || is_mixed(insn));
    x = narrow(l, insn, x);
    if (insn->op != KIR_VNARROW2) return fill(l, x, vector_bits(insn));
    return every_nth(l, every_nth(l, lanes(l, insn->a, bits / 2), NULL, 0, 1, count_of(x)), x, 0, 1, 2 * count_of(x));
}

// ---- pairs and reductions -----------------------------------------------------------------------------------------------------
static LLVMValueRef combine(Lower *l, const KirInsn *insn, KirOp how, LLVMValueRef a, LLVMValueRef b) {
    if (how == KIR_VPMIN) return smaller(l, insn, a, b);
    return how == KIR_VPMAX ? larger(l, insn, a, b) : LLVMBuildAdd(l->builder, a, b, "");
}

static LLVMValueRef pairwise(Lower *l, const KirInsn *insn) {
    unsigned count = lane_count(insn);
    LLVMValueRef a = lanes(l, insn->a, lane_bits(insn)), b = lanes(l, insn->b, lane_bits(insn));
    return combine(l, insn, (KirOp)insn->op, every_nth(l, a, b, 0, 2, count), every_nth(l, a, b, 1, 2, count));
}

static LLVMValueRef add_pairs_long(Lower *l, const KirInsn *insn) {
    unsigned count = lane_count(insn) / 2;
    LLVMValueRef a = lanes(l, insn->a, lane_bits(insn));
    LLVMValueRef even = extend(l, every_nth(l, a, NULL, 0, 2, count), is_signed(insn));
    return LLVMBuildAdd(l->builder, even, extend(l, every_nth(l, a, NULL, 1, 2, count), is_signed(insn)), "");
}

static LLVMValueRef reduce(Lower *l, const KirInsn *insn) {
    LLVMValueRef a = lanes(l, insn->a, lane_bits(insn));
    if (insn->op == KIR_VREDADDL) a = extend(l, a, is_signed(insn));
    const char *name = insn->op == KIR_VREDMIN   ? (is_signed(insn) ? "llvm.vector.reduce.smin" : "llvm.vector.reduce.umin")
                       : insn->op == KIR_VREDMAX ? (is_signed(insn) ? "llvm.vector.reduce.smax" : "llvm.vector.reduce.umax")
                                                 : "llvm.vector.reduce.add";
    return from_lane(l, insn, call1(l, name, a));
}

// ---- floating point -----------------------------------------------------------------------------------------------------------
typedef struct Lanes {
    unsigned bits, count;
    uint64_t infinity, quiet, smallest; // bits of infinity, of the quiet bit, of the smallest normal number
    LLVMTypeRef number, numbers, integers;
} Lanes;

// Lanes of a whole host register, whatever the size of the guest's vector.
static Lanes float_lanes(const Lower *l, unsigned bits) {
    Lanes f = {.bits = bits, .count = 128 / bits, .number = llvm_type(l, bits == 64 ? KIR_F64 : KIR_F32)};
    f.infinity = bits == 64 ? 0x7ffull << 52 : 0x7f800000;
    f.quiet = bits == 64 ? 1ull << 51 : 1u << 22;
    f.smallest = bits == 64 ? 1ull << 52 : 1u << 23;
    f.numbers = LLVMVectorType(f.number, f.count);
    f.integers = lanes_type(l, bits, f.count);
    return f;
}

// The v128, or a v64 twice.
static LLVMValueRef full(Lower *l, KirRef ref) {
    LLVMValueRef x = value_of(l, ref);
    return type_of(l, ref) == KIR_V64 ? splat(l, x, 2) : x;
}
static LLVMValueRef numbers(Lower *l, const Lanes *f, KirRef ref) { return cast(l, full(l, ref), f->numbers); }

// The result's bits, of a whole register, as the instruction's type.
static LLVMValueRef give(Lower *l, const KirInsn *insn, LLVMValueRef x) {
    x = cast(l, x, llvm_type(l, KIR_V128));
    return insn->type == KIR_V64 ? LLVMBuildExtractElement(l->builder, x, const_i32(l, 0), "") : x;
}

static LLVMValueRef any(Lower *l, LLVMValueRef conditions) {
    LLVMTypeRef bits = int_type(l, count_of(conditions));
    return LLVMBuildICmp(l->builder, LLVMIntNE, cast(l, conditions, bits), LLVMConstNull(bits), "");
}

static LLVMValueRef magnitudes(Lower *l, const Lanes *f, LLVMValueRef x) {
    LLVMValueRef bits = cast(l, x, f->integers);
    return LLVMBuildAnd(l->builder, bits, every(bits, ~(1ull << (f->bits - 1))), "");
}

static bool is_arm(const KirInsn *insn) { return insn->aux & KIR_VEC_NAN_ARM; }
static bool is_variant(const KirInsn *insn) { return insn->aux & KIR_VEC_VARIANT; }

// Canonical NaN by lane; by Arm's rule the evaluator for a vector with a NaN, or a lane that may have been tiny before rounding.
// `tests` is false for what the evaluator shall see in any case.
static LLVMValueRef finish(Lower *l, const KirInsn *insn, const Lanes *f, LLVMValueRef result, bool underflows, bool evaluates,
                           LLVMValueRef operands[3]) {
    LLVMValueRef nan = LLVMBuildFCmp(l->builder, LLVMRealUNO, result, result, "");
    if (!is_arm(insn) && !evaluates) {
        LLVMValueRef canonical = cast(l, every(LLVMConstNull(f->integers), f->infinity | f->quiet), f->numbers);
        return give(l, insn, LLVMBuildSelect(l->builder, nan, canonical, result, ""));
    }
    if (is_arm(insn) && underflows) {
        LLVMValueRef sizes = magnitudes(l, f, result);
        nan = LLVMBuildOr(l->builder, nan, LLVMBuildICmp(l->builder, LLVMIntEQ, sizes, every(sizes, f->smallest), ""), "");
    }
    return otherwise_evaluate(l, insn, any(l, nan), give(l, insn, result), operands);
}

static LLVMValueRef float_arithmetic(Lower *l, const KirInsn *insn, const char *name, unsigned count, bool underflows) {
    Lanes f = float_lanes(l, lane_bits(insn));
    LLVMValueRef operands[3] = {value_of(l, insn->a), count > 1 ? value_of(l, insn->b) : NULL, NULL};
    LLVMValueRef x[2] = {numbers(l, &f, insn->a), count > 1 ? numbers(l, &f, insn->b) : NULL};
    LLVMValueRef result = strict(l, name, f.numbers, x, count, STRICT_ROUNDS);
    if (insn->op != KIR_VFABD) return finish(l, insn, &f, result, underflows, false, operands);
    if (is_arm(insn)) {
        LLVMValueRef nan = LLVMBuildFCmp(l->builder, LLVMRealUNO, result, result, "");
        return otherwise_evaluate(l, insn, any(l, nan), give(l, insn, magnitudes(l, &f, result)), operands);
    }
    LLVMValueRef sizes = magnitudes(l, &f, result), nan = every(sizes, f.infinity | f.quiet);
    LLVMValueRef is_nan = LLVMBuildICmp(l->builder, LLVMIntUGT, sizes, every(sizes, f.infinity), "");
    return give(l, insn, LLVMBuildSelect(l->builder, is_nan, nan, sizes, ""));
}

static LLVMValueRef float_multiply_add(Lower *l, const KirInsn *insn) {
    if (!l->features.fma) return NULL;
    Lanes f = float_lanes(l, lane_bits(insn));
    LLVMValueRef operands[3] = {value_of(l, insn->a), value_of(l, insn->b), value_of(l, insn->c)};
    LLVMValueRef x[3] = {numbers(l, &f, insn->a), numbers(l, &f, insn->b), numbers(l, &f, insn->c)};
    if (is_variant(insn)) x[0] = LLVMBuildFNeg(l->builder, x[0], "");
    LLVMValueRef result = strict(l, "llvm.experimental.constrained.fma", f.numbers, x, 3, STRICT_ROUNDS);
    return finish(l, insn, &f, result, true, true, operands); // x86 does not call infinity times zero plus NaN invalid
}

static LLVMValueRef float_pairs(Lower *l, const KirInsn *insn) {
    Lanes f = float_lanes(l, lane_bits(insn));
    unsigned count = lane_count(insn), even[16] = {0}, odd[16] = {0};
    LLVMValueRef operands[3] = {value_of(l, insn->a), value_of(l, insn->b), NULL};
    LLVMValueRef a = cast(l, operands[0], LLVMVectorType(f.number, count)),
                 b = cast(l, operands[1], LLVMVectorType(f.number, count));
    for (unsigned i = 0; i < f.count; i++) even[i] = 2 * (i % count), odd[i] = even[i] + 1;
    LLVMValueRef x[2] = {pick(l, a, b, even, f.count), pick(l, a, b, odd, f.count)};
    LLVMValueRef sums = strict(l, "llvm.experimental.constrained.fadd", f.numbers, x, 2, STRICT_ROUNDS);
    return finish(l, insn, &f, sums, false, false, operands);
}

// The comparison raises what there is to raise; the evaluator does vectors with a NaN. As for scalars, both orders together have each sign
// of zero, and LLVM does not speculate calls of target intrinsics.
static LLVMValueRef float_min_max(Lower *l, const KirInsn *insn) {
    static const char *const names[2][2] = {{"llvm.x86.sse.min.ps", "llvm.x86.sse2.min.pd"},
                                            {"llvm.x86.sse.max.ps", "llvm.x86.sse2.max.pd"}};
    Lanes f = float_lanes(l, lane_bits(insn));
    bool max = insn->op == KIR_VFMAX;
    const char *name = names[max][f.bits == 64];
    LLVMValueRef operands[3] = {value_of(l, insn->a), value_of(l, insn->b), NULL};
    LLVMValueRef a = numbers(l, &f, insn->a), b = numbers(l, &f, insn->b);
    Paths p = split(l, any(l, strict_compare(l, KIR_FUNORD, a, b)));
    LLVMValueRef one = cast(l, intrinsic(l, name, NULL, 0, (LLVMValueRef[]){a, b}, 2), f.integers);
    LLVMValueRef other = cast(l, intrinsic(l, name, NULL, 0, (LLVMValueRef[]){b, a}, 2), f.integers);
    LLVMValueRef hot = give(l, insn, max ? LLVMBuildAnd(l->builder, one, other, "") : LLVMBuildOr(l->builder, one, other, ""));
    begin_cold(l, &p);
    return join(l, &p, hot, evaluate(l, insn, operands));
}

static LLVMValueRef float_signs(Lower *l, const KirInsn *insn) {
    LLVMValueRef x = lanes(l, insn->a, lane_bits(insn)), sign = least(x);
    if (insn->op == KIR_VFNEG) return LLVMBuildXor(l->builder, x, sign, "");
    return LLVMBuildAnd(l->builder, x, LLVMBuildNot(l->builder, sign, ""), "");
}

static LLVMValueRef float_compare(Lower *l, const KirInsn *insn) {
    Lanes f = float_lanes(l, lane_bits(insn));
    LLVMValueRef holds = strict_compare(l, (KirFcmp)insn->c, numbers(l, &f, insn->a), numbers(l, &f, insn->b));
    return give(l, insn, LLVMBuildSExt(l->builder, holds, f.integers, ""));
}

static LLVMValueRef float_round(Lower *l, const KirInsn *insn) {
    unsigned round = insn->b & KIR_FP_ROUND;
    if (round == KIR_RMM) return NULL;
    Lanes f = float_lanes(l, lane_bits(insn));
    LLVMValueRef operands[3] = {value_of(l, insn->a), NULL, NULL}, x = numbers(l, &f, insn->a);
    LLVMValueRef result = strict_round(l, round, x);
    if (is_variant(insn)) strict_raise_inexact(l, x);
    return finish(l, insn, &f, result, false, false, operands);
}

// Signed: the conversion's "indefinite" result is what the evaluator does, NaN among it. Unsigned: below half the range it is the signed one.
static LLVMValueRef float_to_int(Lower *l, const KirInsn *insn) {
    unsigned round = insn->b & KIR_FP_ROUND;
    if (round == KIR_RMM) return NULL;
    Lanes f = float_lanes(l, lane_bits(insn));
    LLVMValueRef operands[3] = {value_of(l, insn->a), NULL, NULL}, x = numbers(l, &f, insn->a), rare, result;
    LLVMValueRef bits = cast(l, x, f.integers);
    uint64_t bound = f.bits == 64 ? (uint64_t)(1023 + 63) << 52 : (uint64_t)(127 + 31) << 23;
    Paths outer = {0};
    if (!is_signed(insn)) outer = split(l, any(l, LLVMBuildICmp(l->builder, LLVMIntUGE, bits, every(bits, bound), "")));
    LLVMValueRef whole = round == KIR_RTZ ? x : strict_round(l, round, x);
    result = strict(l, "llvm.experimental.constrained.fptosi", f.integers, &whole, 1, STRICT_CONVERTS);
    result = LLVMBuildFreeze(l->builder, result, "");
    if (!is_signed(insn)) {
        if (round != KIR_RTZ) strict_raise_inexact(l, x);
        LLVMValueRef hot = give(l, insn, result);
        begin_cold(l, &outer);
        return join(l, &outer, hot, evaluate(l, insn, operands));
    }
    rare = any(l, LLVMBuildICmp(l->builder, LLVMIntEQ, result, least(result), ""));
    Paths p = split(l, rare);
    if (round != KIR_RTZ) strict_raise_inexact(l, x);
    LLVMValueRef hot = give(l, insn, result);
    begin_cold(l, &p);
    return join(l, &p, hot, evaluate(l, insn, operands));
}

// Unsigned: below half the range it is the signed conversion.
static LLVMValueRef float_from_int(Lower *l, const KirInsn *insn) {
    Lanes f = float_lanes(l, lane_bits(insn));
    LLVMValueRef operands[3] = {value_of(l, insn->a), NULL, NULL}, x = cast(l, full(l, insn->a), f.integers);
    Paths p = {0};
    if (!is_signed(insn)) p = split(l, any(l, LLVMBuildICmp(l->builder, LLVMIntSLT, x, zeros(x), "")));
    LLVMValueRef result = strict(l, "llvm.experimental.constrained.sitofp", f.numbers, &x, 1, STRICT_ROUNDS | STRICT_CONVERTS);
    result = give(l, insn, result);
    if (is_signed(insn)) return result;
    begin_cold(l, &p);
    return join(l, &p, result, evaluate(l, insn, operands));
}

static LLVMValueRef float_widen(Lower *l, const KirInsn *insn) {
    if (lane_bits(insn) != 32 || insn->type != KIR_V128) return NULL;
    Lanes narrow_lanes = float_lanes(l, 32), f = float_lanes(l, 64);
    LLVMValueRef operands[3] = {value_of(l, insn->a), NULL, NULL};
    LLVMValueRef x = every_nth(l, numbers(l, &narrow_lanes, insn->a), NULL, (insn->b & 1) * 2, 1, 2);
    LLVMValueRef result = strict(l, "llvm.experimental.constrained.fpext", f.numbers, &x, 1, STRICT_CONVERTS);
    return finish(l, insn, &f, result, false, false, operands);
}

// The two lanes stand twice in the result while it is looked at.
static LLVMValueRef float_narrow(Lower *l, const KirInsn *insn) {
    if (lane_bits(insn) != 64 || type_of(l, insn->a) != KIR_V128 || insn->type != KIR_V64) return NULL;
    static const unsigned twice[4] = {0, 1, 0, 1};
    Lanes f = float_lanes(l, 32), wide = float_lanes(l, 64);
    LLVMValueRef operands[3] = {value_of(l, insn->a), NULL, NULL}, x = numbers(l, &wide, insn->a);
    LLVMTypeRef pair = LLVMVectorType(f.number, 2);
    LLVMValueRef result = strict(l, "llvm.experimental.constrained.fptrunc", pair, &x, 1, STRICT_ROUNDS | STRICT_CONVERTS);
    return finish(l, insn, &f, pick(l, result, NULL, twice, 4), true, false, operands);
}

// ---- cryptography: the last round of the host's AES with a key of zeros is Arm's round after its addition; a last round undone by the
// opposite one leaves the mixed columns ---------------------------------------------------------------------------------------------
static LLVMValueRef aes(Lower *l, const KirInsn *insn) {
    if (!l->features.aes) return NULL;
    LLVMValueRef state = value_of(l, insn->a), none = zeros(state);
    if (insn->op == KIR_AESENC) {
        state = LLVMBuildXor(l->builder, state, value_of(l, insn->b), "");
        const char *name = insn->c & 1 ? "llvm.x86.aesni.aesdeclast" : "llvm.x86.aesni.aesenclast";
        return intrinsic(l, name, NULL, 0, (LLVMValueRef[]){state, none}, 2);
    }
    if (insn->b & 1) return intrinsic(l, "llvm.x86.aesni.aesimc", NULL, 0, &state, 1);
    state = intrinsic(l, "llvm.x86.aesni.aesdeclast", NULL, 0, (LLVMValueRef[]){state, none}, 2);
    return intrinsic(l, "llvm.x86.aesni.aesenc", NULL, 0, (LLVMValueRef[]){state, none}, 2);
}

// ---- all of them --------------------------------------------------------------------------------------------------------------
static LLVMValueRef lower_lanes(Lower *l, const KirInsn *insn) {
    switch (insn->op) {
    case KIR_VADD ... KIR_VMAX: return lane_arithmetic(l, insn);
    case KIR_VAND ... KIR_VNOT:
    case KIR_VBSL: return logic(l, insn);
    case KIR_VNEG ... KIR_VBITREV: return lane_unary(l, insn);
    case KIR_VREV: return reverse(l, insn);
    case KIR_VSHLI:
    case KIR_VSHRI:
    case KIR_VQSHLI: return shift_by_immediate(l, insn);
    case KIR_VSHL: return shift_by_lane(l, insn);
    case KIR_VSLI:
    case KIR_VSRI: return insert_shifted(l, insn);
    case KIR_VCMP:
    case KIR_VTST: return compare(l, insn);
    case KIR_VSPLAT: return splat(l, to_lane(l, value_of(l, insn->a), lane_bits(insn)), lane_count(insn));
    case KIR_VPUT: return put_lane(l, insn);
    case KIR_VDUP: return splat(l, get_lane(l, insn->a, lane_bits(insn), insn->b), lane_count(insn));
    case KIR_VZIP ... KIR_VTRN: return permute(l, insn);
    case KIR_VEXT: return extract_bytes(l, insn);
    case KIR_VTBL:
    case KIR_VTBX: return look_up(l, insn);
    case KIR_VWIDEN: return extend(l, half(l, insn, insn->a, insn->b), is_signed(insn));
    case KIR_VNARROW ... KIR_VSHRN: return shift_and_narrow(l, insn);
    case KIR_VMULL: return multiply_long(l, insn);
    case KIR_VMULH: return multiply_high(l, insn);
    case KIR_VPMUL: return multiply_polynomial(l, insn);
    case KIR_VPADD ... KIR_VPMAX: return pairwise(l, insn);
    case KIR_VPADDL: return add_pairs_long(l, insn);
    case KIR_VFNEG:
    case KIR_VFABS: return float_signs(l, insn);
    case KIR_AESENC:
    case KIR_AESMC: return aes(l, insn);
    default: return NULL;
    }
}

static LLVMValueRef lower_float_lanes(Lower *l, const KirInsn *insn) {
    switch (insn->op) {
    case KIR_VFADD: return float_arithmetic(l, insn, "llvm.experimental.constrained.fadd", 2, false);
    case KIR_VFSUB:
    case KIR_VFABD: return float_arithmetic(l, insn, "llvm.experimental.constrained.fsub", 2, false);
    case KIR_VFMUL: return float_arithmetic(l, insn, "llvm.experimental.constrained.fmul", 2, true);
    case KIR_VFDIV: return float_arithmetic(l, insn, "llvm.experimental.constrained.fdiv", 2, true);
    case KIR_VFSQRT: return float_arithmetic(l, insn, "llvm.experimental.constrained.sqrt", 1, false);
    case KIR_VFMA: return float_multiply_add(l, insn);
    case KIR_VFMIN:
    case KIR_VFMAX: return float_min_max(l, insn);
    case KIR_VFPADD: return float_pairs(l, insn);
    case KIR_VFCMP: return float_compare(l, insn);
    case KIR_VFTOI: return float_to_int(l, insn);
    case KIR_VITOF: return float_from_int(l, insn);
    case KIR_VFROUND: return float_round(l, insn);
    case KIR_VFCVTL: return float_widen(l, insn);
    case KIR_VFCVTN: return float_narrow(l, insn);
    default: return NULL;
    }
}

LLVMValueRef lower_vector(Lower *l, const KirInsn *insn) {
    if (kir_aux_class((KirOp)insn->op) == KIR_AUX_VEC && (insn->aux & KIR_VEC_LANE) > 3) return NULL;
    switch (insn->op) {
    case KIR_VGET: return from_lane(l, insn, get_lane(l, insn->a, lane_bits(insn), insn->b));
    case KIR_VREDADD ... KIR_VREDMAX: return reduce(l, insn);
    case KIR_VSATURATED: return differs(l, insn);
    case KIR_VFADD ... KIR_VFABD:
    case KIR_VFPADD:
    case KIR_VFCMP ... KIR_VFCVTN: return lower_float_lanes(l, insn);
    default: break;
    }
    LLVMValueRef result = lower_lanes(l, insn);
    return result ? cast(l, result, llvm_type(l, insn->type)) : NULL;
}
