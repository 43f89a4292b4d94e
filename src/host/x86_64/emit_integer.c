// SPDX-License-Identifier: MIT
//
// Integer operations. The shape is always the same: operands into registers (or memory, or immediates), then a register for the
// result, then the instructions; a result register may be one of the operands' registers, and each function says how it copes.
#include "host/x86_64/emit.h"

static unsigned is64(const KirInsn *insn) { return insn->type == KIR_I64; }

static void mov(Emit *e, unsigned w, unsigned dst, unsigned src) {
    if (dst != src) x_mov_rr(&e->c, w, dst, src);
}

// ---- two-operand arithmetic ------------------------------------------------------------------------------------------------
static bool is_commutative(KirOp op) { return op == KIR_ADD || op == KIR_AND || op == KIR_OR || op == KIR_XOR || op == KIR_MUL; }

static unsigned alu_of(KirOp op) {
    switch (op) {
    case KIR_ADD: return X_ADD;
    case KIR_SUB: return X_SUB;
    case KIR_AND: return X_AND;
    case KIR_OR: return X_OR;
    default: return X_XOR;
    }
}

static void emit_add_imm(Emit *e, KirRef v, const KirInsn *insn, int32_t imm) {
    unsigned w = is64(insn), a = use_gpr(e, insn->a), dst = def_gpr_over(e, v, insn->a);
    if (dst == a) x_alu_ri(&e->c, X_ADD, w, dst, imm);
    else x_lea(&e->c, w, dst, mem_base(a, imm));
}

static void emit_alu_imm(Emit *e, KirRef v, const KirInsn *insn, int32_t imm) {
    if (insn->op == KIR_ADD || (insn->op == KIR_SUB && imm != INT32_MIN)) {
        emit_add_imm(e, v, insn, insn->op == KIR_ADD ? imm : -imm);
        return;
    }
    unsigned w = is64(insn), a = use_gpr(e, insn->a), dst = def_gpr_over(e, v, insn->a);
    if (insn->op == KIR_AND && imm >= 0) w = 0; // the upper half becomes 0 either way
    if (insn->op == KIR_AND && imm == 0xff) {
        x_movzx8(&e->c, dst, a);
    } else if (insn->op == KIR_AND && imm == 0xffff) {
        x_rr(&e->c, 0x0fb7, 0, dst, a);
    } else {
        mov(e, w, dst, a);
        x_alu_ri(&e->c, alu_of(insn->op), w, dst, imm);
    }
}

static void emit_alu(Emit *e, KirRef v, const KirInsn *insn) {
    KirInsn i = *insn;
    if (is_commutative(i.op) && is_const(e, i.a)) i.a = insn->b, i.b = insn->a;
    if (is_imm32(e, i.b)) {
        emit_alu_imm(e, v, &i, (int32_t)const_of(e, i.b));
        return;
    }
    unsigned w = is64(insn), alu = alu_of(i.op);
    Mem m;
    if (use_memory(e, i.b, &m)) {
        unsigned a = use_gpr(e, i.a), dst = def_gpr_over(e, v, i.a);
        mov(e, w, dst, a);
        x_alu_rm(&e->c, alu, w, dst, m);
        return;
    }
    unsigned a = use_gpr(e, i.a), b = use_gpr(e, i.b);
    unsigned dst = def_gpr_over(e, v, i.a);
    if (dst == a) {
        x_alu_rr(&e->c, alu, w, dst, b);
    } else if (dst == b) {
        if (i.op == KIR_SUB) {
            x_rr(&e->c, 0xf7, w, 3, dst); // neg
            x_alu_rr(&e->c, X_ADD, w, dst, a);
        } else {
            x_alu_rr(&e->c, alu, w, dst, a);
        }
    } else if (i.op == KIR_ADD) {
        x_lea(&e->c, w, dst, mem_index(a, b, 0, 0));
    } else {
        mov(e, w, dst, a);
        x_alu_rr(&e->c, alu, w, dst, b);
    }
}

