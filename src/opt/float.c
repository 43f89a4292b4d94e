// SPDX-License-Identifier: MIT
//
// Scalar floating point under the guest's MXCSR: rounding and sticky flags are the hardware's.
//
// Whatever can raise a flag is a constrained intrinsic (round.dynamic, fpexcept.strict): LLVM neither folds, removes, merges nor
// speculates those, and never moves one past another or past a change of MXCSR. What is a plain LLVM operation here raises nothing, for no
// operand: bit operations, conversions that are exact, comparisons of a result with itself (a result is never a signalling NaN).
//
// A NaN result becomes the canonical NaN by `select`, marked as all but never taken: it stays one instruction for LLVM's passes, sinks into
// exits where only they use it, and becomes a compare and a branch in the end. Where nobody looks at the bits of a NaN
// (mark_exact_values), it is left out.
//
// What x86 does differently is mended on cold paths: by a few instructions, else by the evaluator (flags it raises again are the ones raised
// already). By Arm's rule a result that is NaN goes there, and one that is tiny before rounding but not after it. What has no code here:
// static rounding modes of arithmetic, half precision, multiply-add on a host without it.
#include <string.h>
#include "opt/lower.h"

// ---- what is known of a format ------------------------------------------------------------------------------------------------
typedef struct Format {
    KirType number, integer;
    uint64_t sign, infinity, quiet, smallest; // bits: the sign, infinity, the quiet bit of a NaN, the smallest normal number
    unsigned fraction, bias;
} Format;

static const Format single = {KIR_F32, KIR_I32, 0x80000000, 0x7f800000, 0x00400000, 0x00800000, 23, 127};
static const Format twice = {KIR_F64, KIR_I64, 1ull << 63, 0x7ffull << 52, 1ull << 51, 1ull << 52, 52, 1023};

static const Format *format_of(KirType type) { return type == KIR_F32 ? &single : &twice; }
static uint64_t bits_of_power(const Format *f, unsigned power) { return (uint64_t)(f->bias + power) << f->fraction; }

static LLVMValueRef number(const Lower *l, const Format *f, uint64_t bits) {
    return LLVMConstBitCast(const_int(l, f->integer, bits), llvm_type(l, f->number));
}
static LLVMValueRef canonical_nan(const Lower *l, const Format *f) { return number(l, f, f->infinity | f->quiet); }
static LLVMValueRef as_bits(Lower *l, const Format *f, LLVMValueRef x) {
    return LLVMBuildBitCast(l->builder, x, llvm_type(l, f->integer), "");
}
static LLVMValueRef magnitude(Lower *l, const Format *f, LLVMValueRef bits) {
    return LLVMBuildAnd(l->builder, bits, const_int(l, f->integer, ~f->sign), "");
}
static LLVMValueRef compare_bits(Lower *l, const Format *f, LLVMIntPredicate predicate, LLVMValueRef bits, uint64_t with) {
    return LLVMBuildICmp(l->builder, predicate, bits, const_int(l, f->integer, with), "");
}

// ---- operations that round or raise flags -------------------------------------------------------------------------------------
static LLVMValueRef text(const Lower *l, const char *string) {
    return LLVMMetadataAsValue(l->context, LLVMMDStringInContext2(l->context, string, strlen(string)));
}

// LLVM folds an operation on constants whose result is exact. The sign of an exact sum that is zero depends on how it is rounded.
static void keep_from_folding(Lower *l, const char *name, LLVMValueRef call) {
    static const char *const sums[] = {"fadd", "fsub", "fma"};
    for (unsigned i = 0; i < sizeof sums / sizeof *sums; i++)
        if (!strcmp(strrchr(name, '.') + 1, sums[i])) add_call_attribute(l, call, "nobuiltin", 0);
}

LLVMValueRef strict(Lower *l, const char *name, LLVMTypeRef result, LLVMValueRef *operands, unsigned count, StrictKind kind) {
    LLVMTypeRef overloads[2] = {result, LLVMTypeOf(operands[0])};
    LLVMValueRef args[6];
    unsigned n = 0;
    while (n < count) args[n] = operands[n], n++;
    if (kind & STRICT_ROUNDS) args[n++] = text(l, "round.dynamic");
    args[n++] = text(l, "fpexcept.strict");
    LLVMValueRef call = intrinsic(l, name, overloads, kind & STRICT_CONVERTS ? 2 : 1, args, n);
    keep_from_folding(l, name, call);
    return call;
}

LLVMValueRef strict_compare(Lower *l, KirFcmp kind, LLVMValueRef a, LLVMValueRef b) {
    static const char *const predicates[] = {
        [KIR_FEQ] = "oeq",   [KIR_FLT] = "olt", [KIR_FLE] = "ole", [KIR_FUNORD] = "uno", [KIR_FEQ_S] = "oeq", [KIR_FLT_S] = "olt",
        [KIR_FLE_S] = "ole", [KIR_FGT] = "ogt", [KIR_FGE] = "oge", [KIR_FGT_S] = "ogt",  [KIR_FGE_S] = "oge",
    };
    bool signals = kind == KIR_FEQ_S || kind == KIR_FLT_S || kind == KIR_FLE_S || kind == KIR_FGT_S || kind == KIR_FGE_S;
    LLVMTypeRef type = LLVMTypeOf(a);
    LLVMValueRef args[4] = {a, b, text(l, predicates[kind]), text(l, "fpexcept.strict")};
    return intrinsic(l, signals ? "llvm.experimental.constrained.fcmps" : "llvm.experimental.constrained.fcmp", &type, 1, args, 4);
}

