// SPDX-License-Identifier: MIT
//
// Integer instructions: I, M, Zba, Zbb, Zbc, Zbs, Zicond, loads and stores, jumps.
//
// A W instruction works on the low halves as i32 and sign-extends its result. x1 and x5 are link registers: a jump that
// writes one is a call, one through such a register a return.
#include "guest/riscv64/trans.h"

// ---- arithmetic; p: the operation ------------------------------------------------------------------------------------
bool rv_alu(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    return rv_set_x(t, i->rd, rv_emit2(t, p, KIR_I64, rv_x(t, i->rs1), rv_x(t, i->rs2)));
}

bool rv_alu_imm(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    return rv_set_x(t, i->rd, rv_emit2(t, p, KIR_I64, rv_x(t, i->rs1), rv_const(t, i->imm)));
}

bool rv_alu_w(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    return rv_set_x32(t, i->rd, rv_emit2(t, p, KIR_I32, rv_x32(t, i->rs1), rv_x32(t, i->rs2)));
}

bool rv_alu_w_imm(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    KirRef imm = kir_const(t->b, KIR_I32, (uint32_t)i->imm);
    return rv_set_x32(t, i->rd, rv_emit2(t, p, KIR_I32, rv_x32(t, i->rs1), imm));
}

// p: the condition
bool rv_compare(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    return rv_set_bool(t, i->rd, rv_cmp(t, p, KIR_I64, rv_x(t, i->rs1), rv_x(t, i->rs2)));
}

bool rv_compare_imm(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    return rv_set_bool(t, i->rd, rv_cmp(t, p, KIR_I64, rv_x(t, i->rs1), rv_const(t, i->imm)));
}

bool rv_lui(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) { return rv_set_x(t, i->rd, rv_const(t, i->imm)); }

bool rv_auipc(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    return rv_set_x(t, i->rd, kir_image(t->b, t->pc + (uint64_t)(int64_t)i->imm));
}

// ---- jumps -----------------------------------------------------------------------------------------------------------
static bool is_link(unsigned reg) { return reg == RV_RA || reg == RV_T0; }

static unsigned call_exit(RvTranslator *t, uint64_t target) {
    return kir_exit_new(
        t->b,
        (KirExit){
            .target = target, .kind = KIR_EXIT_DIRECT, .hint = KIR_JUMP_CALL, .image = t->b->block->image_valid, .link = t->next});
}

bool rv_jal(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    uint64_t target = t->pc + (uint64_t)(int64_t)i->imm;
    rv_set_x(t, i->rd, kir_image(t->b, t->next));
    return rv_end(t, is_link(i->rd) ? call_exit(t, target) : kir_exit_direct(t->b, target));
}

// The target of an indirect jump: bit 0 is dropped. File offsets keep bit 0, so an image constant stays one.
static KirRef jump_target(RvTranslator *t, const RvInsn *i) {
    KirRef sum = rv_emit2(t, KIR_ADD, KIR_I64, rv_x(t, i->rs1), rv_const(t, i->imm));
    KirInsn insn = t->b->block->insns[sum];
    if (insn.op == KIR_CONST && insn.aux == KIR_IMAGE) return kir_image(t->b, insn.imm & ~UINT64_C(1));
    return rv_emit2(t, KIR_AND, KIR_I64, sum, rv_const(t, -2));
}

// auipc and jalr together make a direct call. Target and link must be of one kind of constant.
bool rv_jalr(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    KirRef target = jump_target(t, i);
    KirInsn insn = t->b->block->insns[target];
    KirJumpHint hint = is_link(i->rd) ? KIR_JUMP_CALL : is_link(i->rs1) ? KIR_JUMP_RETURN : KIR_JUMP;
    bool direct = insn.op == KIR_CONST && (insn.aux == KIR_IMAGE) == t->b->block->image_valid;
    rv_set_x(t, i->rd, kir_image(t->b, t->next));
    if (direct) return rv_end(t, hint == KIR_JUMP_CALL ? call_exit(t, insn.imm) : kir_exit_direct(t->b, insn.imm));
    kir_exit_ind(t->b, target, hint);
    return t->done = true;
}

// p: the condition
bool rv_branch(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    KirRef cond = rv_cmp(t, p, KIR_I64, rv_x(t, i->rs1), rv_x(t, i->rs2));
    unsigned taken = kir_exit_direct(t->b, t->pc + (uint64_t)(int64_t)i->imm);
    kir_exit_cond(t->b, cond, taken, kir_exit_direct(t->b, t->next));
    return t->done = true;
}

// ---- memory; p: KIR_MEM flags -----------------------------------------------------------------------------------------
// A load to x0 still faults where it must.
bool rv_load(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    return rv_set_x(t, i->rd, kir_load(t->b, KIR_I64, p, rv_x(t, i->rs1), i->imm));
}

