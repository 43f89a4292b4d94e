// SPDX-License-Identifier: MIT
//
// Scalar floating point on the host's SSE unit, under the guest's MXCSR: rounding and sticky flags are the hardware's.
//
// What x86 does differently goes to cold paths: NaN results get the canonical NaN, conversions out of range and minima of equal or
// unordered operands are recomputed by the evaluator (flags it raises again are the ones raised already). has_float_code says for
// which forms there is code here; the rest is the evaluator's from the start: static rounding modes, Arm's NaN rule.
#include "host/x86_64/emit.h"

static bool is32(const KirInsn *insn) { return insn->type == KIR_F32; }
static unsigned round_of(const KirInsn *insn) { return insn->aux & KIR_FP_ROUND; }
static bool is_canonical(const KirInsn *insn) { return (insn->aux & KIR_FP_NAN_RULE) == KIR_FP_NAN_CANONICAL; }
static uint32_t scalar(bool single, uint32_t opcode) { return single ? PF3(opcode) : PF2(opcode); }

static bool converts_exactly(const Emit *e, const KirInsn *insn) {
    if (insn->op == KIR_ITOF) return type_of(e, insn->a) == KIR_I32 && insn->type == KIR_F64;
    return insn->op == KIR_FTOF && insn->type == KIR_F64;
}

bool has_float_code(const Emit *e, const KirInsn *insn) {
    unsigned round = round_of(insn);
    switch (insn->op) {
    case KIR_FADD:
    case KIR_FSUB:
    case KIR_FMUL:
    case KIR_FDIV:
    case KIR_FSQRT: return round == KIR_RDYN && is_canonical(insn);
    case KIR_FMA: return round == KIR_RDYN && is_canonical(insn) && e->host->features.fma;
    case KIR_FMIN:
    case KIR_FMAX: return is_canonical(insn) && insn->aux & KIR_FP_NUMBER;
    case KIR_FROUND: return is_canonical(insn) && round != KIR_RMM;
    case KIR_ITOF: return round == KIR_RDYN || converts_exactly(e, insn);
    case KIR_FTOF: return is_canonical(insn) && (round == KIR_RDYN || converts_exactly(e, insn));
    case KIR_FTOI: return round == KIR_RTZ || (round == KIR_RDYN && !(insn->aux & KIR_FP_UNSIGNED));
    case KIR_FCMP: return insn->aux != KIR_FUNORD;
    default: return true;
    }
}

// ---- results that may be NaN ---------------------------------------------------------------------------------------------
static void cold_canonical(Emit *e, const Cold *cold) {
    const KirInsn *insn = &e->insns[cold->index];
    bool single = insn->op == KIR_NANUNBOX || is32(insn);
    s_rm(&e->c, S_LOAD_64, 0, cold->regs[0], mem_rip(single ? &e->host->constants->nan32 : &e->host->constants->nan64));
}

static void ucomis(Emit *e, bool single, unsigned a, unsigned b) { s_rr(&e->c, single ? 0x0f2e : P66(0x0f2e), 0, a, b); }
static void comis(Emit *e, bool single, unsigned a, unsigned b) { s_rr(&e->c, single ? 0x0f2f : P66(0x0f2f), 0, a, b); }

static void canonicalise(Emit *e, bool single, unsigned reg) {
    ucomis(e, single, reg, reg);
    Cold *cold = cold_path(e, cold_canonical, x_jcc(&e->c, CC_P, NULL));
    cold->regs[0] = (uint8_t)reg;
    cold->back = e->c.p;
}

// ---- arithmetic ------------------------------------------------------------------------------------------------------------
// dst = a op b with dst free to be either.
static void binary(Emit *e, uint32_t opcode, bool commutative, unsigned dst, unsigned a, unsigned b) {
    Code *c = &e->c;
    if (c->avx) {
        v_rrr(c, opcode, 0, dst, a, b);
    } else if (dst == b && dst != a) {
        if (commutative) {
            x_rr(c, opcode, 0, dst, a);
        } else {
            unsigned copy = temp_xmm(e);
            s_mov(c, copy, b);
            s_mov(c, dst, a);
            x_rr(c, opcode, 0, dst, copy);
        }
    } else {
        if (dst != a) s_mov(c, dst, a);
        x_rr(c, opcode, 0, dst, b);
    }
}