LLVMValueRef strict_round(Lower *l, unsigned round, LLVMValueRef x) {
    static const char *const names[8] = {
        [KIR_RNE] = "llvm.experimental.constrained.roundeven",  [KIR_RTZ] = "llvm.experimental.constrained.trunc",
        [KIR_RDN] = "llvm.experimental.constrained.floor",      [KIR_RUP] = "llvm.experimental.constrained.ceil",
        [KIR_RDYN] = "llvm.experimental.constrained.nearbyint",
    };
    return strict(l, names[round], LLVMTypeOf(x), &x, 1, round == KIR_RDYN ? STRICT_ROUNDS : 0);
}

void strict_raise_inexact(Lower *l, LLVMValueRef x) {
    strict(l, "llvm.experimental.constrained.rint", LLVMTypeOf(x), &x, 1, STRICT_ROUNDS);
}

// ---- cold paths ---------------------------------------------------------------------------------------------------------------
Paths split(Lower *l, LLVMValueRef rare) {
    Paths p = {.hot = new_block(l, "hot"), .cold = new_block(l, "cold"), .join = new_block(l, "join")};
    branch_if(l, rare, p.cold, p.hot, UNLIKELY, LIKELY);
    LLVMPositionBuilderAtEnd(l->builder, p.hot);
    return p;
}

Paths split_unless(Lower *l, LLVMValueRef common) {
    Paths p = {.hot = new_block(l, "hot"), .cold = new_block(l, "cold"), .join = new_block(l, "join")};
    branch_if(l, common, p.hot, p.cold, LIKELY, UNLIKELY);
    LLVMPositionBuilderAtEnd(l->builder, p.hot);
    return p;
}

void begin_cold(Lower *l, Paths *p) {
    p->hot = LLVMGetInsertBlock(l->builder);
    LLVMBuildBr(l->builder, p->join);
    LLVMPositionBuilderAtEnd(l->builder, p->cold);
}

LLVMValueRef join(Lower *l, const Paths *p, LLVMValueRef hot, LLVMValueRef cold) {
    LLVMBasicBlockRef from[2] = {p->hot, LLVMGetInsertBlock(l->builder)};
    LLVMValueRef values[2] = {hot, cold};
    LLVMBuildBr(l->builder, p->join);
    LLVMPositionBuilderAtEnd(l->builder, p->join);
    LLVMValueRef phi = LLVMBuildPhi(l->builder, LLVMTypeOf(hot), "");
    LLVMAddIncoming(phi, values, from, 2);
    return phi;
}

LLVMValueRef otherwise_evaluate(Lower *l, const KirInsn *insn, LLVMValueRef rare, LLVMValueRef hot, LLVMValueRef operands[3]) {
    Paths p = split(l, rare);
    begin_cold(l, &p);
    return join(l, &p, hot, evaluate(l, insn, operands));
}

// The first one all but always. As a select it does not cut the block in two before code generation does.
static LLVMValueRef likely(Lower *l, LLVMValueRef condition, LLVMValueRef mostly, LLVMValueRef rarely) {
    LLVMMetadataRef weights[3] = {LLVMMDStringInContext2(l->context, "branch_weights", 14),
                                  LLVMValueAsMetadata(const_i32(l, 1000000)), LLVMValueAsMetadata(const_i32(l, 1))};
    LLVMValueRef select = LLVMBuildSelect(l->builder, condition, mostly, rarely, "");
    LLVMMetadataRef node = LLVMMDNodeInContext2(l->context, weights, 3);
    if (LLVMIsAInstruction(select)) LLVMSetMetadata(select, l->weights_kind, LLVMMetadataAsValue(l->context, node));
    return select;
}

// ---- results that may be NaN --------------------------------------------------------------------------------------------------
static unsigned round_of(const KirInsn *insn) { return insn->aux & KIR_FP_ROUND; }
static bool is_arm(const KirInsn *insn) { return (insn->aux & KIR_FP_NAN_RULE) == KIR_FP_NAN_ARM; }

bool takes_any_nan(const KirInsn *insn) {
    switch (insn->op) {
    case KIR_FADD ... KIR_FMAX:
    case KIR_FTOF:
    case KIR_FTOH:
    case KIR_FROUND: return !is_arm(insn);
    case KIR_FCMP:
    case KIR_FTOI:
    case KIR_FCLASS: return true;
    default: return false;
    }
}

// Operations whose result is seen exactly as much as the operands' NaN are.
static bool passes_nan_on(const Lower *l, const KirBlock *block, const KirInsn *insn) {
    switch (insn->op) {
    case KIR_FNEG:
    case KIR_FABS:
    case KIR_NANBOX:
    case KIR_SELECT: return true;
    case KIR_NANUNBOX: return block->insns[insn->a].op == KIR_GET && l->single[block->insns[insn->a].a];
    default: return false;
    }
}

bool shows_registers(const KirInsn *insn, bool exact_faults) {
    unsigned flags = kir_op_info[insn->op].flags;
    if (flags & (KIR_FLAG_SIDE_EXIT | KIR_FLAG_END | KIR_FLAG_CALL)) return true;
    return flags & KIR_FLAG_FAULT && (exact_faults || insn->op == KIR_CAS || insn->op == KIR_AMO || insn->aux & KIR_MEM_ALIGNED);
}

