// SPDX-License-Identifier: MIT
//
// Integer operations, and those that only move bits. Their meaning is interp/eval_integer.c's.
#include "opt/lower.h"

static unsigned width(const KirInsn *insn) { return kir_type_bits((KirType)insn->type); }
static LLVMValueRef zero(Lower *l, const KirInsn *insn) { return const_int(l, insn->type, 0); }
static LLVMValueRef ones(Lower *l, const KirInsn *insn) { return const_int(l, insn->type, ~(uint64_t)0); }
static LLVMValueRef is_zero(Lower *l, LLVMValueRef x) {
    return LLVMBuildICmp(l->builder, LLVMIntEQ, x, LLVMConstNull(LLVMTypeOf(x)), "");
}

static LLVMValueRef unary(Lower *l, const char *name, LLVMValueRef x) {
    LLVMTypeRef type = LLVMTypeOf(x);
    return intrinsic(l, name, &type, 1, &x, 1);
}

// Of zero: the width.
static LLVMValueRef count_zeros(Lower *l, const char *name, LLVMValueRef x) {
    LLVMTypeRef type = LLVMTypeOf(x);
    LLVMValueRef args[2] = {x, const_int(l, KIR_I1, 0)};
    return intrinsic(l, name, &type, 1, args, 2);
}

static LLVMValueRef shift_right_of_pair(Lower *l, LLVMValueRef high, LLVMValueRef low, LLVMValueRef amount) {
    LLVMTypeRef type = LLVMTypeOf(low);
    LLVMValueRef args[3] = {high, low, amount};
    return intrinsic(l, "llvm.fshr", &type, 1, args, 3);
}

// ---- products and quotients ---------------------------------------------------------------------------------------------------
static LLVMValueRef high_product(Lower *l, const KirInsn *insn, LLVMValueRef a, LLVMValueRef b) {
    LLVMTypeRef narrow = llvm_type(l, insn->type), wide = LLVMIntTypeInContext(l->context, 2 * width(insn));
    LLVMValueRef x = (insn->op == KIR_MULHU ? LLVMBuildZExt : LLVMBuildSExt)(l->builder, a, wide, "");
    LLVMValueRef y = (insn->op == KIR_MULHS ? LLVMBuildSExt : LLVMBuildZExt)(l->builder, b, wide, "");
    LLVMValueRef product = LLVMBuildMul(l->builder, x, y, "");
    LLVMValueRef high = LLVMBuildLShr(l->builder, product, LLVMConstInt(wide, width(insn), false), "");
    return LLVMBuildTrunc(l->builder, high, narrow, "");
}

// The host traps for 0 and for MIN / -1: neither reaches it, by a branch that is hardly ever taken. (A select of the divisor would stand in
// the way of every division.)
static LLVMValueRef divide(Lower *l, const KirInsn *insn, LLVMValueRef a, LLVMValueRef b) {
    bool is_signed = insn->op == KIR_DIVS || insn->op == KIR_REMS, quotient = insn->op == KIR_DIVU || insn->op == KIR_DIVS;
    LLVMValueRef by_zero = is_zero(l, b), odd = by_zero;
    // What 0 gives, and what -1 gives.
    LLVMValueRef special = quotient ? ones(l, insn) : a;
    if (is_signed) {
        LLVMValueRef other = quotient ? LLVMBuildNeg(l->builder, a, "") : zero(l, insn);
        special = LLVMBuildSelect(l->builder, by_zero, special, other, "");
        odd = LLVMBuildOr(l->builder, by_zero, LLVMBuildICmp(l->builder, LLVMIntEQ, b, ones(l, insn), ""), "");
    }
    LLVMBasicBlockRef blocks[2] = {LLVMGetInsertBlock(l->builder), new_block(l, "divide")}, on = new_block(l, "divided");
    branch_if(l, odd, on, blocks[1], UNLIKELY, LIKELY);
    LLVMPositionBuilderAtEnd(l->builder, blocks[1]);
    LLVMValueRef values[2] = {special, NULL};
    if (is_signed) values[1] = (quotient ? LLVMBuildSDiv : LLVMBuildSRem)(l->builder, a, b, "");
    else values[1] = (quotient ? LLVMBuildUDiv : LLVMBuildURem)(l->builder, a, b, "");
    LLVMBuildBr(l->builder, on);
    LLVMPositionBuilderAtEnd(l->builder, on);
    LLVMValueRef result = LLVMBuildPhi(l->builder, llvm_type(l, insn->type), "");
    LLVMAddIncoming(result, values, blocks, 2);
    return result;
}