static void emit_arithmetic(Emit *e, KirRef v, const KirInsn *insn, uint32_t opcode, bool commutative) {
    unsigned a = use_xmm(e, insn->a), b = use_xmm(e, insn->b), dst = def_xmm_over(e, v, insn->a);
    binary(e, scalar(is32(insn), opcode), commutative, dst, a, b);
    canonicalise(e, is32(insn), dst);
}

static void emit_sqrt(Emit *e, KirRef v, const KirInsn *insn) {
    unsigned a = use_xmm(e, insn->a), dst = def_xmm_over(e, v, insn->a);
    if (e->c.avx) v_rrr(&e->c, scalar(is32(insn), 0x0f51), 0, dst, a, a);
    else x_rr(&e->c, scalar(is32(insn), 0x0f51), 0, dst, a);
    canonicalise(e, is32(insn), dst);
}

// x86 raises no invalid for infinity times zero plus a quiet NaN. The addend is overwritten by then, but with a NaN for it the
// evaluator raises exactly what the factors demand, and the result is the canonical NaN anyway.
static void cold_fma_nan(Emit *e, const Cold *cold) {
    bool single = is32(&e->insns[cold->index]);
    s_rm(&e->c, S_LOAD_64, 0, cold->regs[3], mem_rip(single ? &e->host->constants->nan32 : &e->host->constants->nan64));
    cold_evaluate(e, cold);
}

static void emit_fma(Emit *e, KirRef v, const KirInsn *insn) {
    unsigned a = use_xmm(e, insn->a), b = use_xmm(e, insn->b), addend = use_xmm(e, insn->c);
    unsigned result = e->values[root_of(e, v)].hint;
    unsigned dst;
    bool clobbers_factor = result == a || result == b;
    if (clobbers_factor) {
        dst = temp_xmm(e);
    } else if (result == NO_REG && addend >= 8 && dies_here(e, insn->c) && addend != a && addend != b) {
        dst = def_xmm_over(e, v, insn->c);
    } else {
        dst = def_xmm(e, v);
    }
    if (dst != addend) s_mov(&e->c, dst, addend);
    bool neg_product = insn->aux & KIR_FP_NEG_PRODUCT, neg_addend = insn->aux & KIR_FP_NEG_ADDEND;
    uint32_t opcode = P66(neg_product ? (neg_addend ? 0x0f38bf : 0x0f38bd) : neg_addend ? 0x0f38bb : 0x0f38b9);
    v_rrr(&e->c, opcode, !is32(insn), dst, a, b);
    ucomis(e, is32(insn), dst, dst);
    Cold *cold = cold_path(e, cold_fma_nan, x_jcc(&e->c, CC_P, NULL));
    cold->regs[0] = (uint8_t)a;
    cold->regs[1] = (uint8_t)b;
    cold->regs[2] = cold->regs[3] = (uint8_t)dst;
    cold->back = e->c.p;
    if (clobbers_factor) {
        unsigned final = def_xmm(e, v);
        s_mov(&e->c, final, dst);
    }
}

static void emit_min_max(Emit *e, KirRef v, const KirInsn *insn) {
    bool single = is32(insn), max = insn->op == KIR_FMAX;
    unsigned a = use_xmm(e, insn->a), b = use_xmm(e, insn->b), dst = temp_xmm(e);
    ucomis(e, single, a, b);
    Cold *cold = cold_path(e, cold_evaluate, x_jcc(&e->c, CC_P, NULL));
    s_mov(&e->c, dst, a);
    uint8_t *differ = x_jcc_short(&e->c, CC_NE);
    s_op(&e->c, max ? 0x0f54 : 0x0f56, 0, dst, b); // equal: they differ in the sign of zero at most (andps, orps)
    uint8_t *done = x_jmp_short(&e->c);
    x_bind_short(&e->c, differ);
    s_op(&e->c, scalar(single, max ? 0x0f5f : 0x0f5d), 0, dst, b);
    x_bind_short(&e->c, done);
    cold->regs[0] = (uint8_t)a;
    cold->regs[1] = (uint8_t)b;
    cold->regs[3] = (uint8_t)dst;
    cold->back = e->c.p;
    unsigned final = def_xmm(e, v);
    s_mov(&e->c, final, dst);
}