// From the end to the start: a use comes after its definition. A register that is written again before anybody can look at it is no use.
void mark_exact_values(const Lower *l, const KirBlock *block, uint32_t end, bool *exact) {
    uint32_t later[LOWER_GLOBALS] = {0}, period = 1; // the register is written later on in period later[g]
    for (uint32_t i = end; i-- > 0;) {
        KirInsn insn = block->insns[i];
        if (shows_registers(&insn, !dies_at_faults(l))) period++;
        if (insn.op == KIR_GET) later[insn.a] = 0;
        if (insn.op == KIR_SET) {
            bool unseen = later[insn.a] == period;
            later[insn.a] = period;
            if (unseen || is_lazy_set(l, block, &insn)) continue;
        }
        if (takes_any_nan(&insn) || (passes_nan_on(l, block, &insn) && !exact[i])) continue;
        uint32_t *refs[3];
        for (int n = kir_operands(&insn, refs); n-- > 0;)
            if (*refs[n] != KIR_NONE) exact[*refs[n]] = true;
    }
}

static LLVMValueRef is_nan(Lower *l, LLVMValueRef result) { return LLVMBuildFCmp(l->builder, LLVMRealUNO, result, result, ""); }

static LLVMValueRef canonical(Lower *l, const Format *f, LLVMValueRef result) {
    if (!l->exact[l->index]) return result;
    LLVMValueRef ordered = LLVMBuildFCmp(l->builder, LLVMRealORD, result, result, "");
    if (!l->chain) return likely(l, ordered, result, canonical_nan(l, f));
    Paths p = split_unless(l, ordered);
    begin_cold(l, &p);
    end_chain_in_nan(l);
    return join(l, &p, result, canonical_nan(l, f));
}

LLVMValueRef canonical_result(Lower *l, KirType type, LLVMValueRef result, bool hot) {
    LLVMValueRef ordered = LLVMBuildFCmp(l->builder, LLVMRealORD, result, result, ""), nan = canonical_nan(l, format_of(type));
    return hot ? likely(l, ordered, result, nan) : LLVMBuildSelect(l->builder, ordered, result, nan, "");
}

// By Arm's rule: which NaN it is, and whether it was tiny before rounding, is the evaluator's.
static LLVMValueRef arm_result(Lower *l, const KirInsn *insn, const Format *f, LLVMValueRef result, bool underflows,
                               LLVMValueRef operands[3]) {
    LLVMValueRef rare = is_nan(l, result);
    if (underflows) {
        LLVMValueRef tiny = compare_bits(l, f, LLVMIntEQ, magnitude(l, f, as_bits(l, f, result)), f->smallest);
        rare = LLVMBuildOr(l->builder, rare, tiny, "");
    }
    return otherwise_evaluate(l, insn, rare, result, operands);
}

static LLVMValueRef finish(Lower *l, const KirInsn *insn, LLVMValueRef result, bool underflows, LLVMValueRef operands[3]) {
    const Format *f = format_of((KirType)insn->type);
    return is_arm(insn) ? arm_result(l, insn, f, result, underflows, operands) : canonical(l, f, result);
}

// ---- arithmetic ---------------------------------------------------------------------------------------------------------------
static LLVMValueRef arithmetic(Lower *l, const KirInsn *insn, const char *name, unsigned count, bool underflows) {
    if (round_of(insn) != KIR_RDYN) return NULL;
    LLVMValueRef operands[3] = {value_of(l, insn->a), count > 1 ? value_of(l, insn->b) : NULL, NULL};
    LLVMValueRef result = strict(l, name, llvm_type(l, insn->type), operands, count, STRICT_ROUNDS);
    chain_through(l, insn->a, count > 1 ? insn->b : KIR_NONE);
    return finish(l, insn, result, underflows, operands);
}

// x86 does not call infinity times zero invalid when a quiet NaN is added. With AVX-512: the sum of their exponents, as numbers, is infinity
// minus infinity then and exact else.
static void raise_by_exponents(Lower *l, const Format *f, LLVMValueRef a, LLVMValueRef b) {
    bool wide = f == &twice;
    const char *name = wide ? "llvm.x86.avx512.mask.getexp.sd" : "llvm.x86.avx512.mask.getexp.ss";
    LLVMTypeRef vector = LLVMVectorType(llvm_type(l, f->number), wide ? 2 : 4);
    LLVMValueRef x[2] = {a, b}, nothing = LLVMConstNull(vector);
    for (int i = 0; i < 2; i++) {
        LLVMValueRef lane = LLVMBuildInsertElement(l->builder, nothing, x[i], const_i32(l, 0), "");
        LLVMValueRef args[5] = {lane, lane, nothing, const_int(l, KIR_I8, 0xff), const_i32(l, 4)}; // 4: the environment's rounding
        x[i] = LLVMBuildExtractElement(l->builder, intrinsic(l, name, NULL, 0, args, 5), const_i32(l, 0), "");
    }
    strict(l, "llvm.experimental.constrained.fadd", llvm_type(l, f->number), x, 2, STRICT_ROUNDS);
}

// Bits through memory, so that LLVM has no part of this ready beforehand where it is hot.
static LLVMValueRef cold_magnitude(Lower *l, const Format *f, LLVMValueRef x) {
    LLVMSetVolatile(store_cpu(l, x, l->request->layout.args), true);
    LLVMValueRef bits = load_cpu(l, llvm_type(l, f->integer), l->request->layout.args, "");
    LLVMSetVolatile(bits, true);
    return magnitude(l, f, bits);
}

