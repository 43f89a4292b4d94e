// SPDX-License-Identifier: MIT
//
// Guest memory: guest addresses are host addresses, an access is one host instruction with an entry in the block's fault table.
//
// x86 orders loads and stores as acquire and release by themselves; a sequentially consistent store is followed by a full barrier, and
// so is a fence that orders earlier writes against later reads. A misaligned access that must be aligned stores its address and
// runs into ud2, which has the same fault table entry as the access itself.
//
// While the process's memory is private (one thread, nothing shared), atomic operations need no lock prefix and fences no code: nobody
// else looks, and signals are delivered between blocks. host_memory_is_shared ends that; blocks are made anew then.
#include "host/x86_64/emit.h"

static void emit_barrier(Emit *e) {
    if (e->host->private_memory) return;
    emit8(&e->c, 0xf0); // lock or dword [cpu.poll's neighbour], 0: cheaper than mfence
    x_alu_mi(&e->c, X_OR, 0, CPU_MEM(host_mxcsr), 0);
}

void emit_fence(Emit *e, const KirInsn *insn) {
    if (insn->aux & KIR_FENCE_PW && insn->aux & KIR_FENCE_SR) emit_barrier(e);
}

static void cold_misaligned(Emit *e, const Cold *cold) {
    x_mov_mr(&e->c, 1, CPU_MEM(fault_address), cold->regs[0]);
    // Cold paths are written behind the block: the entry is found by its offset all the same.
    HostFault *fault = &e->faults[cold->regs[1] | cold->regs[2] << 8 | cold->regs[3] << 16];
    fault->offset = (uint32_t)(e->c.p - e->start);
    emit8(&e->c, 0x0f); // ud2
    emit8(&e->c, 0x0b);
}

// A register for the whole address, if the displacement does not make the base it: to be taken before fault_collect.
static unsigned alignment_scratch(Emit *e, const KirInsn *insn, Mem m) {
    return insn->aux & KIR_MEM_ALIGNED && m.disp ? temp_gpr(e) : m.base;
}

static void check_alignment(Emit *e, unsigned reg, Mem m, unsigned log2_size) {
    if (!log2_size) return;
    if (reg != m.base) x_lea(&e->c, 1, reg, m);
    x_rr8(&e->c, 0xf6, 0, 0, reg); // test reg8, imm8
    emit8(&e->c, (uint8_t)((1u << log2_size) - 1));
    uint32_t index = e->fault_count;
    fault_here(e);
    Cold *cold = cold_path(e, cold_misaligned, x_jcc(&e->c, CC_NE, NULL));
    cold->regs[0] = (uint8_t)reg;
    cold->regs[1] = (uint8_t)index;
    cold->regs[2] = (uint8_t)(index >> 8);
    cold->regs[3] = (uint8_t)(index >> 16);
}

static void extend(Emit *e, unsigned reg, unsigned log2_size, bool sign, KirType type) {
    unsigned w = sign && type == KIR_I64;
    if (log2_size == 0) x_rr8(&e->c, sign ? 0x0fbe : 0x0fb6, w, reg, reg);
    else if (log2_size == 1) x_rr(&e->c, sign ? 0x0fbf : 0x0fb7, w, reg, reg);
    else if (log2_size == 2 && type == KIR_I64) x_rr(&e->c, sign ? 0x63 : 0x8b, sign, reg, reg);
}

static void load_gpr(Emit *e, unsigned dst, Mem m, unsigned log2_size, bool sign, KirType type) {
    unsigned w = sign && type == KIR_I64;
    if (log2_size == 0) x_rm(&e->c, sign ? 0x0fbe : 0x0fb6, w, dst, m);
    else if (log2_size == 1) x_rm(&e->c, sign ? 0x0fbf : 0x0fb7, w, dst, m);
    else if (log2_size == 2) x_rm(&e->c, sign && w ? 0x63 : 0x8b, w, dst, m);
    else x_rm(&e->c, 0x8b, 1, dst, m);
}