// ---- sign operations ---------------------------------------------------------------------------------------------------------
static void with_constant(Emit *e, uint32_t opcode, unsigned dst, unsigned a, const KirWide *constant) {
    if (e->c.avx) {
        v_rrm(&e->c, opcode, 0, dst, a, mem_rip(constant));
    } else {
        if (dst != a) s_mov(&e->c, dst, a);
        x_rm(&e->c, opcode, 0, dst, mem_rip(constant));
    }
}

static void emit_sign(Emit *e, KirRef v, const KirInsn *insn) {
    const HostConstants *k = e->host->constants;
    bool single = is32(insn);
    unsigned a = use_xmm(e, insn->a), dst = def_xmm_over(e, v, insn->a);
    if (insn->op == KIR_FNEG) with_constant(e, 0x0f57, dst, a, single ? &k->sign32 : &k->sign64);
    else with_constant(e, 0x0f54, dst, a, single ? &k->abs32 : &k->abs64);
}

static void emit_copysign(Emit *e, KirRef v, const KirInsn *insn) {
    const HostConstants *k = e->host->constants;
    bool single = is32(insn);
    unsigned a = use_xmm(e, insn->a), b = use_xmm(e, insn->b), sign = temp_xmm(e), dst = def_xmm_over(e, v, insn->a);
    with_constant(e, 0x0f54, sign, b, single ? &k->sign32 : &k->sign64);
    with_constant(e, 0x0f54, dst, a, single ? &k->abs32 : &k->abs64);
    s_op(&e->c, 0x0f56, 0, dst, sign);
}

// ---- comparison ----------------------------------------------------------------------------------------------------------------
static void emit_compare(Emit *e, KirRef v, const KirInsn *insn) {
    unsigned kind = insn->aux;
    bool single = is32(insn),
         signals = kind == KIR_FEQ_S || kind == KIR_FLT_S || kind == KIR_FLE_S || kind == KIR_FGT_S || kind == KIR_FGE_S;
    bool swap = kind == KIR_FLT || kind == KIR_FLE || kind == KIR_FLT_S || kind == KIR_FLE_S;
    bool equal = kind == KIR_FEQ || kind == KIR_FEQ_S;
    bool or_equal = kind == KIR_FLE || kind == KIR_FLE_S || kind == KIR_FGE || kind == KIR_FGE_S;
    unsigned a = use_xmm(e, insn->a), b = use_xmm(e, insn->b);
    unsigned scratch = equal ? temp_gpr(e) : NO_REG;
    // Below, unordered sets the carry flag, so "above" and "above or equal" are false for it.
    (signals ? comis : ucomis)(e, single, swap ? b : a, swap ? a : b);
    unsigned dst = def_gpr(e, v);
    if (equal) {
        x_setcc(&e->c, CC_NP, scratch);
        x_setcc(&e->c, CC_E, dst);
        x_alu_rr(&e->c, X_AND, 0, dst, scratch);
    } else {
        x_setcc(&e->c, or_equal ? CC_AE : CC_A, dst);
    }
    x_movzx8(&e->c, dst, dst);
}

