// SPDX-License-Identifier: MIT
//
// Extensions F and D. A NaN result is always the canonical one (KIR_FP_NAN_CANONICAL is 0); moves, loads, stores and sign
// operations keep the bits. Single precision is unboxed at each read and boxed at each write.
#include "guest/riscv64/fpenv.h"
#include "guest/riscv64/trans.h"

static KirRef get_f(RvTranslator *t, unsigned n, KirType type) {
    KirRef value = kir_get(t->b, RV_GLOBAL_F(n));
    return type == KIR_F32 ? rv_emit1(t, KIR_NANUNBOX, KIR_F32, value) : value;
}

static bool set_f(RvTranslator *t, unsigned n, KirType type, KirRef value) {
    kir_set(t->b, RV_GLOBAL_F(n), type == KIR_F32 ? rv_emit1(t, KIR_NANBOX, KIR_F64, value) : value);
    return true;
}

// The rounding field of aux; false: dynamic rounding with an frm that is no mode.
static bool rounding(const RvTranslator *t, const RvInsn *i, unsigned *round) {
    *round = i->rm;
    if (i->rm == KIR_RDYN && t->request->mode == RV_MODE_RMM) *round = KIR_RMM;
    return i->rm != KIR_RDYN || t->request->mode != RV_MODE_INVALID_FRM;
}

// ---- memory: bits move as they are; p: the type ------------------------------------------------------------------------
bool rv_fload(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    KirRef address = rv_x(t, i->rs1);
    if (p == KIR_F64) return set_f(t, i->rd, p, kir_load(t->b, KIR_F64, KIR_MEM_64, address, i->imm));
    return set_f(t, i->rd, p, kir_load(t->b, KIR_F32, KIR_MEM_32, address, i->imm));
}

// A single is the low half of its register, boxed or not.
bool rv_fstore(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    unsigned mem = p == KIR_F32 ? KIR_MEM_32 : KIR_MEM_64;
    kir_store(t->b, mem, rv_x(t, i->rs1), i->imm, kir_get(t->b, RV_GLOBAL_F(i->rs2)));
    return true;
}

// ---- arithmetic; p: the operation, q: the type ---------------------------------------------------------------------------
bool rv_fp(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    unsigned round;
    if (!rounding(t, i, &round)) return false;
    KirRef a = get_f(t, i->rs1, q), b = get_f(t, i->rs2, q);
    return set_f(t, i->rd, q, kir_emit(t->b, p, q, round, a, b, KIR_NONE));
}

bool rv_fp_sqrt(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    unsigned round;
    if (!rounding(t, i, &round)) return false;
    return set_f(t, i->rd, q, kir_emit(t->b, KIR_FSQRT, q, round, get_f(t, i->rs1, q), KIR_NONE, KIR_NONE));
}

// p: KIR_FP_NEG_*
bool rv_fp_fma(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    unsigned round;
    if (!rounding(t, i, &round)) return false;
    KirRef a = get_f(t, i->rs1, q), b = get_f(t, i->rs2, q), c = get_f(t, i->rs3, q);
    return set_f(t, i->rd, q, kir_emit(t->b, KIR_FMA, q, round | p, a, b, c));
}

bool rv_fp_min_max(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    KirRef a = get_f(t, i->rs1, q), b = get_f(t, i->rs2, q);
    return set_f(t, i->rd, q, kir_emit(t->b, p, q, KIR_FP_NUMBER, a, b, KIR_NONE));
}

// p: KirFcmp
bool rv_fp_compare(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    KirRef a = get_f(t, i->rs1, q), b = get_f(t, i->rs2, q);
    return rv_set_bool(t, i->rd, kir_emit(t->b, KIR_FCMP, q, p, a, b, KIR_NONE));
}

bool rv_fp_class(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    return rv_set_x(t, i->rd, rv_emit1(t, KIR_FCLASS, KIR_I64, get_f(t, i->rs1, q)));
}

