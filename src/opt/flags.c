// SPDX-License-Identifier: MIT
//
// The floating-point environment: MXCSR read and changed, and the cases where that can be left out.
//
// Reading MXCSR waits for all arithmetic before it, which costs more than the arithmetic. Compilers read it often, as
//
//   t = fgetflags;  set g, t;  c = fcmp a, b;  fsetflags t
//
// is how C compares without raising invalid (before each square root, for one). From `fgetflags` to `fsetflags` of the same value with
// nothing but comparisons between them is a *neutral* stretch: its comparisons are done without raising anything, and nothing is set.
// If nothing but registers keeps t, and each of them is written again before anybody can look at it, it need not be read either. Exits before
// the next operation that may raise a flag do not matter: MXCSR still is what t would be, they read it themselves (`pending`). The same is
// done for the class of a number, which takes long to put together: a test of it (class_test in float.c) is all that mostly is hot.
#include <stdlib.h>
#include "opt/lower.h"

enum { MXCSR_FLAGS = 0x3d, MXCSR_ROUND = 3 << 13, MXCSR_ROUND_SHIFT = 13, SUCCESSORS_LOOKED_AT = 4 };

// ---- MXCSR: Cpu.guest_mxcsr is free while the guest's is in use -----------------------------------------------------------------
// LLVM takes these for accesses to their operand alone; they are effects that stay where they are.
void access_mxcsr(Lower *l, const char *name, int32_t offset) {
    LLVMValueRef slot = cpu_field(l, offset), call = intrinsic(l, name, NULL, 0, &slot, 1);
    unsigned memory = LLVMGetEnumAttributeKindForName("memory", 6);
    LLVMRemoveEnumAttributeAtIndex(LLVMGetCalledValue(call), (LLVMAttributeIndex)LLVMAttributeFunctionIndex, memory);
    LLVMRemoveCallSiteEnumAttribute(call, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, memory);
}

static LLVMValueRef read_mxcsr(Lower *l) {
    int32_t slot = l->request->layout.guest_mxcsr;
    access_mxcsr(l, "llvm.x86.sse.stmxcsr", slot);
    return load_cpu(l, llvm_type(l, KIR_I32), slot, "mxcsr");
}

// Writing costs still more, and flags and modes are mostly set to what they are.
static void change_mxcsr(Lower *l, uint32_t mask, LLVMValueRef bits) {
    LLVMValueRef now = read_mxcsr(l);
    LLVMValueRef wanted = LLVMBuildOr(l->builder, LLVMBuildAnd(l->builder, now, const_i32(l, ~mask), ""), bits, "");
    LLVMBasicBlockRef change = new_block(l, "ldmxcsr"), done = new_block(l, "join");
    branch_if(l, LLVMBuildICmp(l->builder, LLVMIntEQ, now, wanted, ""), done, change, 0, 0);
    LLVMPositionBuilderAtEnd(l->builder, change);
    store_cpu(l, wanted, l->request->layout.guest_mxcsr);
    access_mxcsr(l, "llvm.x86.sse.ldmxcsr", l->request->layout.guest_mxcsr);
    LLVMBuildBr(l->builder, done);
    LLVMPositionBuilderAtEnd(l->builder, done);
}

// Bit `from` of x at place `to`.
static LLVMValueRef move_bit(Lower *l, LLVMValueRef x, int from, int to) {
    LLVMValueRef bit = LLVMBuildAnd(l->builder, x, const_i32(l, 1u << from), ""), by = const_i32(l, (uint32_t)abs(to - from));
    return to > from ? LLVMBuildShl(l->builder, bit, by, "") : LLVMBuildLShr(l->builder, bit, by, "");
}

static const uint8_t mxcsr_places[5] = {5, 4, 3, 2, 0}; // of inexact, underflow, overflow, division by zero, invalid: KirFflags