// By integers, as no comparison of floating point leaves the flags alone for a signalling NaN. The class's number is 4 for a positive zero,
// one more for each of: not zero, not subnormal, infinite (or NaN); mirrored at 3.5 for the negative ones; 8 and 9 are NaNs.
static void emit_class(Emit *e, KirRef v, const KirInsn *insn) {
    Code *c = &e->c;
    bool single = type_of(e, insn->a) == KIR_F32;
    const uint64_t *bounds = e->host->constants->class_bounds[single];
    unsigned x = use_xmm(e, insn->a), sign = temp_gpr(e), magnitude = temp_gpr(e), dst = def_gpr(e, v);
    s_rr(c, S_TO_GPR, 1, x, sign);
    if (single) x_shift_ri(c, X_SHL, 1, sign, 32);
    x_mov_rr(c, 1, magnitude, sign);
    x_alu_rr(c, X_ADD, 1, magnitude, magnitude);
    x_shift_ri(c, X_SAR, 1, sign, 63);
    x_mov_ri(c, dst, 0);
    x_alu_ri(c, X_CMP, 1, magnitude, 1);
    x_alu_ri(c, X_SBB, 0, dst, -1); // one more, if that was not below
    for (int i = 0; i < 2; i++) {
        x_alu_rm(c, X_CMP, 1, magnitude, mem_rip(&bounds[i]));
        x_alu_ri(c, X_SBB, 0, dst, -1);
    }
    x_alu_rr(c, X_XOR, 0, dst, sign);
    x_alu_ri(c, X_ADD, 0, dst, 4);
    x_alu_rm(c, X_CMP, 1, magnitude, mem_rip(&bounds[1]));
    uint8_t *number = x_jcc_short(c, CC_BE);
    x_shift_ri(c, X_SHR, 1, magnitude, single ? 55 : 52); // the bit of a quiet one
    x_alu_ri(c, X_AND, 0, magnitude, 1);
    x_mov_rr(c, 0, dst, magnitude);
    x_alu_ri(c, X_ADD, 0, dst, 8);
    x_bind_short(c, number);
    x_mov_ri(c, magnitude, 0);
    x_rr(c, 0x0fab, 0, dst, magnitude); // bts
    x_mov_rr(c, 0, dst, magnitude);
}

// ---- conversion ----------------------------------------------------------------------------------------------------------------
static void convert_from_int(Emit *e, KirType type, unsigned w, unsigned dst, unsigned src) {
    s_op(&e->c, 0x0f57, 0, dst, dst); // no dependence on what dst held
    if (e->c.avx) v_rrr(&e->c, scalar(type == KIR_F32, 0x0f2a), w, dst, dst, src);
    else x_rr(&e->c, scalar(type == KIR_F32, 0x0f2a), w, dst, src);
}

static void emit_from_int(Emit *e, KirRef v, const KirInsn *insn) {
    bool is_unsigned = insn->aux & KIR_FP_UNSIGNED, wide = type_of(e, insn->a) == KIR_I64;
    unsigned a = use_gpr(e, insn->a);
    Cold *cold = NULL;
    if (is_unsigned && wide) {
        x_test_rr(&e->c, 1, a, a);
        cold = cold_path(e, cold_evaluate, x_jcc(&e->c, CC_S, NULL));
        cold->regs[0] = (uint8_t)a;
    } else if (is_unsigned) {
        unsigned copy = temp_gpr(e);
        x_mov_rr(&e->c, 0, copy, a);
        a = copy;
    }
    unsigned dst = def_xmm(e, v);
    convert_from_int(e, (KirType)insn->type, wide || is_unsigned, dst, a);
    if (cold) {
        cold->regs[3] = (uint8_t)dst;
        cold->back = e->c.p;
    }
}

static void emit_to_int(Emit *e, KirRef v, const KirInsn *insn) {
    bool single = type_of(e, insn->a) == KIR_F32, wide = insn->type == KIR_I64, is_unsigned = insn->aux & KIR_FP_UNSIGNED;
    uint32_t opcode = scalar(single, round_of(insn) == KIR_RTZ ? 0x0f2c : 0x0f2d);
    unsigned a = use_xmm(e, insn->a);
    Cold *cold;
    unsigned dst = temp_gpr(e);
    if (is_unsigned) {
        // Values from 0 up to 2^32 or 2^63 convert as signed 64-bit ones; their bits compare like integers.
        s_rr(&e->c, S_TO_GPR, !single, a, dst);
        if (!single) x_shift_ri(&e->c, X_SHR, 1, dst, 32);
        uint32_t bound = single ? (wide ? 0x5f000000 : 0x4f800000) : wide ? 0x43e00000 : 0x41f00000;
        x_alu_ri(&e->c, X_CMP, 0, dst, (int32_t)bound);
        cold = cold_path(e, cold_evaluate, x_jcc(&e->c, CC_AE, NULL));
        s_rr(&e->c, opcode, 1, dst, a);
    } else {
        s_rr(&e->c, opcode, wide, dst, a);
        x_alu_ri(&e->c, X_CMP, wide, dst, 1); // overflows for the "integer indefinite" value alone
        cold = cold_path(e, cold_evaluate, x_jcc(&e->c, CC_O, NULL));
    }
    cold->regs[0] = (uint8_t)a;
    cold->regs[3] = (uint8_t)dst;
    cold->back = e->c.p;
    result_in_gpr(e, v, dst);
}