void emit_load(Emit *e, KirRef v, const KirInsn *insn) {
    unsigned address = use_gpr(e, insn->a), log2_size = insn->aux & KIR_MEM_SIZE;
    Mem m = mem_base(address, (int32_t)insn->b);
    unsigned whole = alignment_scratch(e, insn, m);
    fault_collect(e);
    if (insn->aux & KIR_MEM_ALIGNED) check_alignment(e, whole, m, log2_size);
    if (!e->values[v].xmm) {
        unsigned dst = def_gpr_over(e, v, insn->a);
        fault_here(e);
        load_gpr(e, dst, m, log2_size, insn->aux & KIR_MEM_SIGNED, (KirType)insn->type);
    } else {
        unsigned dst = def_xmm(e, v);
        fault_here(e);
        s_rm(&e->c, log2_size == 4 ? (uint32_t)S_LOAD_128 : log2_size == 3 ? S_LOAD_64 : S_LOAD_32, 0, dst, m);
    }
}

void emit_store(Emit *e, const KirInsn *insn) {
    unsigned address = use_gpr(e, insn->a), log2_size = insn->aux & KIR_MEM_SIZE;
    Mem m = mem_base(address, (int32_t)insn->c);
    bool immediate = is_imm32(e, insn->b) && value_of(e, insn->b)->reg == NO_REG && log2_size >= 2 && !value_of(e, insn->b)->xmm;
    unsigned value = NO_REG;
    if (!immediate) value = value_of(e, insn->b)->xmm ? use_xmm(e, insn->b) : use_gpr(e, insn->b);
    unsigned whole = alignment_scratch(e, insn, m);
    fault_collect(e);
    if (insn->aux & KIR_MEM_ALIGNED) check_alignment(e, whole, m, log2_size);
    fault_here(e);
    if (immediate) {
        x_mov_mi(&e->c, log2_size == 3, m, (int32_t)const_of(e, insn->b));
    } else if (value_of(e, insn->b)->xmm) {
        s_rm(&e->c, log2_size == 4 ? (uint32_t)S_STORE_128 : log2_size == 3 ? S_STORE_64 : S_STORE_32, 0, value, m);
    } else if (log2_size == 0) {
        x_rm8(&e->c, 0x88, value, m);
    } else {
        x_rm(&e->c, log2_size == 1 ? P66(0x89) : 0x89, log2_size == 3, value, m);
    }
    if ((insn->aux & KIR_MEM_ACQUIRE) && (insn->aux & KIR_MEM_RELEASE)) emit_barrier(e);
}

// ---- atomic operations ------------------------------------------------------------------------------------------------
static uint32_t sized(uint32_t byte_opcode, unsigned log2_size) {
    uint32_t opcode = log2_size ? byte_opcode + 1 : byte_opcode;
    return log2_size == 1 ? P66(opcode) : opcode;
}

static void read_modify_write(Emit *e, uint32_t byte_opcode, unsigned log2_size, unsigned reg, Mem m) {
    fault_here(e);
    if (log2_size) x_rm(&e->c, sized(byte_opcode, log2_size), log2_size == 3, reg, m);
    else x_rm8(&e->c, byte_opcode, reg, m);
}

static void locked(Emit *e, uint32_t byte_opcode, unsigned log2_size, unsigned reg, Mem m) {
    fault_here(e);
    if (!e->host->private_memory) emit8(&e->c, 0xf0);
    if (log2_size) x_rm(&e->c, sized(byte_opcode, log2_size), log2_size == 3, reg, m);
    else x_rm8(&e->c, byte_opcode, reg, m);
}

static X86Cond keeps_old(KirAmo amo) {
    return amo == KIR_AMO_SMIN ? CC_LE : amo == KIR_AMO_SMAX ? CC_GE : amo == KIR_AMO_UMIN ? CC_BE : CC_AE;
}

// scratch = the new value for the old one in rax.
static void new_value(Emit *e, KirAmo amo, unsigned log2_size, unsigned scratch, unsigned operand) {
    unsigned w = log2_size == 3;
    x_mov_rr(&e->c, 1, scratch, RAX);
    switch (amo) {
    case KIR_AMO_AND: x_alu_rr(&e->c, X_AND, w, scratch, operand); break;
    case KIR_AMO_OR: x_alu_rr(&e->c, X_OR, w, scratch, operand); break;
    case KIR_AMO_XOR: x_alu_rr(&e->c, X_XOR, w, scratch, operand); break;
    case KIR_AMO_CLEAR: // old & ~operand = ~(~old | operand)
        x_rr(&e->c, 0xf7, w, 2, scratch);
        x_alu_rr(&e->c, X_OR, w, scratch, operand);
        x_rr(&e->c, 0xf7, w, 2, scratch);
        break;
    default:
        if (log2_size) x_rr(&e->c, sized(0x38, log2_size), w, operand, RAX);
        else x_rr8(&e->c, 0x38, 0, operand, RAX);
        x_cmov(&e->c, keeps_old(amo) ^ 1, 1, scratch, operand);
    }
}