// Without: comparing a quiet NaN with itself by the signalling comparison raises invalid, comparing zeros does not.
static void raise_by_bits(Lower *l, const Format *f, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef x = cold_magnitude(l, f, a), y = cold_magnitude(l, f, b), inf = const_int(l, f->integer, f->infinity);
    LLVMValueRef one = LLVMBuildOr(l->builder, LLVMBuildXor(l->builder, x, inf, ""), y, "");
    LLVMValueRef other = LLVMBuildOr(l->builder, LLVMBuildXor(l->builder, y, inf, ""), x, "");
    LLVMValueRef invalid =
        LLVMBuildOr(l->builder, compare_bits(l, f, LLVMIntEQ, one, 0), compare_bits(l, f, LLVMIntEQ, other, 0), "");
    LLVMValueRef nan =
        LLVMBuildBitCast(l->builder, LLVMBuildSExt(l->builder, invalid, llvm_type(l, f->integer), ""), llvm_type(l, f->number), "");
    strict_compare(l, KIR_FEQ_S, nan, nan);
}

void raise_for_factors(Lower *l, const FmaFactors *factors) {
    (l->features.avx512 ? raise_by_exponents : raise_by_bits)(l, format_of(factors->type), factors->x[0], factors->x[1]);
}

static LLVMValueRef multiply_add(Lower *l, const KirInsn *insn) {
    if (round_of(insn) != KIR_RDYN || !l->features.fma) return NULL;
    const Format *f = format_of((KirType)insn->type);
    LLVMValueRef operands[3] = {value_of(l, insn->a), value_of(l, insn->b), value_of(l, insn->c)};
    LLVMValueRef signs[3] = {operands[0], operands[1], operands[2]};
    if (insn->aux & KIR_FP_NEG_PRODUCT) signs[0] = LLVMBuildFNeg(l->builder, signs[0], "");
    if (insn->aux & KIR_FP_NEG_ADDEND) signs[2] = LLVMBuildFNeg(l->builder, signs[2], "");
    LLVMValueRef result = strict(l, "llvm.experimental.constrained.fma", llvm_type(l, insn->type), signs, 3, STRICT_ROUNDS);
    if (is_arm(insn)) return arm_result(l, insn, f, result, true, operands);
    if (chain_factors(l, insn, operands[0], operands[1])) return result;
    Paths p = split_unless(l, LLVMBuildFCmp(l->builder, LLVMRealORD, result, result, ""));
    begin_cold(l, &p);
    raise_for_factors(l, &(FmaFactors){{operands[0], operands[1]}, (KirType)insn->type});
    end_chain_in_nan(l);
    return join(l, &p, result, canonical_nan(l, f));
}

// ---- comparison ---------------------------------------------------------------------------------------------------------------
// Results of arithmetic, and constants that are no such thing, need no look.
static bool may_signal(const Lower *l, KirRef v) {
    const KirInsn *insn = &l->kir->insns[v];
    switch (insn->op) {
    case KIR_FADD ... KIR_FMAX:
    case KIR_ITOF ... KIR_HTOF:
    case KIR_FROUND: return false;
    case KIR_FNEG:
    case KIR_FABS: return may_signal(l, insn->a);
    case KIR_CONST: {
        const Format *f = format_of((KirType)insn->type);
        uint64_t size = insn->imm & ~f->sign;
        return size > f->infinity && size < (f->infinity | f->quiet);
    }
    default: return true;
    }
}

static LLVMValueRef signals(Lower *l, const Format *f, KirRef v) {
    LLVMValueRef size = magnitude(l, f, as_bits(l, f, value_of(l, v)));
    LLVMValueRef above = LLVMBuildSub(l->builder, size, const_int(l, f->integer, f->infinity + 1), "");
    return compare_bits(l, f, LLVMIntULT, above, f->quiet - 1);
}

// Raises nothing: the signalling kinds become quiet ones, and signalling operands are not compared at all.
static LLVMValueRef compare_neutrally(Lower *l, const KirInsn *insn) {
    static const uint8_t quiet[] = {
        [KIR_FEQ] = KIR_FEQ,   [KIR_FLT] = KIR_FLT,   [KIR_FLE] = KIR_FLE,   [KIR_FUNORD] = KIR_FUNORD,
        [KIR_FEQ_S] = KIR_FEQ, [KIR_FLT_S] = KIR_FLT, [KIR_FLE_S] = KIR_FLE, [KIR_FGT] = KIR_FGT,
        [KIR_FGE] = KIR_FGE,   [KIR_FGT_S] = KIR_FGT, [KIR_FGE_S] = KIR_FGE,
    };
    const Format *f = format_of((KirType)insn->type);
    KirFcmp kind = (KirFcmp)quiet[insn->aux];
    LLVMValueRef rare = NULL, a = value_of(l, insn->a), b = value_of(l, insn->b);
    if (may_signal(l, insn->a)) rare = signals(l, f, insn->a);
    if (may_signal(l, insn->b)) rare = rare ? LLVMBuildOr(l->builder, rare, signals(l, f, insn->b), "") : signals(l, f, insn->b);
    if (!rare) return strict_compare(l, kind, a, b);
    Paths p = split(l, rare);
    LLVMValueRef hot = strict_compare(l, kind, a, b);
    begin_cold(l, &p);
    return join(l, &p, hot, const_int(l, KIR_I1, kind == KIR_FUNORD));
}

static LLVMValueRef compare(Lower *l, const KirInsn *insn) {
    if (l->neutral[l->index]) return compare_neutrally(l, insn);
    return strict_compare(l, (KirFcmp)insn->aux, value_of(l, insn->a), value_of(l, insn->b));
}