static void emit_between_formats(Emit *e, KirRef v, const KirInsn *insn) {
    bool from_single = insn->type == KIR_F64;
    unsigned a = use_xmm(e, insn->a), dst = def_xmm_over(e, v, insn->a);
    if (e->c.avx) v_rrr(&e->c, scalar(from_single, 0x0f5a), 0, dst, a, a);
    else x_rr(&e->c, scalar(from_single, 0x0f5a), 0, dst, a);
    canonicalise(e, is32(insn), dst);
}

static void emit_round(Emit *e, KirRef v, const KirInsn *insn) {
    static const uint8_t mode[8] = {[KIR_RNE] = 0, [KIR_RDN] = 1, [KIR_RUP] = 2, [KIR_RTZ] = 3, [KIR_RDYN] = 4};
    unsigned a = use_xmm(e, insn->a), dst = def_xmm_over(e, v, insn->a);
    uint32_t opcode = P66(is32(insn) ? 0x0f3a0a : 0x0f3a0b);
    if (e->c.avx) v_rrr(&e->c, opcode, 0, dst, a, a);
    else x_rr(&e->c, opcode, 0, dst, a);
    emit8(&e->c, (uint8_t)(mode[round_of(insn)] | (insn->aux & KIR_FP_EXACT ? 0 : 8)));
    canonicalise(e, is32(insn), dst);
}

void emit_float(Emit *e, KirRef v, const KirInsn *insn) {
    switch (insn->op) {
    case KIR_FADD: emit_arithmetic(e, v, insn, 0x0f58, true); break;
    case KIR_FMUL: emit_arithmetic(e, v, insn, 0x0f59, true); break;
    case KIR_FSUB: emit_arithmetic(e, v, insn, 0x0f5c, false); break;
    case KIR_FDIV: emit_arithmetic(e, v, insn, 0x0f5e, false); break;
    case KIR_FSQRT: emit_sqrt(e, v, insn); break;
    case KIR_FMA: emit_fma(e, v, insn); break;
    case KIR_FMIN:
    case KIR_FMAX: emit_min_max(e, v, insn); break;
    case KIR_FNEG:
    case KIR_FABS: emit_sign(e, v, insn); break;
    case KIR_FCOPYSIGN: emit_copysign(e, v, insn); break;
    case KIR_FCMP: emit_compare(e, v, insn); break;
    case KIR_FCLASS: emit_class(e, v, insn); break;
    case KIR_ITOF: emit_from_int(e, v, insn); break;
    case KIR_FTOI: emit_to_int(e, v, insn); break;
    case KIR_FTOF: emit_between_formats(e, v, insn); break;
    case KIR_FROUND: emit_round(e, v, insn); break;
    default: bug("floating-point operation %s has no host code", kir_op_info[insn->op].name);
    }
}

// ---- the environment ---------------------------------------------------------------------------------------------------------
// Cpu.guest_mxcsr is free while the guest's environment is in MXCSR itself.
static void read_mxcsr(Emit *e, unsigned dst) {
    x_rm(&e->c, 0x0fae, 0, 3, CPU_MEM(guest_mxcsr)); // stmxcsr
    x_mov_rm(&e->c, 0, dst, CPU_MEM(guest_mxcsr));
}

// dst = table[dst], bytes.
static void look_up(Emit *e, unsigned dst, unsigned scratch, const uint8_t *table) {
    x_lea(&e->c, 1, scratch, mem_rip(table));
    x_rm(&e->c, 0x0fb6, 0, dst, mem_index(scratch, dst, 0, 0));
}

void emit_get_flags(Emit *e, KirRef v) {
    unsigned scratch = temp_gpr(e), dst = def_gpr(e, v);
    read_mxcsr(e, dst);
    x_alu_ri(&e->c, X_AND, 0, dst, 0x3f);
    look_up(e, dst, scratch, e->host->constants->flags_of_mxcsr);
}

