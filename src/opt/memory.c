// SPDX-License-Identifier: MIT
//
// Guest memory.
//
// While the process's memory is private, accesses are plain ones, which LLVM may forward, merge, hoist and vectorise; atomic operations
// are a load and a store, fences nothing. Otherwise accesses are volatile (exactly once, in order), which is enough for the guest's acquire and
// release on x86, and atomic operations and fences are LLVM's. An atomic operation at a misaligned address, and any access
// that must be aligned, leaves with the guest's alignment fault.
//
// Where registers are looked at when an access faults, exact.c makes it.
#include "opt/lower.h"

static unsigned access_bits(const KirInsn *insn) { return 8u << (insn->aux & KIR_MEM_SIZE); }

static LLVMValueRef pointer(Lower *l, LLVMValueRef address) {
    return LLVMBuildGEP2(l->builder, llvm_type(l, KIR_I8), l->memory, &address, 1, "");
}

static LLVMValueRef address_of(Lower *l, const KirInsn *insn, uint32_t displacement) {
    LLVMValueRef address = value_of(l, insn->a);
    if (!displacement) return address;
    return LLVMBuildAdd(l->builder, address, const_int(l, KIR_I64, (uint64_t)(int64_t)(int32_t)displacement), "");
}

static void check_alignment(Lower *l, const KirInsn *insn, LLVMValueRef address) {
    uint64_t low_bits = access_bits(insn) / 8 - 1;
    if (!low_bits) return;
    LLVMValueRef low = LLVMBuildAnd(l->builder, address, const_int(l, KIR_I64, low_bits), "");
    LLVMValueRef misaligned = LLVMBuildICmp(l->builder, LLVMIntNE, low, const_int(l, KIR_I64, 0), "");
    TraceExit exit = {
        .exit = {.target = l->insn_pc, .kind = KIR_EXIT_EXCEPTION, .code = KIR_EXC_MISALIGNED_ADDRESS},
        .kind = TRACE_EXIT_EXCEPTION,
        .block = l->origin[l->block],
    };
    LLVMBasicBlockRef aligned = new_block(l, "aligned"), trap = exit_block(l, &exit, &l->dirty, address);
    branch_if(l, misaligned, trap, aligned, UNLIKELY, LIKELY);
    LLVMPositionBuilderAtEnd(l->builder, aligned);
}

// ---- accesses: 16 bytes travel as a vector, so that they are one host access --------------------------------------------------
static Access access_of(LLVMValueRef base, int32_t displacement, unsigned bits) {
    return (Access){.base = base, .displacement = displacement, .log2_size = (uint8_t)__builtin_ctz(bits / 8)};
}

static unsigned bits_of(LLVMTypeRef type) {
    switch (LLVMGetTypeKind(type)) {
    case LLVMIntegerTypeKind: return LLVMGetIntTypeWidth(type);
    case LLVMFloatTypeKind: return 32;
    case LLVMDoubleTypeKind: return 64;
    default: return 128;
    }
}

static LLVMValueRef plain_load(Lower *l, LLVMTypeRef type, LLVMValueRef address) {
    LLVMValueRef load = mark_guest_access(l, LLVMBuildLoad2(l->builder, type, pointer(l, address), ""));
    LLVMSetAlignment(load, 1);
    LLVMSetVolatile(load, !private_memory(l));
    return load;
}

static LLVMValueRef plain_store(Lower *l, LLVMValueRef value, LLVMValueRef address) {
    LLVMValueRef store = mark_guest_access(l, LLVMBuildStore(l->builder, value, pointer(l, address)));
    LLVMSetAlignment(store, 1);
    LLVMSetVolatile(store, !private_memory(l));
    return store;
}

static LLVMValueRef raw_load(Lower *l, LLVMTypeRef type, LLVMValueRef address, bool exact) {
    Access access = access_of(address, 0, bits_of(type));
    return exact ? exact_load(l, type, &access) : plain_load(l, type, address);
}

static LLVMValueRef raw_store(Lower *l, LLVMValueRef value, LLVMValueRef address, bool exact) {
    Access access = access_of(address, 0, bits_of(LLVMTypeOf(value)));
    return exact ? exact_store(l, value, &access) : plain_store(l, value, address);
}