// ---- minimum, maximum ---------------------------------------------------------------------------------------------------------
// SSE gives its second operand if both are zeros, so both orders together have each sign.
static LLVMValueRef ordered_min_max(Lower *l, const Format *f, bool max, LLVMValueRef a, LLVMValueRef b) {
    static const char *const names[2][2] = {{"llvm.x86.sse.min.ss", "llvm.x86.sse2.min.sd"},
                                            {"llvm.x86.sse.max.ss", "llvm.x86.sse2.max.sd"}};
    bool wide = f == &twice;
    LLVMTypeRef vector = LLVMVectorType(llvm_type(l, f->number), wide ? 2 : 4);
    LLVMTypeRef bits = LLVMVectorType(llvm_type(l, f->integer), wide ? 2 : 4);
    LLVMValueRef x = LLVMBuildInsertElement(l->builder, LLVMGetPoison(vector), a, const_i32(l, 0), "");
    LLVMValueRef y = LLVMBuildInsertElement(l->builder, LLVMGetPoison(vector), b, const_i32(l, 0), "");
    LLVMValueRef one = intrinsic(l, names[max][wide], NULL, 0, (LLVMValueRef[]){x, y}, 2);
    LLVMValueRef other = intrinsic(l, names[max][wide], NULL, 0, (LLVMValueRef[]){y, x}, 2);
    one = LLVMBuildBitCast(l->builder, one, bits, "");
    other = LLVMBuildBitCast(l->builder, other, bits, "");
    LLVMValueRef both = max ? LLVMBuildAnd(l->builder, one, other, "") : LLVMBuildOr(l->builder, one, other, "");
    return LLVMBuildExtractElement(l->builder, LLVMBuildBitCast(l->builder, both, vector, ""), const_i32(l, 0), "");
}

static LLVMValueRef unordered_min_max(Lower *l, const KirInsn *insn, const Format *f, LLVMValueRef operands[3]) {
    if (is_arm(insn)) return evaluate(l, insn, operands);
    LLVMValueRef nan = canonical_nan(l, f), a = operands[0], b = operands[1];
    if (!(insn->aux & KIR_FP_NUMBER)) return nan;
    LLVMValueRef without_a = LLVMBuildSelect(l->builder, strict_compare(l, KIR_FUNORD, b, b), nan, b, "");
    return LLVMBuildSelect(l->builder, strict_compare(l, KIR_FUNORD, a, a), without_a, a, "");
}

// The comparison raises what there is to raise. Minimum and maximum of SSE raise invalid for a quiet NaN too, so they stay behind it: LLVM
// does not speculate calls of target intrinsics.
static LLVMValueRef min_max(Lower *l, const KirInsn *insn) {
    const Format *f = format_of((KirType)insn->type);
    LLVMValueRef operands[3] = {value_of(l, insn->a), value_of(l, insn->b), NULL};
    Paths p = split(l, strict_compare(l, KIR_FUNORD, operands[0], operands[1]));
    LLVMValueRef hot = ordered_min_max(l, f, insn->op == KIR_FMAX, operands[0], operands[1]);
    begin_cold(l, &p);
    return join(l, &p, hot, unordered_min_max(l, insn, f, operands));
}

// ---- to integral values -------------------------------------------------------------------------------------------------------
static LLVMValueRef copy_sign(Lower *l, LLVMValueRef to, LLVMValueRef from) {
    LLVMTypeRef type = LLVMTypeOf(to);
    return intrinsic(l, "llvm.copysign", &type, 1, (LLVMValueRef[]){to, from}, 2);
}

// Nearest, ties away from zero: every step is exact and raises nothing for numbers below 2^fraction.
static LLVMValueRef round_away(Lower *l, const Format *f, LLVMValueRef x) {
    LLVMTypeRef type = LLVMTypeOf(x);
    LLVMValueRef whole = strict_round(l, KIR_RTZ, x);
    LLVMValueRef rest = strict(l, "llvm.experimental.constrained.fsub", type, (LLVMValueRef[]){x, whole}, 2, STRICT_ROUNDS);
    rest = intrinsic(l, "llvm.fabs", &type, 1, &rest, 1);
    LLVMValueRef up = strict_compare(l, KIR_FGE, rest, number(l, f, bits_of_power(f, 0) - f->smallest));
    LLVMValueRef step = LLVMBuildSelect(l->builder, up, number(l, f, bits_of_power(f, 0)), number(l, f, 0), "");
    LLVMValueRef sum[2] = {whole, copy_sign(l, step, x)};
    return strict(l, "llvm.experimental.constrained.fadd", type, sum, 2, STRICT_ROUNDS);
}

static LLVMValueRef round_away_guarded(Lower *l, const KirInsn *insn, const Format *f, LLVMValueRef operands[3]) {
    LLVMValueRef bits = magnitude(l, f, as_bits(l, f, operands[0]));
    Paths p = split(l, compare_bits(l, f, LLVMIntUGE, bits, bits_of_power(f, f->fraction)));
    LLVMValueRef hot = copy_sign(l, round_away(l, f, operands[0]), operands[0]);
    if (insn->aux & KIR_FP_EXACT) strict_raise_inexact(l, operands[0]);
    begin_cold(l, &p);
    return join(l, &p, hot, evaluate(l, insn, operands));
}