// ---- bits ---------------------------------------------------------------------------------------------------------------------
static LLVMValueRef shift(Lower *l, const KirInsn *insn, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef amount = LLVMBuildAnd(l->builder, b, const_int(l, insn->type, width(insn) - 1), "");
    if (insn->op == KIR_SHL) return LLVMBuildShl(l->builder, a, amount, "");
    return (insn->op == KIR_SHR ? LLVMBuildLShr : LLVMBuildAShr)(l->builder, a, amount, "");
}

// 0x7f + (low seven bits), or the top bit itself: the top bit of each byte says whether the byte has any.
static LLVMValueRef or_combine_bytes(Lower *l, const KirInsn *insn, LLVMValueRef a) {
    LLVMValueRef low = const_int(l, insn->type, 0x7f7f7f7f7f7f7f7f), seven = const_int(l, insn->type, 7);
    LLVMValueRef sum = LLVMBuildAdd(l->builder, LLVMBuildAnd(l->builder, a, low, ""), low, "");
    LLVMValueRef any = LLVMBuildLShr(l->builder, LLVMBuildOr(l->builder, sum, a, ""), seven, "");
    any = LLVMBuildAnd(l->builder, any, const_int(l, insn->type, 0x0101010101010101), "");
    return LLVMBuildMul(l->builder, any, const_int(l, insn->type, 0xff), "");
}

static LLVMValueRef carryless_product(Lower *l, const KirInsn *insn, LLVMValueRef a, LLVMValueRef b) {
    if (!l->features.pclmul) return NULL;
    LLVMTypeRef i64 = llvm_type(l, KIR_I64), v128 = llvm_type(l, KIR_V128);
    LLVMValueRef args[3] = {LLVMConstNull(v128), LLVMConstNull(v128), const_int(l, KIR_I8, 0)}, operands[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        LLVMValueRef x = LLVMBuildZExt(l->builder, operands[i], i64, "");
        args[i] = LLVMBuildInsertElement(l->builder, args[i], x, const_i32(l, 0), "");
    }
    LLVMValueRef product = intrinsic(l, "llvm.x86.pclmulqdq", NULL, 0, args, 3);
    if (insn->type == KIR_I64) return LLVMBuildExtractElement(l->builder, product, const_i32(l, insn->op == KIR_CLMULH), "");
    LLVMValueRef low = LLVMBuildExtractElement(l->builder, product, const_i32(l, 0), "");
    if (insn->op == KIR_CLMULH) low = LLVMBuildLShr(l->builder, low, const_int(l, KIR_I64, 32), "");
    return LLVMBuildTrunc(l->builder, low, llvm_type(l, KIR_I32), "");
}

static LLVMValueRef crc_step(Lower *l, const KirInsn *insn, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef args[2] = {a, b};
    if (!(insn->aux & 1)) return NULL; // the host has the other polynomial
    switch (type_of(l, insn->b)) {
    case KIR_I8: return intrinsic(l, "llvm.x86.sse42.crc32.32.8", NULL, 0, args, 2);
    case KIR_I16: return intrinsic(l, "llvm.x86.sse42.crc32.32.16", NULL, 0, args, 2);
    case KIR_I32: return intrinsic(l, "llvm.x86.sse42.crc32.32.32", NULL, 0, args, 2);
    case KIR_I64:
        args[0] = LLVMBuildZExt(l->builder, a, llvm_type(l, KIR_I64), "");
        return LLVMBuildTrunc(l->builder, intrinsic(l, "llvm.x86.sse42.crc32.64.64", NULL, 0, args, 2), llvm_type(l, KIR_I32), "");
    default: return NULL;
    }
}