static void emit_mul(Emit *e, KirRef v, const KirInsn *insn) {
    KirRef left = insn->a, right = insn->b;
    if (is_const(e, left)) left = insn->b, right = insn->a;
    unsigned w = is64(insn), a = use_gpr(e, left);
    if (is_imm32(e, right)) {
        unsigned dst = def_gpr_over(e, v, left);
        x_rr(&e->c, 0x69, w, dst, a);
        emit32(&e->c, (uint32_t)const_of(e, right));
        return;
    }
    unsigned b = use_gpr(e, right), dst = def_gpr_over(e, v, left);
    if (dst == b) {
        x_rr(&e->c, 0x0faf, w, dst, a);
    } else {
        mov(e, w, dst, a);
        x_rr(&e->c, 0x0faf, w, dst, b);
    }
}

// ---- one operand -----------------------------------------------------------------------------------------------------------
static void emit_unary(Emit *e, KirRef v, const KirInsn *insn) {
    unsigned w = is64(insn), a = use_gpr(e, insn->a), dst = def_gpr_over(e, v, insn->a);
    mov(e, w, dst, a);
    if (insn->op == KIR_NOT && insn->type == KIR_I1) x_alu_ri(&e->c, X_XOR, 0, dst, 1);
    else if (insn->op == KIR_NOT) x_rr(&e->c, 0xf7, w, 2, dst);
    else if (insn->op == KIR_NEG) x_rr(&e->c, 0xf7, w, 3, dst);
    else { // bswap
        emit_prefix_rex(&e->c, 0, w, 0, NO_REG, dst, false);
        emit8(&e->c, 0x0f);
        emit8(&e->c, (uint8_t)(0xc8 | (dst & 7)));
    }
}

static void emit_count(Emit *e, KirRef v, const KirInsn *insn) {
    const HostFeatures *f = &e->host->features;
    unsigned w = is64(insn), width = w ? 64 : 32, a = use_gpr(e, insn->a), dst = def_gpr(e, v);
    if (insn->op == KIR_POPCNT) {
        x_rr(&e->c, PF3(0x0fb8), w, dst, a);
    } else if (insn->op == KIR_CLZ && f->lzcnt) {
        x_rr(&e->c, PF3(0x0fbd), w, dst, a);
    } else if (insn->op == KIR_CTZ && f->bmi1) {
        x_rr(&e->c, PF3(0x0fbc), w, dst, a);
    } else {
        // bsr, bsf leave the destination undefined for 0.
        unsigned scratch = temp_gpr(e);
        x_rr(&e->c, insn->op == KIR_CLZ ? 0x0fbd : 0x0fbc, w, scratch, a);
        x_mov_ri(&e->c, dst, insn->op == KIR_CLZ ? 2 * width - 1 : width);
        x_cmov(&e->c, CC_NE, 1, dst, scratch);
        if (insn->op == KIR_CLZ) x_alu_ri(&e->c, X_XOR, 0, dst, (int32_t)width - 1);
    }
}

// ---- shifts ------------------------------------------------------------------------------------------------------------------
static unsigned shift_digit(KirOp op) { return op == KIR_SHL ? X_SHL : op == KIR_SHR ? X_SHR : op == KIR_SAR ? X_SAR : X_ROR; }

static void emit_shift_cl(Emit *e, KirRef v, const KirInsn *insn) {
    // Through rax, with rcx (pinned) set aside in r10.
    take_gpr(e, RAX);
    take_gpr(e, R10);
    unsigned w = is64(insn), a = use_gpr(e, insn->a), b = use_gpr(e, insn->b);
    // An operand that sat in rax or r10 and dies here has been moved by take_gpr.
    x_mov_rr(&e->c, 1, RAX, a);
    x_mov_rr(&e->c, 1, R10, RCX);
    mov(e, 0, RCX, b);
    x_shift_cl(&e->c, shift_digit(insn->op), w, RAX);
    x_mov_rr(&e->c, 1, RCX, R10);
    result_in_gpr(e, v, RAX);
}