static LLVMValueRef to_integral(Lower *l, const KirInsn *insn) {
    const Format *f = format_of((KirType)insn->type);
    LLVMValueRef operands[3] = {value_of(l, insn->a), NULL, NULL};
    if (round_of(insn) == KIR_RMM) return round_away_guarded(l, insn, f, operands);
    LLVMValueRef result = strict_round(l, round_of(insn), operands[0]);
    if (insn->aux & KIR_FP_EXACT) strict_raise_inexact(l, operands[0]);
    return finish(l, insn, result, false, operands);
}

// ---- to and from integers -----------------------------------------------------------------------------------------------------
// Conversions give the "indefinite" integer and raise invalid for what does not fit. As LLVM calls that result poison, it is frozen.
static LLVMValueRef truncate(Lower *l, const char *name, unsigned type, LLVMValueRef x) {
    return LLVMBuildFreeze(l->builder, strict(l, name, llvm_type(l, type), &x, 1, STRICT_CONVERTS), "");
}

// What the guest has instead of the indefinite integer: by the bits of x, as a comparison of numbers could be speculated. Negative numbers,
// and they alone, have bits up to those of minus infinity as signed integers.
static LLVMValueRef saturated(Lower *l, const KirInsn *insn, const Format *f, LLVMValueRef x) {
    bool is_unsigned = insn->aux & KIR_FP_UNSIGNED;
    uint64_t least = is_unsigned ? 0 : 1ull << (kir_type_bits((KirType)insn->type) - 1), greatest = least - 1;
    LLVMValueRef bits = as_bits(l, f, x), low = const_int(l, insn->type, least), high = const_int(l, insn->type, greatest);
    LLVMValueRef negative = compare_bits(l, f, LLVMIntSLE, bits, f->sign | f->infinity);
    LLVMValueRef result = LLVMBuildSelect(l->builder, negative, low, high, "");
    if (!(insn->aux & KIR_FP_NAN_ZERO)) return result;
    LLVMValueRef nan = compare_bits(l, f, LLVMIntUGT, magnitude(l, f, bits), f->infinity);
    return LLVMBuildSelect(l->builder, nan, const_int(l, insn->type, 0), result, "");
}

static LLVMValueRef rounded(Lower *l, const KirInsn *insn, const Format *f, LLVMValueRef x) {
    if (round_of(insn) == KIR_RTZ) return x; // the conversion does it
    return round_of(insn) == KIR_RMM ? round_away(l, f, x) : strict_round(l, round_of(insn), x);
}

// Rounded first where the conversion does not round as wanted; inexact is raised when the result is known to fit.
static LLVMValueRef to_int_checked(Lower *l, const KirInsn *insn, const Format *f, LLVMValueRef operands[3]) {
    bool is_unsigned = insn->aux & KIR_FP_UNSIGNED, truncates = round_of(insn) == KIR_RTZ;
    const char *name = is_unsigned ? "llvm.experimental.constrained.fptoui" : "llvm.experimental.constrained.fptosi";
    LLVMValueRef result = truncate(l, name, insn->type, rounded(l, insn, f, operands[0]));
    uint64_t indefinite = is_unsigned ? ~0ull : 1ull << (kir_type_bits((KirType)insn->type) - 1);
    LLVMValueRef rare = LLVMBuildICmp(l->builder, LLVMIntEQ, result, const_int(l, insn->type, indefinite), "");
    Paths p = split(l, rare);
    if (!truncates) strict_raise_inexact(l, operands[0]);
    begin_cold(l, &p);
    return join(l, &p, result, truncates ? saturated(l, insn, f, operands[0]) : evaluate(l, insn, operands));
}

// Without the host's unsigned conversion: from 0 up to a bound it is the signed one to 64 bits.
static LLVMValueRef to_unsigned_by_bound(Lower *l, const KirInsn *insn, const Format *f, LLVMValueRef operands[3]) {
    bool wide = insn->type == KIR_I64;
    uint64_t bound = bits_of_power(f, wide ? 63 : 32);
    if (!wide && f == &twice && round_of(insn) != KIR_RTZ) bound -= 1ull << 21; // 2^32 - 1: rounding up does not leave the range
    Paths p = split(l, compare_bits(l, f, LLVMIntUGE, as_bits(l, f, operands[0]), bound));
    LLVMValueRef hot = truncate(l, "llvm.experimental.constrained.fptosi", KIR_I64, rounded(l, insn, f, operands[0]));
    if (round_of(insn) != KIR_RTZ) strict_raise_inexact(l, operands[0]);
    if (!wide) hot = LLVMBuildTrunc(l->builder, hot, llvm_type(l, KIR_I32), "");
    begin_cold(l, &p);
    return join(l, &p, hot, evaluate(l, insn, operands));
}

static LLVMValueRef to_int(Lower *l, const KirInsn *insn) {
    const Format *f = format_of(type_of(l, insn->a));
    LLVMValueRef operands[3] = {value_of(l, insn->a), NULL, NULL};
    bool by_bound = (insn->aux & KIR_FP_UNSIGNED) && !l->features.avx512;
    return by_bound ? to_unsigned_by_bound(l, insn, f, operands) : to_int_checked(l, insn, f, operands);
}

static LLVMValueRef from_signed(Lower *l, const KirInsn *insn, LLVMValueRef x) {
    return strict(l, "llvm.experimental.constrained.sitofp", llvm_type(l, insn->type), &x, 1, STRICT_ROUNDS | STRICT_CONVERTS);
}