static LLVMValueRef read_flags(Lower *l) {
    LLVMValueRef mxcsr = read_mxcsr(l), flags = const_i32(l, 0);
    for (int i = 0; i < 5; i++) flags = LLVMBuildOr(l->builder, flags, move_bit(l, mxcsr, mxcsr_places[i], i), "");
    return LLVMBuildZExt(l->builder, flags, llvm_type(l, KIR_I64), "");
}

static LLVMValueRef set_flags(Lower *l, const KirInsn *insn) {
    LLVMValueRef flags = LLVMBuildTrunc(l->builder, value_of(l, insn->a), llvm_type(l, KIR_I32), ""), bits = const_i32(l, 0);
    for (int i = 0; i < 5; i++) bits = LLVMBuildOr(l->builder, bits, move_bit(l, flags, i, mxcsr_places[i]), "");
    change_mxcsr(l, MXCSR_FLAGS, bits);
    return flags;
}

// Two bits of MXCSR's rounding field for each of KIR_RNE to KIR_RUP, in one number; all else is to nearest.
static LLVMValueRef set_round(Lower *l, const KirInsn *insn) {
    const uint64_t table = 0 << 0 | 3 << 2 | 1 << 4 | 2 << 6;
    LLVMValueRef mode = value_of(l, insn->a);
    LLVMValueRef known = LLVMBuildICmp(l->builder, LLVMIntULE, mode, const_int(l, KIR_I64, KIR_RUP), "");
    mode = LLVMBuildSelect(l->builder, known, mode, const_int(l, KIR_I64, KIR_RNE), "");
    LLVMValueRef place = LLVMBuildAdd(l->builder, mode, mode, "");
    LLVMValueRef field = LLVMBuildLShr(l->builder, const_int(l, KIR_I64, table << MXCSR_ROUND_SHIFT), place, "");
    field = LLVMBuildTrunc(l->builder, field, llvm_type(l, KIR_I32), "");
    change_mxcsr(l, MXCSR_ROUND, LLVMBuildAnd(l->builder, field, const_i32(l, MXCSR_ROUND), ""));
    return mode;
}

// ---- neutral stretches --------------------------------------------------------------------------------------------------------
static bool is_fenced(const Lower *l, const KirInsn *insn) { return shows_registers(insn, !dies_at_faults(l)); }

// The end of the stretch that starts at `start`, or 0.
static uint32_t end_of_stretch(const Lower *l, uint32_t start) {
    bool compared = false;
    for (uint32_t i = start + 1; i < l->blocks[l->block].end; i++) {
        const KirInsn *insn = &l->kir->insns[i];
        if (insn->op == KIR_FSETFLAGS) return insn->a == start ? i : 0;
        if (is_fenced(l, insn)) return 0;
        if (insn->op == KIR_FCMP) compared = true;
        else if (kir_op_info[insn->op].flags & KIR_FLAG_FPENV) return 0;
        if (compared && kir_op_info[insn->op].flags & KIR_FLAG_FAULT && !dies_at_faults(l)) return 0;
    }
    return 0;
}

// ---- registers that hold flags which nobody may ever see ------------------------------------------------------------------------
static bool is_written_first(const Lower *l, uint32_t block, uint32_t from, unsigned global, bool raised, bool of_flags,
                             unsigned depth);

// On the way from one block to another of the trace; on the way back the thread may be asked to stop.
static bool is_written_first_in(const Lower *l, uint32_t block, int32_t next, unsigned global, unsigned depth) {
    return next != TRACE_LEAVES && l->blocks[next].order > l->blocks[block].order && depth < SUCCESSORS_LOOKED_AT &&
           is_written_first(l, (uint32_t)next, 0, global, true, true, depth + 1);
}

// An exit may read MXCSR while it is the same; a way on to another block of the trace may not rely on that.
static bool may_leave(const Lower *l, uint32_t block, uint32_t exit, unsigned global, bool raised, unsigned depth) {
    int32_t next = l->blocks[block].next[exit];
    return next == TRACE_LEAVES ? !raised : is_written_first_in(l, block, next, global, depth);
}