static void emit_shift(Emit *e, KirRef v, const KirInsn *insn) {
    unsigned w = is64(insn);
    if (is_const(e, insn->b)) {
        unsigned amount = (unsigned)const_of(e, insn->b) & (w ? 63 : 31);
        unsigned a = use_gpr(e, insn->a), dst = def_gpr_over(e, v, insn->a);
        if (insn->op == KIR_SHL && dst != a && amount == 1) {
            x_lea(&e->c, w, dst, mem_index(a, a, 0, 0));
            return;
        }
        mov(e, w, dst, a);
        if (amount) x_shift_ri(&e->c, shift_digit(insn->op), w, dst, amount);
        return;
    }
    if (!e->host->features.bmi2 || insn->op == KIR_ROTR) {
        emit_shift_cl(e, v, insn);
        return;
    }
    unsigned a = use_gpr(e, insn->a), b = use_gpr(e, insn->b), dst = def_gpr_over(e, v, insn->a);
    uint32_t opcode = insn->op == KIR_SHL ? P66(0x0f38f7) : insn->op == KIR_SHR ? PF2(0x0f38f7) : PF3(0x0f38f7);
    v_rrr(&e->c, opcode, w, dst, b, a); // shlx, shrx, sarx
}

static void emit_funnel(Emit *e, KirRef v, const KirInsn *insn) {
    unsigned w = is64(insn), a = use_gpr(e, insn->a), b = use_gpr(e, insn->b), dst = def_gpr(e, v);
    if (dst == a && a != b) {
        unsigned scratch = temp_gpr(e);
        x_mov_rr(&e->c, 1, scratch, a);
        a = scratch;
    }
    mov(e, w, dst, b);
    if (!insn->c) return;
    x_rr(&e->c, 0x0fac, w, a, dst); // shrd dst, a, imm
    emit8(&e->c, (uint8_t)insn->c);
}

// ---- multiplication, high half --------------------------------------------------------------------------------------------
// mulx takes one factor from rdx (pinned), and writes the high half alone if both destinations are one register.
static void emit_mulx(Emit *e, KirRef v, const KirInsn *insn) {
    unsigned w = is64(insn), a = use_gpr(e, insn->a), b = use_gpr(e, insn->b), saved = temp_gpr(e);
    unsigned result = e->values[root_of(e, v)].hint;
    if (b == RDX) b = a, a = RDX;
    unsigned dst = result == NO_REG || result == RDX ? temp_gpr(e) : def_gpr(e, v);
    x_mov_rr(&e->c, 1, saved, RDX);
    if (b == RDX) b = saved;
    mov(e, w, RDX, a);
    v_rrr(&e->c, PF2(0x0f38f6), w, dst, dst, b);
    x_mov_rr(&e->c, 1, RDX, saved);
    if (result == NO_REG || result == RDX) result_in_gpr(e, v, dst);
}

static void emit_mulh(Emit *e, KirRef v, const KirInsn *insn) {
    if (insn->op == KIR_MULHU && e->host->features.bmi2) {
        emit_mulx(e, v, insn);
        return;
    }
    take_gpr(e, RAX);
    take_gpr(e, R10);
    unsigned w = is64(insn), a = use_gpr(e, insn->a), b = use_gpr(e, insn->b);
    x_mov_rr(&e->c, 1, R10, RDX);
    mov(e, 1, RAX, a);
    x_rr(&e->c, 0xf7, w, insn->op == KIR_MULHU ? 4 : 5, b);
    x_mov_rr(&e->c, 1, RAX, RDX);
    x_mov_rr(&e->c, 1, RDX, R10);
    result_in_gpr(e, v, RAX);
}

// ---- fields and extensions ------------------------------------------------------------------------------------------------
static void emit_extend(Emit *e, KirRef v, const KirInsn *insn) {
    KirType from = type_of(e, insn->a);
    bool sign = insn->op == KIR_SEXT;
    unsigned w = is64(insn), a = use_gpr(e, insn->a), dst = def_gpr_over(e, v, insn->a);
    if (from == KIR_I8) x_rr8(&e->c, sign ? 0x0fbe : 0x0fb6, sign ? w : 0, dst, a);
    else if (from == KIR_I16) x_rr(&e->c, sign ? 0x0fbf : 0x0fb7, sign ? w : 0, dst, a);
    else if (from == KIR_I32 && sign) x_rr(&e->c, 0x63, 1, dst, a);
    else if (from == KIR_I32) x_mov_rr(&e->c, 0, dst, a);
    else { // i1, already 0 or 1
        mov(e, 0, dst, a);
        if (sign) x_rr(&e->c, 0xf7, 1, 3, dst);
    }
}