static LLVMValueRef field(Lower *l, const KirInsn *insn, LLVMValueRef a, LLVMValueRef b) {
    uint32_t imm = insn->op == KIR_BFI ? insn->c : insn->b;
    unsigned lsb = imm & 0xff, length = imm >> 8, above = width(insn) - lsb - length;
    uint64_t mask = ~(uint64_t)0 >> (64 - length);
    if (insn->op == KIR_BFX) {
        LLVMValueRef down = LLVMBuildLShr(l->builder, a, const_int(l, insn->type, lsb), "");
        return LLVMBuildAnd(l->builder, down, const_int(l, insn->type, mask), "");
    }
    if (insn->op == KIR_SBFX) {
        LLVMValueRef up = LLVMBuildShl(l->builder, a, const_int(l, insn->type, above), "");
        return LLVMBuildAShr(l->builder, up, const_int(l, insn->type, above + lsb), "");
    }
    LLVMValueRef hole = LLVMBuildAnd(l->builder, a, const_int(l, insn->type, ~(mask << lsb)), "");
    LLVMValueRef piece = LLVMBuildAnd(l->builder, b, const_int(l, insn->type, mask), "");
    return LLVMBuildOr(l->builder, hole, LLVMBuildShl(l->builder, piece, const_int(l, insn->type, lsb), ""), "");
}

// ---- sums with carry ----------------------------------------------------------------------------------------------------------
static LLVMValueRef add_carry(Lower *l, const KirInsn *insn, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
    LLVMValueRef carry = LLVMBuildZExt(l->builder, c, llvm_type(l, insn->type), "");
    LLVMValueRef first = LLVMBuildAdd(l->builder, a, b, ""), sum = LLVMBuildAdd(l->builder, first, carry, "");
    if (insn->op == KIR_ADC) return sum;
    if (insn->op == KIR_ADC_C) {
        LLVMValueRef one = LLVMBuildICmp(l->builder, LLVMIntULT, first, a, "");
        return LLVMBuildOr(l->builder, one, LLVMBuildICmp(l->builder, LLVMIntULT, sum, first, ""), "");
    }
    LLVMValueRef both = LLVMBuildAnd(l->builder, LLVMBuildXor(l->builder, a, sum, ""), LLVMBuildXor(l->builder, b, sum, ""), "");
    return LLVMBuildICmp(l->builder, LLVMIntSLT, both, zero(l, insn), "");
}

// ---- comparison, width, bits as they are --------------------------------------------------------------------------------------
static LLVMValueRef compare(Lower *l, const KirInsn *insn, LLVMValueRef a, LLVMValueRef b) {
    static const LLVMIntPredicate predicates[] = {
        [KIR_EQ] = LLVMIntEQ,   [KIR_NE] = LLVMIntNE,   [KIR_LTS] = LLVMIntSLT, [KIR_LES] = LLVMIntSLE, [KIR_GTS] = LLVMIntSGT,
        [KIR_GES] = LLVMIntSGE, [KIR_LTU] = LLVMIntULT, [KIR_LEU] = LLVMIntULE, [KIR_GTU] = LLVMIntUGT, [KIR_GEU] = LLVMIntUGE,
    };
    return LLVMBuildICmp(l->builder, predicates[insn->aux], a, b, "");
}

static LLVMValueRef bitcast(Lower *l, const KirInsn *insn, LLVMValueRef a) {
    return LLVMBuildBitCast(l->builder, a, llvm_type(l, insn->type), "");
}

static LLVMValueRef pair(Lower *l, const KirInsn *insn, LLVMValueRef low, LLVMValueRef high) {
    LLVMValueRef vector = LLVMGetPoison(llvm_type(l, KIR_V128));
    vector = LLVMBuildInsertElement(l->builder, vector, low, const_i32(l, 0), "");
    vector = LLVMBuildInsertElement(l->builder, vector, high, const_i32(l, 1), "");
    return insn->type == KIR_V128 ? vector : LLVMBuildBitCast(l->builder, vector, llvm_type(l, KIR_I128), "");
}