// An integer of the access's width becomes a value of the instruction's type.
static LLVMValueRef extend(Lower *l, const KirInsn *insn, LLVMValueRef loaded) {
    LLVMTypeRef type = llvm_type(l, insn->type);
    if (insn->type == KIR_V128) {
        LLVMValueRef low = LLVMBuildZExt(l->builder, loaded, llvm_type(l, KIR_I64), "");
        return LLVMBuildInsertElement(l->builder, LLVMConstNull(type), low, const_i32(l, 0), "");
    }
    if (access_bits(insn) == kir_type_bits((KirType)insn->type)) return loaded;
    return (insn->aux & KIR_MEM_SIGNED ? LLVMBuildSExt : LLVMBuildZExt)(l->builder, loaded, type, "");
}

// The access does the extending, and adds the displacement.
static LLVMValueRef load_exactly(Lower *l, const KirInsn *insn) {
    unsigned bits = access_bits(insn);
    Access access = access_of(value_of(l, insn->a), (int32_t)insn->b, bits);
    access.is_signed = insn->aux & KIR_MEM_SIGNED;
    LLVMTypeRef type = llvm_type(l, insn->type);
    if (bits == 128) return LLVMBuildBitCast(l->builder, exact_load(l, llvm_type(l, KIR_V128), &access), type, "");
    if (insn->type != KIR_V128) return exact_load(l, type, &access);
    return extend(l, insn, exact_load(l, llvm_type(l, KIR_I64), &access));
}

static bool may_fault_visibly(Lower *l, const KirInsn *insn, uint32_t displacement, bool writes) {
    return !dies_at_faults(l) && !is_proven(l, insn, (int32_t)displacement, access_bits(insn) / 8, writes);
}

static LLVMValueRef load(Lower *l, const KirInsn *insn) {
    LLVMValueRef address = address_of(l, insn, insn->b);
    if (insn->aux & KIR_MEM_ALIGNED) check_alignment(l, insn, address);
    unsigned bits = access_bits(insn);
    if (may_fault_visibly(l, insn, insn->b, false)) return load_exactly(l, insn);
    if (bits == 128) {
        LLVMValueRef wide = plain_load(l, llvm_type(l, KIR_V128), address);
        return insn->type == KIR_V128 ? wide : LLVMBuildBitCast(l->builder, wide, llvm_type(l, insn->type), "");
    }
    if (insn->type == KIR_F32 || insn->type == KIR_F64) return plain_load(l, llvm_type(l, insn->type), address);
    return extend(l, insn, plain_load(l, LLVMIntTypeInContext(l->context, bits), address));
}

// The low bits of any value, as an integer; 128 of them as a vector.
static LLVMValueRef low_bits(Lower *l, LLVMValueRef value, KirType type, unsigned bits) {
    if (bits == 128) return LLVMBuildBitCast(l->builder, value, llvm_type(l, KIR_V128), "");
    if (type == KIR_V128) value = LLVMBuildExtractElement(l->builder, value, const_i32(l, 0), "");
    if (type == KIR_F32 || type == KIR_F64) {
        if (bits == kir_type_bits(type)) return value;
        value = LLVMBuildBitCast(l->builder, value, llvm_type(l, type == KIR_F32 ? KIR_I32 : KIR_I64), "");
    }
    LLVMTypeRef narrow = LLVMIntTypeInContext(l->context, bits);
    return LLVMTypeOf(value) == narrow ? value : LLVMBuildTrunc(l->builder, value, narrow, "");
}

// The access takes the low bits of what it gets.
static LLVMValueRef store_exactly(Lower *l, const KirInsn *insn) {
    unsigned bits = access_bits(insn);
    Access access = access_of(value_of(l, insn->a), (int32_t)insn->c, bits);
    bool whole_integer = insn->type >= KIR_I1 && insn->type <= KIR_I64;
    LLVMValueRef value = value_of(l, insn->b);
    return exact_store(l, whole_integer ? value : low_bits(l, value, (KirType)insn->type, bits), &access);
}

static LLVMValueRef barrier(Lower *l) { return LLVMBuildFence(l->builder, LLVMAtomicOrderingSequentiallyConsistent, false, ""); }

static LLVMValueRef store(Lower *l, const KirInsn *insn) {
    LLVMValueRef address = address_of(l, insn, insn->c);
    if (insn->aux & KIR_MEM_ALIGNED) check_alignment(l, insn, address);
    LLVMValueRef done;
    if (may_fault_visibly(l, insn, insn->c, true)) done = store_exactly(l, insn);
    else done = plain_store(l, low_bits(l, value_of(l, insn->b), (KirType)insn->type, access_bits(insn)), address);
    bool sequential = (insn->aux & KIR_MEM_ACQUIRE) && (insn->aux & KIR_MEM_RELEASE);
    if (sequential && !private_memory(l)) barrier(l);
    return done;
}