// From 2^63 on: of the half, whose last bit also stands for the one that was lost.
static LLVMValueRef from_unsigned_word(Lower *l, const KirInsn *insn, LLVMValueRef x) {
    LLVMTypeRef type = llvm_type(l, insn->type);
    if (l->features.avx512) return strict(l, "llvm.experimental.constrained.uitofp", type, &x, 1, STRICT_ROUNDS | STRICT_CONVERTS);
    Paths p = split(l, LLVMBuildICmp(l->builder, LLVMIntSLT, x, const_int(l, KIR_I64, 0), ""));
    LLVMValueRef hot = from_signed(l, insn, x);
    begin_cold(l, &p);
    LLVMValueRef one = const_int(l, KIR_I64, 1), last = LLVMBuildAnd(l->builder, x, one, "");
    LLVMValueRef half = from_signed(l, insn, LLVMBuildOr(l->builder, LLVMBuildLShr(l->builder, x, one, ""), last, ""));
    LLVMValueRef sum[2] = {half, half};
    return join(l, &p, hot, strict(l, "llvm.experimental.constrained.fadd", type, sum, 2, STRICT_ROUNDS));
}

static LLVMValueRef from_int(Lower *l, const KirInsn *insn) {
    LLVMValueRef x = value_of(l, insn->a);
    bool is_unsigned = insn->aux & KIR_FP_UNSIGNED, narrow = type_of(l, insn->a) == KIR_I32;
    if (narrow && is_unsigned) x = LLVMBuildZExt(l->builder, x, llvm_type(l, KIR_I64), "");
    if (narrow && insn->type == KIR_F64) return LLVMBuildSIToFP(l->builder, x, llvm_type(l, KIR_F64), ""); // exact
    if (round_of(insn) != KIR_RDYN) return NULL;
    return is_unsigned && !narrow ? from_unsigned_word(l, insn, x) : from_signed(l, insn, x);
}

// ---- between formats ----------------------------------------------------------------------------------------------------------
static LLVMValueRef between_formats(Lower *l, const KirInsn *insn) {
    bool narrows = insn->type == KIR_F32;
    if (narrows && round_of(insn) != KIR_RDYN) return NULL;
    LLVMValueRef operands[3] = {value_of(l, insn->a), NULL, NULL};
    const char *name = narrows ? "llvm.experimental.constrained.fptrunc" : "llvm.experimental.constrained.fpext";
    StrictKind kind = narrows ? STRICT_ROUNDS | STRICT_CONVERTS : STRICT_CONVERTS;
    return finish(l, insn, strict(l, name, llvm_type(l, insn->type), operands, 1, kind), narrows, operands);
}

// As lanes of a vector: one instruction, and no way through an integer register.
LLVMValueRef box(Lower *l, LLVMValueRef x) {
    LLVMValueRef ones[2] = {LLVMGetPoison(llvm_type(l, KIR_F32)), number(l, &single, 0xffffffff)};
    LLVMValueRef lanes = LLVMBuildInsertElement(l->builder, LLVMConstVector(ones, 2), x, const_i32(l, 0), "");
    return LLVMBuildBitCast(l->builder, lanes, llvm_type(l, KIR_F64), "");
}

LLVMValueRef unbox(Lower *l, LLVMValueRef x) {
    LLVMValueRef boxed = compare_bits(l, &twice, LLVMIntUGE, as_bits(l, &twice, x), 0xffffffff00000000);
    LLVMValueRef lanes = LLVMBuildBitCast(l->builder, x, LLVMVectorType(llvm_type(l, KIR_F32), 2), "");
    LLVMValueRef low = LLVMBuildExtractElement(l->builder, lanes, const_i32(l, 0), "");
    return likely(l, boxed, low, canonical_nan(l, &single));
}

// ---- classes ------------------------------------------------------------------------------------------------------------------
// Bit 0 to 3: minus infinity, a negative normal, subnormal number, -0; the positive ones are 7 down to 4; signalling 8, quiet 9.
static LLVMValueRef classify(Lower *l, const KirInsn *insn) {
    const Format *f = format_of(type_of(l, insn->a));
    LLVMTypeRef i64 = llvm_type(l, KIR_I64);
    LLVMValueRef bits = as_bits(l, f, value_of(l, insn->a)), size = magnitude(l, f, bits), kind = const_int(l, KIR_I64, 0);
    const uint64_t bounds[3] = {f->infinity, f->smallest, 1};
    for (unsigned i = 0; i < 3; i++) {
        LLVMValueRef below = compare_bits(l, f, LLVMIntULT, size, bounds[i]);
        kind = LLVMBuildAdd(l->builder, kind, LLVMBuildZExt(l->builder, below, i64, ""), "");
    }
    LLVMValueRef negative = compare_bits(l, f, LLVMIntSLT, bits, 0);
    LLVMValueRef positive = LLVMBuildSub(l->builder, const_int(l, KIR_I64, 7), kind, "");
    LLVMValueRef quiet = compare_bits(l, f, LLVMIntUGE, size, f->infinity | f->quiet);
    LLVMValueRef nan = LLVMBuildSelect(l->builder, quiet, const_int(l, KIR_I64, 9), const_int(l, KIR_I64, 8), "");
    LLVMValueRef place = LLVMBuildSelect(l->builder, negative, kind, positive, "");
    place = LLVMBuildSelect(l->builder, compare_bits(l, f, LLVMIntUGT, size, f->infinity), nan, place, "");
    return LLVMBuildShl(l->builder, const_int(l, KIR_I64, 1), place, "");
}