bool rv_store(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    kir_store(t->b, p, rv_x(t, i->rs1), i->imm, rv_x(t, i->rs2));
    return true;
}

// ---- Zba, Zbb, Zbc, Zbs, Zicond ------------------------------------------------------------------------------------------
bool rv_unary(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    return rv_set_x(t, i->rd, rv_emit1(t, p, KIR_I64, rv_x(t, i->rs1)));
}

bool rv_unary_w(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    return rv_set_x32(t, i->rd, rv_emit1(t, p, KIR_I32, rv_x32(t, i->rs1)));
}

bool rv_alu_not(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    KirRef inverted = rv_emit1(t, KIR_NOT, KIR_I64, rv_x(t, i->rs2));
    return rv_set_x(t, i->rd, rv_emit2(t, p, KIR_I64, rv_x(t, i->rs1), inverted));
}

// p: the condition under which the first operand is taken
bool rv_min_max(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    KirRef a = rv_x(t, i->rs1), b = rv_x(t, i->rs2);
    return rv_set_x(t, i->rd, rv_select(t, rv_cmp(t, p, KIR_I64, a, b), a, b));
}

static KirRef low_word(RvTranslator *t, unsigned reg) { return rv_emit1(t, KIR_ZEXT, KIR_I64, rv_x32(t, reg)); }

// p: the shift; q: only the low word of rs1 counts
bool rv_sh_add(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    KirRef index = q ? low_word(t, i->rs1) : rv_x(t, i->rs1);
    KirRef scaled = rv_emit2(t, KIR_SHL, KIR_I64, index, rv_const(t, p));
    return rv_set_x(t, i->rd, rv_emit2(t, KIR_ADD, KIR_I64, scaled, rv_x(t, i->rs2)));
}

bool rv_slli_uw(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    return rv_set_x(t, i->rd, rv_emit2(t, KIR_SHL, KIR_I64, low_word(t, i->rs1), rv_const(t, i->imm)));
}

// p: KIR_SEXT or KIR_ZEXT; q: the narrow type
bool rv_extend(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    return rv_set_x(t, i->rd, rv_emit1(t, p, KIR_I64, rv_emit1(t, KIR_TRUNC, q, rv_x(t, i->rs1))));
}

bool rv_rol(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    KirRef right = rv_emit1(t, KIR_NEG, KIR_I64, rv_x(t, i->rs2));
    return rv_set_x(t, i->rd, rv_emit2(t, KIR_ROTR, KIR_I64, rv_x(t, i->rs1), right));
}

bool rv_rolw(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    KirRef right = rv_emit1(t, KIR_NEG, KIR_I32, rv_x32(t, i->rs2));
    return rv_set_x32(t, i->rd, rv_emit2(t, KIR_ROTR, KIR_I32, rv_x32(t, i->rs1), right));
}

// Bits 126..63 of the product.
bool rv_clmulr(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    KirRef a = rv_x(t, i->rs1), b = rv_x(t, i->rs2);
    KirRef high = rv_emit2(t, KIR_CLMULH, KIR_I64, a, b), low = rv_emit2(t, KIR_CLMUL, KIR_I64, a, b);
    return rv_set_x(t, i->rd, kir_emit(t->b, KIR_FUNNEL, KIR_I64, 0, high, low, 63));
}

// p: the condition of rs2 against 0 under which the result is 0
bool rv_czero(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    KirRef zero = rv_const(t, 0), cond = rv_cmp(t, p, KIR_I64, rv_x(t, i->rs2), zero);
    return rv_set_x(t, i->rd, rv_select(t, cond, zero, rv_x(t, i->rs1)));
}

static bool change_bit(RvTranslator *t, const RvInsn *i, KirOp op, bool inverted, KirRef number) {
    KirRef mask = rv_emit2(t, KIR_SHL, KIR_I64, rv_const(t, 1), number);
    if (inverted) mask = rv_emit1(t, KIR_NOT, KIR_I64, mask);
    return rv_set_x(t, i->rd, rv_emit2(t, op, KIR_I64, rv_x(t, i->rs1), mask));
}

// p: the operation; q: with the inverted mask
bool rv_single_bit(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) { return change_bit(t, i, p, q, rv_x(t, i->rs2)); }

bool rv_single_bit_imm(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    return change_bit(t, i, p, q, rv_const(t, i->imm));
}

static bool extract_bit(RvTranslator *t, const RvInsn *i, KirRef number) {
    KirRef shifted = rv_emit2(t, KIR_SHR, KIR_I64, rv_x(t, i->rs1), number);
    return rv_set_x(t, i->rd, rv_emit2(t, KIR_AND, KIR_I64, shifted, rv_const(t, 1)));
}

bool rv_bext(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) { return extract_bit(t, i, rv_x(t, i->rs2)); }
bool rv_bext_imm(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) { return extract_bit(t, i, rv_const(t, i->imm)); }