// Only a store before a load may pass on x86.
static LLVMValueRef fence(Lower *l, const KirInsn *insn) {
    bool needed = (insn->aux & KIR_FENCE_PW) && (insn->aux & KIR_FENCE_SR) && !private_memory(l);
    return needed ? barrier(l) : NULL;
}

// ---- atomic operations --------------------------------------------------------------------------------------------------------
static LLVMValueRef truncated(Lower *l, const KirInsn *insn, KirRef v) {
    LLVMTypeRef narrow = LLVMIntTypeInContext(l->context, access_bits(insn));
    LLVMValueRef value = value_of(l, v);
    return LLVMTypeOf(value) == narrow ? value : LLVMBuildTrunc(l->builder, value, narrow, "");
}

static LLVMValueRef wide_cas(Lower *l, const KirInsn *insn, LLVMValueRef address) {
    LLVMTypeRef i128 = llvm_type(l, KIR_I128), v128 = llvm_type(l, KIR_V128);
    bool exact = may_fault_visibly(l, insn, 0, true);
    LLVMValueRef old = LLVMBuildBitCast(l->builder, raw_load(l, v128, address, exact), i128, "");
    LLVMValueRef equal = LLVMBuildICmp(l->builder, LLVMIntEQ, old, value_of(l, insn->b), "");
    LLVMValueRef wanted = LLVMBuildSelect(l->builder, equal, value_of(l, insn->c), old, "");
    raw_store(l, LLVMBuildBitCast(l->builder, wanted, v128, ""), address, exact);
    return old;
}

static LLVMValueRef wide_cas_exactly(Lower *l, const KirInsn *insn, LLVMValueRef address) {
    LLVMValueRef expected = low_bits(l, value_of(l, insn->b), KIR_I128, 128),
                 desired = low_bits(l, value_of(l, insn->c), KIR_I128, 128);
    return LLVMBuildBitCast(l->builder, exact_compare_and_swap(l, address, expected, desired), llvm_type(l, KIR_I128), "");
}

static LLVMValueRef compare_and_swap(Lower *l, const KirInsn *insn) {
    LLVMValueRef address = value_of(l, insn->a), old = value_of(l, insn->b);
    check_alignment(l, insn, address);
    if (private_memory(l) && access_bits(insn) == 128) return wide_cas(l, insn, address);
    if (!dies_at_faults(l) && access_bits(insn) == 128) return wide_cas_exactly(l, insn, address);
    LLVMValueRef expected = truncated(l, insn, insn->b), desired = truncated(l, insn, insn->c);
    if (private_memory(l)) {
        bool exact = may_fault_visibly(l, insn, 0, true);
        old = raw_load(l, LLVMTypeOf(expected), address, exact);
        LLVMValueRef equal = LLVMBuildICmp(l->builder, LLVMIntEQ, old, expected, "");
        raw_store(l, LLVMBuildSelect(l->builder, equal, desired, old, ""), address, exact);
    } else if (!dies_at_faults(l)) {
        old = exact_compare_and_swap(l, address, expected, desired);
    } else {
        LLVMAtomicOrdering order = LLVMAtomicOrderingSequentiallyConsistent;
        LLVMValueRef pair = LLVMBuildAtomicCmpXchg(l->builder, pointer(l, address), expected, desired, order, order, false);
        LLVMSetVolatile(mark_guest_access(l, pair), true);
        old = LLVMBuildExtractValue(l->builder, pair, 0, "");
    }
    return extend(l, insn, old);
}

static LLVMValueRef choose(Lower *l, LLVMIntPredicate keeps, LLVMValueRef old, LLVMValueRef operand) {
    return LLVMBuildSelect(l->builder, LLVMBuildICmp(l->builder, keeps, old, operand, ""), old, operand, "");
}