// Lies x in low to low + count - 1, as unsigned numbers?
static LLVMValueRef lies_within(Lower *l, const Format *f, LLVMValueRef x, uint64_t low, uint64_t count) {
    return compare_bits(l, f, LLVMIntULT, LLVMBuildSub(l->builder, x, const_int(l, f->integer, low), ""), count);
}

// One bit of the class by itself.
static LLVMValueRef is_of_class(Lower *l, const Format *f, LLVMValueRef bits, unsigned class) {
    const uint64_t s = f->sign, normals = f->infinity - f->smallest;
    switch (class) {
    case 0: return compare_bits(l, f, LLVMIntEQ, bits, s | f->infinity);
    case 1: return lies_within(l, f, bits, s | f->smallest, normals);
    case 2: return lies_within(l, f, bits, s | 1, f->smallest - 1);
    case 3: return compare_bits(l, f, LLVMIntEQ, bits, s);
    case 4: return compare_bits(l, f, LLVMIntEQ, bits, 0);
    case 5: return lies_within(l, f, bits, 1, f->smallest - 1);
    case 6: return lies_within(l, f, bits, f->smallest, normals);
    case 7: return compare_bits(l, f, LLVMIntEQ, bits, f->infinity);
    case 8: return lies_within(l, f, magnitude(l, f, bits), f->infinity + 1, f->quiet - 1);
    default: return compare_bits(l, f, LLVMIntUGE, magnitude(l, f, bits), f->infinity | f->quiet);
    }
}

// A tree of ORs of classes; at most this many tests are less work than the class itself.
enum { CLASS_TESTS = 3, CLASS_DEPTH = 3 };
static bool is_tree_of_classes(const Lower *l, KirRef v, unsigned depth) {
    const KirInsn *insn = &l->kir->insns[v];
    if (insn->op == KIR_FCLASS) return true;
    return insn->op == KIR_OR && insn->type == KIR_I64 && depth < CLASS_DEPTH && is_tree_of_classes(l, insn->a, depth + 1) &&
           is_tree_of_classes(l, insn->b, depth + 1);
}

static LLVMValueRef tested(Lower *l, KirRef v, uint64_t mask) {
    const KirInsn *insn = &l->kir->insns[v];
    if (insn->op == KIR_OR) return LLVMBuildOr(l->builder, tested(l, insn->a, mask), tested(l, insn->b, mask), "");
    const Format *f = format_of(type_of(l, insn->a));
    LLVMValueRef bits = as_bits(l, f, value_of(l, insn->a)), result = const_int(l, KIR_I64, 0);
    for (unsigned i = 0; i < 10; i++) {
        if (!(mask >> i & 1)) continue;
        LLVMValueRef bit = LLVMBuildZExt(l->builder, is_of_class(l, f, bits, i), llvm_type(l, KIR_I64), "");
        result = LLVMBuildOr(l->builder, result, LLVMBuildShl(l->builder, bit, const_int(l, KIR_I64, i), ""), "");
    }
    return result;
}

LLVMValueRef class_test(Lower *l, const KirInsn *insn) {
    if (insn->op != KIR_AND || insn->type != KIR_I64 || l->kir->insns[insn->b].op != KIR_CONST) return NULL;
    uint64_t mask = l->kir->insns[insn->b].imm & 0x3ff;
    if (__builtin_popcountll(mask) > CLASS_TESTS || !is_tree_of_classes(l, insn->a, 0)) return NULL;
    return tested(l, insn->a, mask);
}

// ---- all of them --------------------------------------------------------------------------------------------------------------
LLVMValueRef lower_float(Lower *l, const KirInsn *insn) {
    LLVMTypeRef type = llvm_type(l, insn->type);
    switch (insn->op) {
    case KIR_FADD: return arithmetic(l, insn, "llvm.experimental.constrained.fadd", 2, false);
    case KIR_FSUB: return arithmetic(l, insn, "llvm.experimental.constrained.fsub", 2, false);
    case KIR_FMUL: return arithmetic(l, insn, "llvm.experimental.constrained.fmul", 2, true);
    case KIR_FDIV: return arithmetic(l, insn, "llvm.experimental.constrained.fdiv", 2, true);
    case KIR_FSQRT: return arithmetic(l, insn, "llvm.experimental.constrained.sqrt", 1, false);
    case KIR_FMA: return multiply_add(l, insn);
    case KIR_FMIN:
    case KIR_FMAX: return min_max(l, insn);
    case KIR_FCMP: return compare(l, insn);
    case KIR_FTOI: return to_int(l, insn);
    case KIR_ITOF: return from_int(l, insn);
    case KIR_FTOF: return between_formats(l, insn);
    case KIR_FROUND: return to_integral(l, insn);
    case KIR_FNEG: return LLVMBuildFNeg(l->builder, value_of(l, insn->a), "");
    case KIR_FABS: return intrinsic(l, "llvm.fabs", &type, 1, (LLVMValueRef[]){value_of(l, insn->a)}, 1);
    case KIR_FCOPYSIGN: return copy_sign(l, value_of(l, insn->a), value_of(l, insn->b));
    case KIR_FCLASS: return classify(l, insn);
    case KIR_NANBOX: return box(l, value_of(l, insn->a));
    case KIR_NANUNBOX: return l->singles[insn->a] ? l->singles[insn->a] : unbox(l, value_of(l, insn->a));
    case KIR_FGETFLAGS:
    case KIR_FSETFLAGS:
    case KIR_FSETROUND: return lower_flags(l, insn);
    default: return NULL;
    }
}