// From instruction `from` on, is the register written before it is read or shown? Exits in this block do not count until flags may have
// changed (`raised`), where that matters.
static bool is_written_first(const Lower *l, uint32_t block, uint32_t from, unsigned global, bool raised, bool of_flags,
                             unsigned depth) {
    const KirBlock *kir = l->request->blocks[block].kir;
    for (uint32_t i = from; i < l->blocks[block].end; i++) {
        const KirInsn *insn = &kir->insns[i];
        switch (insn->op) {
        case KIR_SET:
            if (insn->a == global) return true;
            break;
        case KIR_GET:
            if (insn->a == global) return false;
            break;
        case KIR_EXIT_IF:
            if (!may_leave(l, block, insn->b, global, raised, depth)) return false;
            break;
        case KIR_EXIT: return may_leave(l, block, insn->a, global, raised, depth);
        case KIR_EXIT_COND:
            return may_leave(l, block, insn->b, global, raised, depth) && may_leave(l, block, insn->c, global, raised, depth);
        case KIR_CALL:
        case KIR_CALL3:
        case KIR_EXIT_IF_IND:
        case KIR_EXIT_IND: return false;
        default:
            if (raised && is_fenced(l, insn)) return false;
            if (kir_op_info[insn->op].flags & KIR_FLAG_FAULT && !dies_at_faults(l)) return false;
            if (kir_op_info[insn->op].flags & KIR_FLAG_FPENV && of_flags && !(block == l->block && l->neutral[i])) raised = true;
        }
    }
    return is_written_first_in(l, block, l->blocks[block].joins, global, depth);
}

static bool uses(const KirInsn *insn, uint32_t value) {
    KirInsn copy = *insn;
    uint32_t *refs[3];
    for (int n = kir_operands(&copy, refs); n-- > 0;)
        if (*refs[n] == value) return true;
    return false;
}

// Is the stretch from `start` to `end` all that needs the flags?
static bool need_not_be_read(const Lower *l, uint32_t start, uint32_t end) {
    for (uint32_t i = start + 1; i < l->blocks[l->block].end; i++) {
        const KirInsn *insn = &l->kir->insns[i];
        if (i == end || !uses(insn, start)) continue;
        if (insn->op != KIR_SET || i > end || !is_written_first(l, l->block, i + 1, insn->a, false, true, 0)) return false;
    }
    return true;
}

void find_neutral(Lower *l) {
    l->pending = (GlobalSet){{0}};
    for (uint32_t i = 0; i < l->blocks[l->block].end; i++) {
        if (l->kir->insns[i].op != KIR_FGETFLAGS) continue;
        uint32_t end = end_of_stretch(l, i);
        if (!end) continue;
        for (uint32_t j = i + 1; j <= end; j++)
            if (kir_op_info[l->kir->insns[j].op].flags & KIR_FLAG_FPENV) l->neutral[j] = true;
        l->neutral[i] = true;
        if (!need_not_be_read(l, i, end)) l->neutral[i] = false;
    }
}

bool is_put_off(const Lower *l, const KirInsn *insn) {
    unsigned op = l->kir->insns[insn->b].op;
    if (op == KIR_FGETFLAGS) return l->neutral[insn->b];
    return op == KIR_FCLASS && is_written_first(l, l->block, l->index + 1, insn->a, false, false, 0);
}

void show_pending(Lower *l) {
    for (unsigned i = 0; i < l->request->world.global_count; i++) {
        if (!set_has(&l->pending, i)) continue;
        const KirInsn *insn = &l->kir->insns[l->pending_value[i]];
        write_global(l, i, insn->op == KIR_FGETFLAGS ? read_flags(l) : lower_float(l, insn));
    }
}

LLVMValueRef lower_flags(Lower *l, const KirInsn *insn) {
    if (!l->neutral[l->index]) end_chains(l);
    switch (insn->op) {
    case KIR_FGETFLAGS: return l->neutral[l->index] ? const_int(l, KIR_I64, 0) : read_flags(l);
    case KIR_FSETFLAGS: return l->neutral[l->index] ? value_of(l, insn->a) : set_flags(l, insn);
    default: return set_round(l, insn);
    }
}