static LLVMValueRef combine(Lower *l, KirAmo amo, LLVMValueRef old, LLVMValueRef operand) {
    switch (amo) {
    case KIR_AMO_XCHG: return operand;
    case KIR_AMO_ADD: return LLVMBuildAdd(l->builder, old, operand, "");
    case KIR_AMO_AND: return LLVMBuildAnd(l->builder, old, operand, "");
    case KIR_AMO_OR: return LLVMBuildOr(l->builder, old, operand, "");
    case KIR_AMO_XOR: return LLVMBuildXor(l->builder, old, operand, "");
    case KIR_AMO_SMIN: return choose(l, LLVMIntSLT, old, operand);
    case KIR_AMO_SMAX: return choose(l, LLVMIntSGT, old, operand);
    case KIR_AMO_UMIN: return choose(l, LLVMIntULT, old, operand);
    case KIR_AMO_UMAX: return choose(l, LLVMIntUGT, old, operand);
    case KIR_AMO_CLEAR: return LLVMBuildAnd(l->builder, old, LLVMBuildNot(l->builder, operand, ""), "");
    }
    return operand;
}

// Load, then compare and swap until nobody came between. At each of them the registers are those before the instruction.
static LLVMValueRef combine_exactly(Lower *l, KirAmo amo, LLVMValueRef address, LLVMValueRef operand) {
    if (amo == KIR_AMO_XCHG) return exact_exchange(l, address, operand);
    if (amo == KIR_AMO_ADD) return exact_add(l, address, operand);
    LLVMTypeRef type = LLVMTypeOf(operand);
    LLVMValueRef first = raw_load(l, type, address, true);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(l->builder), again = new_block(l, "again"), done = new_block(l, "done");
    LLVMBuildBr(l->builder, again);
    LLVMPositionBuilderAtEnd(l->builder, again);
    LLVMValueRef expected = LLVMBuildPhi(l->builder, type, "");
    LLVMValueRef old = exact_compare_and_swap(l, address, expected, combine(l, amo, expected, operand));
    LLVMValueRef values[2] = {first, old};
    LLVMBasicBlockRef from[2] = {before, again};
    LLVMAddIncoming(expected, values, from, 2);
    branch_if(l, LLVMBuildICmp(l->builder, LLVMIntEQ, old, expected, ""), done, again, LIKELY, UNLIKELY);
    LLVMPositionBuilderAtEnd(l->builder, done);
    return old;
}

static LLVMValueRef read_modify_write(Lower *l, const KirInsn *insn) {
    static const LLVMAtomicRMWBinOp operations[] = {
        [KIR_AMO_XCHG] = LLVMAtomicRMWBinOpXchg, [KIR_AMO_ADD] = LLVMAtomicRMWBinOpAdd,   [KIR_AMO_AND] = LLVMAtomicRMWBinOpAnd,
        [KIR_AMO_OR] = LLVMAtomicRMWBinOpOr,     [KIR_AMO_XOR] = LLVMAtomicRMWBinOpXor,   [KIR_AMO_SMIN] = LLVMAtomicRMWBinOpMin,
        [KIR_AMO_SMAX] = LLVMAtomicRMWBinOpMax,  [KIR_AMO_UMIN] = LLVMAtomicRMWBinOpUMin, [KIR_AMO_UMAX] = LLVMAtomicRMWBinOpUMax,
        [KIR_AMO_CLEAR] = LLVMAtomicRMWBinOpAnd,
    };
    KirAmo amo = (KirAmo)insn->c;
    LLVMValueRef address = value_of(l, insn->a), old;
    check_alignment(l, insn, address);
    LLVMValueRef operand = truncated(l, insn, insn->b);
    if (private_memory(l)) {
        bool exact = may_fault_visibly(l, insn, 0, true);
        old = raw_load(l, LLVMTypeOf(operand), address, exact);
        raw_store(l, combine(l, amo, old, operand), address, exact);
    } else if (!dies_at_faults(l)) {
        old = combine_exactly(l, amo, address, operand);
    } else {
        if (amo == KIR_AMO_CLEAR) operand = LLVMBuildNot(l->builder, operand, "");
        old = LLVMBuildAtomicRMW(l->builder, operations[amo], pointer(l, address), operand,
                                 LLVMAtomicOrderingSequentiallyConsistent, false);
        LLVMSetVolatile(mark_guest_access(l, old), true);
    }
    return extend(l, insn, old);
}

LLVMValueRef lower_memory(Lower *l, const KirInsn *insn) {
    switch (insn->op) {
    case KIR_LOAD: return load(l, insn);
    case KIR_STORE: return store(l, insn);
    case KIR_CAS: return compare_and_swap(l, insn);
    case KIR_AMO: return read_modify_write(l, insn);
    default: return fence(l, insn);
    }
}