static LLVMValueRef half(Lower *l, const KirInsn *insn, LLVMValueRef a) {
    if (type_of(l, insn->a) == KIR_V128) return LLVMBuildExtractElement(l->builder, a, const_i32(l, insn->op == KIR_HI64), "");
    if (insn->op == KIR_HI64) a = LLVMBuildLShr(l->builder, a, LLVMConstInt(LLVMTypeOf(a), 64, false), "");
    return LLVMBuildTrunc(l->builder, a, llvm_type(l, KIR_I64), "");
}

static LLVMValueRef operand(const Lower *l, const KirInsn *insn, unsigned slot, uint32_t ref) {
    static const char letters[] = "TABIVLW";
    char letter = kir_op_info[insn->op].operands[slot];
    for (const char *p = letters; *p; p++)
        if (*p == letter) return value_of(l, ref);
    return NULL;
}

LLVMValueRef lower_integer(Lower *l, const KirInsn *insn) {
    LLVMValueRef a = operand(l, insn, 0, insn->a), b = operand(l, insn, 1, insn->b), c = operand(l, insn, 2, insn->c);
    LLVMBuilderRef builder = l->builder;
    switch (insn->op) {
    case KIR_ADD: return LLVMBuildAdd(builder, a, b, "");
    case KIR_SUB: return LLVMBuildSub(builder, a, b, "");
    case KIR_MUL: return LLVMBuildMul(builder, a, b, "");
    case KIR_MULHU:
    case KIR_MULHS:
    case KIR_MULHSU: return high_product(l, insn, a, b);
    case KIR_DIVU:
    case KIR_DIVS:
    case KIR_REMU:
    case KIR_REMS: return divide(l, insn, a, b);
    case KIR_AND: return LLVMBuildAnd(builder, a, b, "");
    case KIR_OR: return LLVMBuildOr(builder, a, b, "");
    case KIR_XOR: return LLVMBuildXor(builder, a, b, "");
    case KIR_NOT: return LLVMBuildNot(builder, a, "");
    case KIR_NEG: return LLVMBuildNeg(builder, a, "");
    case KIR_SHL:
    case KIR_SHR:
    case KIR_SAR: return shift(l, insn, a, b);
    case KIR_ROTR: return shift_right_of_pair(l, a, a, b);
    case KIR_CLZ: return count_zeros(l, "llvm.ctlz", a);
    case KIR_CTZ: return count_zeros(l, "llvm.cttz", a);
    case KIR_POPCNT: return unary(l, "llvm.ctpop", a);
    case KIR_BSWAP: return unary(l, "llvm.bswap", a);
    case KIR_BITREV: return unary(l, "llvm.bitreverse", a);
    case KIR_ORCB: return or_combine_bytes(l, insn, a);
    case KIR_CLMUL:
    case KIR_CLMULH: return carryless_product(l, insn, a, b);
    case KIR_CRC32: return crc_step(l, insn, a, b);
    case KIR_BFX:
    case KIR_SBFX:
    case KIR_BFI: return field(l, insn, a, b);
    case KIR_FUNNEL: return shift_right_of_pair(l, a, b, const_int(l, insn->type, insn->c));
    case KIR_ADC:
    case KIR_ADC_C:
    case KIR_ADC_V: return add_carry(l, insn, a, b, c);
    case KIR_CMP: return compare(l, insn, a, b);
    case KIR_SELECT: return LLVMBuildSelect(builder, a, b, c, "");
    case KIR_SEXT: return LLVMBuildSExt(builder, a, llvm_type(l, insn->type), "");
    case KIR_ZEXT: return LLVMBuildZExt(builder, a, llvm_type(l, insn->type), "");
    case KIR_TRUNC: return LLVMBuildTrunc(builder, a, llvm_type(l, insn->type), "");
    case KIR_BITCAST: return bitcast(l, insn, a);
    case KIR_PAIR: return pair(l, insn, a, b);
    case KIR_LO64:
    case KIR_HI64: return half(l, insn, a);
    default: return NULL;
    }
}