// ---- signs; q: the type -----------------------------------------------------------------------------------------------------
bool rv_fsgnj(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    KirRef a = get_f(t, i->rs1, q);
    if (i->rs1 == i->rs2) return set_f(t, i->rd, q, a);
    return set_f(t, i->rd, q, rv_emit2(t, KIR_FCOPYSIGN, q, a, get_f(t, i->rs2, q)));
}

bool rv_fsgnjn(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    KirRef a = get_f(t, i->rs1, q), negated = rv_emit1(t, KIR_FNEG, q, get_f(t, i->rs2, q));
    if (i->rs1 == i->rs2) return set_f(t, i->rd, q, negated);
    return set_f(t, i->rd, q, rv_emit2(t, KIR_FCOPYSIGN, q, a, negated));
}

bool rv_fsgnjx(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    KirRef a = get_f(t, i->rs1, q);
    if (i->rs1 == i->rs2) return set_f(t, i->rd, q, rv_emit1(t, KIR_FABS, q, a));
    KirType bits = q == KIR_F32 ? KIR_I32 : KIR_I64;
    KirRef sign_bit = kir_const(t->b, bits, q == KIR_F32 ? UINT64_C(1) << 31 : UINT64_C(1) << 63);
    KirRef sign = rv_emit2(t, KIR_AND, bits, rv_emit1(t, KIR_BITCAST, bits, get_f(t, i->rs2, q)), sign_bit);
    KirRef result = rv_emit2(t, KIR_XOR, bits, rv_emit1(t, KIR_BITCAST, bits, a), sign);
    return set_f(t, i->rd, q, rv_emit1(t, KIR_BITCAST, q, result));
}

// ---- moves between register files: raw bits -----------------------------------------------------------------------------------
bool rv_fmv_x_w(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    KirRef bits = rv_emit1(t, KIR_BITCAST, KIR_I64, kir_get(t->b, RV_GLOBAL_F(i->rs1)));
    return rv_set_x32(t, i->rd, rv_emit1(t, KIR_TRUNC, KIR_I32, bits));
}

bool rv_fmv_x_d(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    return rv_set_x(t, i->rd, rv_emit1(t, KIR_BITCAST, KIR_I64, kir_get(t->b, RV_GLOBAL_F(i->rs1))));
}

bool rv_fmv_w_x(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    return set_f(t, i->rd, KIR_F32, rv_emit1(t, KIR_BITCAST, KIR_F32, rv_x32(t, i->rs1)));
}

bool rv_fmv_d_x(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    return set_f(t, i->rd, KIR_F64, rv_emit1(t, KIR_BITCAST, KIR_F64, rv_x(t, i->rs1)));
}

// ---- conversions; p: KIR_FP_UNSIGNED or 0, q: the floating-point type -----------------------------------------------------------
bool rv_fcvt_to_w(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    unsigned round;
    if (!rounding(t, i, &round)) return false;
    return rv_set_x32(t, i->rd, kir_emit(t->b, KIR_FTOI, KIR_I32, round | p, get_f(t, i->rs1, q), KIR_NONE, KIR_NONE));
}

bool rv_fcvt_to_l(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    unsigned round;
    if (!rounding(t, i, &round)) return false;
    return rv_set_x(t, i->rd, kir_emit(t->b, KIR_FTOI, KIR_I64, round | p, get_f(t, i->rs1, q), KIR_NONE, KIR_NONE));
}

bool rv_fcvt_from_w(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    unsigned round;
    if (!rounding(t, i, &round)) return false;
    return set_f(t, i->rd, q, kir_emit(t->b, KIR_ITOF, q, round | p, rv_x32(t, i->rs1), KIR_NONE, KIR_NONE));
}

bool rv_fcvt_from_l(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    unsigned round;
    if (!rounding(t, i, &round)) return false;
    return set_f(t, i->rd, q, kir_emit(t->b, KIR_ITOF, q, round | p, rv_x(t, i->rs1), KIR_NONE, KIR_NONE));
}

// p: the source type, q: the result's
bool rv_fcvt_float(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    unsigned round;
    if (!rounding(t, i, &round)) return false;
    return set_f(t, i->rd, q, kir_emit(t->b, KIR_FTOF, q, round, get_f(t, i->rs1, p), KIR_NONE, KIR_NONE));
}