// To i1; other truncations share their operand's register, unless that is a constant.
static void emit_trunc(Emit *e, KirRef v, const KirInsn *insn) {
    unsigned a = use_gpr(e, insn->a), dst = def_gpr_over(e, v, insn->a);
    mov(e, 1, dst, a);
    if (insn->type == KIR_I1) x_alu_ri(&e->c, X_AND, 0, dst, 1);
}

static void emit_bfx(Emit *e, KirRef v, const KirInsn *insn) {
    unsigned w = is64(insn), width = w ? 64 : 32, lsb = insn->b & 0xff, length = insn->b >> 8;
    unsigned a = use_gpr(e, insn->a), dst = def_gpr_over(e, v, insn->a);
    mov(e, w, dst, a);
    unsigned left = width - lsb - length;
    if (left) x_shift_ri(&e->c, X_SHL, w, dst, left);
    if (width - length) x_shift_ri(&e->c, insn->op == KIR_BFX ? X_SHR : X_SAR, w, dst, width - length);
}

// ---- conditions -----------------------------------------------------------------------------------------------------------
static const uint8_t cc_of[] = {[KIR_EQ] = CC_E,   [KIR_NE] = CC_NE, [KIR_LTS] = CC_L,  [KIR_LES] = CC_LE, [KIR_GTS] = CC_G,
                                [KIR_GES] = CC_GE, [KIR_LTU] = CC_B, [KIR_LEU] = CC_BE, [KIR_GTU] = CC_A,  [KIR_GEU] = CC_AE};

static KirCond swapped(KirCond cond) {
    switch (cond) {
    case KIR_LTS: return KIR_GTS;
    case KIR_LES: return KIR_GES;
    case KIR_GTS: return KIR_LTS;
    case KIR_GES: return KIR_LES;
    case KIR_LTU: return KIR_GTU;
    case KIR_LEU: return KIR_GEU;
    case KIR_GTU: return KIR_LTU;
    case KIR_GEU: return KIR_LEU;
    default: return cond;
    }
}

// Narrow operands have garbage above their width: they are shifted to the top, which keeps every order.
static unsigned widened(Emit *e, KirRef v, unsigned shift) {
    unsigned reg = use_gpr(e, v);
    if (!shift) return reg;
    unsigned scratch = temp_gpr(e);
    x_mov_rr(&e->c, 0, scratch, reg);
    x_shift_ri(&e->c, X_SHL, 0, scratch, shift);
    return scratch;
}

static X86Cond emit_compare(Emit *e, const KirInsn *insn) {
    KirRef left = insn->a, right = insn->b;
    KirCond cond = (KirCond)insn->aux;
    if (is_const(e, left) && !is_const(e, right)) left = insn->b, right = insn->a, cond = swapped(cond);
    unsigned w = insn->type == KIR_I64;
    unsigned shift = insn->type == KIR_I8 ? 24 : insn->type == KIR_I16 ? 16 : insn->type == KIR_I1 ? 31 : 0;
    Mem m;
    if (shift) {
        unsigned a = widened(e, left, shift), b = widened(e, right, shift);
        x_alu_rr(&e->c, X_CMP, 0, a, b);
    } else if (is_imm32(e, right)) {
        int32_t imm = (int32_t)const_of(e, right);
        if (use_memory(e, left, &m)) {
            x_alu_mi(&e->c, X_CMP, w, m, imm);
        } else {
            unsigned a = use_gpr(e, left);
            if (imm) x_alu_ri(&e->c, X_CMP, w, a, imm);
            else x_test_rr(&e->c, w, a, a);
        }
    } else if (use_memory(e, right, &m)) {
        x_alu_rm(&e->c, X_CMP, w, use_gpr(e, left), m);
    } else {
        unsigned a = use_gpr(e, left), b = use_gpr(e, right);
        x_alu_rr(&e->c, X_CMP, w, a, b);
    }
    return (X86Cond)cc_of[cond];
}

X86Cond emit_condition(Emit *e, KirRef v) {
    if (plan_is_fused(e, v)) return emit_compare(e, &e->insns[v]);
    unsigned reg = use_gpr(e, v);
    x_test_rr(&e->c, 0, reg, reg);
    return CC_NE;
}