// Writing MXCSR costs far more than reading it, and flags are mostly set to what they are (a comparison between a save and a restore).
void emit_set_flags(Emit *e, const KirInsn *insn) {
    unsigned a = use_gpr(e, insn->a), wanted = temp_gpr(e), now = temp_gpr(e);
    x_mov_rr(&e->c, 0, wanted, a);
    x_alu_ri(&e->c, X_AND, 0, wanted, 31);
    look_up(e, wanted, now, e->host->constants->mxcsr_of_flags);
    read_mxcsr(e, now);
    x_alu_rr(&e->c, X_XOR, 0, wanted, now);
    x_alu_ri(&e->c, X_AND, 0, wanted, 0x3d); // the bits that differ; the denormal bit is nobody's
    uint8_t *same = x_jcc_short(&e->c, CC_E);
    x_alu_rr(&e->c, X_XOR, 0, now, wanted);
    x_mov_mr(&e->c, 0, CPU_MEM(guest_mxcsr), now);
    x_rm(&e->c, 0x0fae, 0, 2, CPU_MEM(guest_mxcsr)); // ldmxcsr
    x_bind_short(&e->c, same);
}

// ---- moves between kinds of registers ---------------------------------------------------------------------------------------
static void emit_unbox(Emit *e, KirRef v, const KirInsn *insn) {
    unsigned a = use_xmm(e, insn->a), high_half = temp_gpr(e), dst = def_xmm_over(e, v, insn->a);
    s_rr(&e->c, P66(0x0f3a16), 0, a, high_half); // pextrd
    emit8(&e->c, 1);
    if (dst != a) s_mov(&e->c, dst, a);
    x_alu_ri(&e->c, X_CMP, 0, high_half, -1);
    Cold *cold = cold_path(e, cold_canonical, x_jcc(&e->c, CC_NE, NULL));
    cold->regs[0] = (uint8_t)dst;
    cold->back = e->c.p;
}

void emit_move(Emit *e, KirRef v, const KirInsn *insn) {
    switch (insn->op) {
    case KIR_NANBOX: {
        unsigned a = use_xmm(e, insn->a), dst = def_xmm_over(e, v, insn->a);
        with_constant(e, 0x0f56, dst, a, &e->host->constants->box_high);
        break;
    }
    case KIR_NANUNBOX: emit_unbox(e, v, insn); break;
    case KIR_BITCAST: {
        unsigned w = kir_type_bits((KirType)insn->type) == 64;
        bool from_xmm = value_of(e, insn->a)->xmm;
        if (e->values[v].xmm && from_xmm) { // of one kind: only constants get here, others share the register
            unsigned a = use_xmm(e, insn->a), dst = def_xmm_over(e, v, insn->a);
            if (dst != a) s_mov(&e->c, dst, a);
        } else if (!e->values[v].xmm && !from_xmm) {
            unsigned a = use_gpr(e, insn->a), dst = def_gpr_over(e, v, insn->a);
            if (dst != a) x_mov_rr(&e->c, 1, dst, a);
        } else if (e->values[v].xmm) {
            unsigned a = use_gpr(e, insn->a), dst = def_xmm(e, v);
            s_rr(&e->c, S_FROM_GPR, w, dst, a);
        } else {
            unsigned a = use_xmm(e, insn->a), dst = def_gpr(e, v);
            s_rr(&e->c, S_TO_GPR, w, a, dst);
        }
        break;
    }
    case KIR_PAIR: {
        unsigned low = use_gpr(e, insn->a), high_half = use_gpr(e, insn->b), dst = def_xmm(e, v);
        s_rr(&e->c, S_FROM_GPR, 1, dst, low);
        if (e->c.avx) v_rrr(&e->c, P66(0x0f3a22), 1, dst, dst, high_half); // pinsrq
        else x_rr(&e->c, P66(0x0f3a22), 1, dst, high_half);
        emit8(&e->c, 1);
        break;
    }
    case KIR_LO64: {
        unsigned a = use_xmm(e, insn->a), dst = def_gpr(e, v);
        s_rr(&e->c, S_TO_GPR, 1, a, dst);
        break;
    }
    default: { // HI64
        unsigned a = use_xmm(e, insn->a), dst = def_gpr(e, v);
        s_rr(&e->c, P66(0x0f3a16), 1, a, dst); // pextrq
        emit8(&e->c, 1);
    }
    }
}