// The byte form's opcode of `op [m], reg` where the new value is that simple; 1: it is not.
static uint32_t direct_form(KirAmo amo) {
    switch (amo) {
    case KIR_AMO_XCHG: return 0x88;
    case KIR_AMO_ADD: return 0x00;
    case KIR_AMO_OR: return 0x08;
    case KIR_AMO_AND: return 0x20;
    case KIR_AMO_XOR: return 0x30;
    default: return 1;
    }
}

static void private_amo(Emit *e, KirAmo amo, unsigned log2_size, unsigned scratch, unsigned operand, Mem m) {
    fault_here(e);
    load_gpr(e, RAX, m, log2_size, false, KIR_I64);
    if (direct_form(amo) != 1) {
        read_modify_write(e, direct_form(amo), log2_size, operand, m);
        return;
    }
    new_value(e, amo, log2_size, scratch, operand);
    read_modify_write(e, 0x88, log2_size, scratch, m);
}

static void shared_amo(Emit *e, KirAmo amo, unsigned log2_size, unsigned scratch, unsigned operand, Mem m) {
    if (amo == KIR_AMO_XCHG || amo == KIR_AMO_ADD) {
        x_mov_rr(&e->c, 1, RAX, operand);
        locked(e, amo == KIR_AMO_XCHG ? 0x86 : 0x0fc0, log2_size, RAX, m);
        return;
    }
    fault_here(e);
    load_gpr(e, RAX, m, log2_size, false, KIR_I64);
    uint8_t *again = e->c.p;
    new_value(e, amo, log2_size, scratch, operand);
    locked(e, 0x0fb0, log2_size, scratch, m);
    x_jcc(&e->c, CC_NE, again);
}

static void emit_amo(Emit *e, KirRef v, const KirInsn *insn) {
    take_gpr(e, RAX);
    unsigned address = use_gpr(e, insn->a), operand = use_gpr(e, insn->b), log2_size = insn->aux & KIR_MEM_SIZE;
    Mem m = mem_base(address, 0);
    KirAmo amo = (KirAmo)insn->c;
    unsigned scratch = amo == KIR_AMO_XCHG || amo == KIR_AMO_ADD ? RAX : temp_gpr(e);
    fault_collect(e);
    check_alignment(e, address, m, log2_size);
    (e->host->private_memory ? private_amo : shared_amo)(e, amo, log2_size, scratch, operand, m);
    extend(e, RAX, log2_size, insn->aux & KIR_MEM_SIGNED, (KirType)insn->type);
    result_in_gpr(e, v, RAX);
}

static void emit_cas(Emit *e, KirRef v, const KirInsn *insn) {
    unsigned log2_size = insn->aux & KIR_MEM_SIZE;
    if (log2_size == 4) {
        e->too_complex = true; // no guest of today asks for it in the fast tier; the verifier's caller reports it
        return;
    }
    take_gpr(e, RAX);
    unsigned address = use_gpr(e, insn->a), expected = use_gpr(e, insn->b), desired = use_gpr(e, insn->c);
    fault_collect(e);
    check_alignment(e, address, mem_base(address, 0), log2_size);
    x_mov_rr(&e->c, 1, RAX, expected);
    locked(e, 0x0fb0, log2_size, desired, mem_base(address, 0));
    extend(e, RAX, log2_size, insn->aux & KIR_MEM_SIGNED, (KirType)insn->type);
    result_in_gpr(e, v, RAX);
}

void emit_atomic(Emit *e, KirRef v, const KirInsn *insn) {
    if (insn->op == KIR_AMO) emit_amo(e, v, insn);
    else emit_cas(e, v, insn);
}