static void emit_cmp(Emit *e, KirRef v, const KirInsn *insn) {
    X86Cond cc = emit_compare(e, insn);
    e->locked[0] = 0; // the flags are all that is left of the operands
    unsigned dst = def_gpr(e, v);
    // setcc then widen: the result register may be an operand, so it is not cleared before the compare.
    x_setcc(&e->c, cc, dst);
    x_movzx8(&e->c, dst, dst);
}

// The condition comes first: loads and moves that bring the operands into registers leave the flags alone.
static void emit_select(Emit *e, KirRef v, const KirInsn *insn) {
    X86Cond cc = emit_condition(e, insn->a);
    e->locked[0] = 0;
    unsigned yes = use_gpr(e, insn->b), no = use_gpr(e, insn->c), dst = def_gpr_over(e, v, insn->c);
    if (dst == yes && dst != no) {
        x_cmov(&e->c, cc ^ 1, 1, dst, no);
    } else {
        mov(e, 1, dst, no);
        if (yes != no) x_cmov(&e->c, cc, 1, dst, yes);
    }
}

static void emit_select_xmm(Emit *e, KirRef v, const KirInsn *insn) {
    X86Cond cc = emit_condition(e, insn->a);
    unsigned yes = use_xmm(e, insn->b), no = use_xmm(e, insn->c), dst = def_xmm(e, v);
    if (dst == no && dst != yes) {
        uint8_t *skip = x_jcc_short(&e->c, cc ^ 1);
        s_mov(&e->c, dst, yes);
        x_bind_short(&e->c, skip);
        return;
    }
    if (dst != yes) s_mov(&e->c, dst, yes);
    uint8_t *skip = x_jcc_short(&e->c, cc);
    s_mov(&e->c, dst, no);
    x_bind_short(&e->c, skip);
}

// ---- add with carry ---------------------------------------------------------------------------------------------------------
static void emit_adc(Emit *e, KirRef v, const KirInsn *insn) {
    unsigned w = is64(insn), a = use_gpr(e, insn->a), b = use_gpr(e, insn->b), carry = use_gpr(e, insn->c);
    unsigned scratch = temp_gpr(e);
    x_mov_rr(&e->c, 1, scratch, a);
    x_rr(&e->c, 0x0fba, 0, 4, carry); // bt carry, 0: CF
    emit8(&e->c, 0);
    x_alu_rr(&e->c, X_ADC, w, scratch, b);
    if (insn->op == KIR_ADC) {
        result_in_gpr(e, v, scratch);
        return;
    }
    x_setcc(&e->c, insn->op == KIR_ADC_C ? CC_B : CC_O, scratch);
    x_movzx8(&e->c, scratch, scratch);
    result_in_gpr(e, v, scratch);
}

void emit_integer(Emit *e, KirRef v, const KirInsn *insn) {
    switch (insn->op) {
    case KIR_ADD:
    case KIR_SUB:
    case KIR_AND:
    case KIR_OR:
    case KIR_XOR: emit_alu(e, v, insn); break;
    case KIR_MUL: emit_mul(e, v, insn); break;
    case KIR_NOT:
    case KIR_NEG:
    case KIR_BSWAP: emit_unary(e, v, insn); break;
    case KIR_CLZ:
    case KIR_CTZ:
    case KIR_POPCNT: emit_count(e, v, insn); break;
    case KIR_SHL:
    case KIR_SHR:
    case KIR_SAR:
    case KIR_ROTR: emit_shift(e, v, insn); break;
    case KIR_FUNNEL: emit_funnel(e, v, insn); break;
    case KIR_MULHU:
    case KIR_MULHS: emit_mulh(e, v, insn); break;
    case KIR_SEXT:
    case KIR_ZEXT: emit_extend(e, v, insn); break;
    case KIR_TRUNC: emit_trunc(e, v, insn); break;
    case KIR_BFX:
    case KIR_SBFX: emit_bfx(e, v, insn); break;
    case KIR_CMP: emit_cmp(e, v, insn); break;
    case KIR_SELECT:
        if (e->values[v].xmm) emit_select_xmm(e, v, insn);
        else emit_select(e, v, insn);
        break;
    case KIR_ADC:
    case KIR_ADC_C:
    case KIR_ADC_V: emit_adc(e, v, insn); break;
    default: bug("integer operation %s has no host code", kir_op_info[insn->op].name);
    }
}
