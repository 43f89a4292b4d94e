// SPDX-License-Identifier: MIT
//
// What the trans_*.c files share: the translator's state, access to registers, and the generators that the table in
// translate.c names. A generator returns false, before it has emitted anything, where the instruction is illegal after all.
#ifndef KILN_GUEST_RISCV64_TRANS_H
#define KILN_GUEST_RISCV64_TRANS_H

#include "guest/guest.h"
#include "guest/riscv64/decode.h"
#include "guest/riscv64/state.h"

typedef struct RvTranslator {
    KirBuilder *b;
    const GuestTranslation *request;
    uint64_t pc, next; // of the current instruction, of the one behind it
    bool done;         // a final exit has been emitted
} RvTranslator;

// p and q: the pieces in which the instructions of one generator differ (an operation, a condition, a type, memory flags).
typedef bool RvGenerator(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q);

static inline KirRef rv_emit1(RvTranslator *t, KirOp op, KirType type, KirRef a) {
    return kir_emit(t->b, op, type, 0, a, KIR_NONE, KIR_NONE);
}
static inline KirRef rv_emit2(RvTranslator *t, KirOp op, KirType type, KirRef a, KirRef b) {
    return kir_emit(t->b, op, type, 0, a, b, KIR_NONE);
}
static inline KirRef rv_const(RvTranslator *t, int64_t value) { return kir_const(t->b, KIR_I64, (uint64_t)value); }
static inline KirRef rv_cmp(RvTranslator *t, KirCond cond, KirType type, KirRef a, KirRef b) {
    return kir_emit(t->b, KIR_CMP, type, cond, a, b, KIR_NONE);
}
static inline KirRef rv_select(RvTranslator *t, KirRef cond, KirRef yes, KirRef no) {
    return kir_emit(t->b, KIR_SELECT, KIR_I64, 0, cond, yes, no);
}

static inline KirRef rv_x(RvTranslator *t, unsigned n) { return n ? kir_get(t->b, RV_GLOBAL_X(n)) : rv_const(t, 0); }
static inline KirRef rv_x32(RvTranslator *t, unsigned n) { return rv_emit1(t, KIR_TRUNC, KIR_I32, rv_x(t, n)); }
static inline bool rv_set_x(RvTranslator *t, unsigned n, KirRef value) {
    if (n) kir_set(t->b, RV_GLOBAL_X(n), value);
    return true;
}
static inline bool rv_set_x32(RvTranslator *t, unsigned n, KirRef value) {
    return rv_set_x(t, n, rv_emit1(t, KIR_SEXT, KIR_I64, value));
}
static inline bool rv_set_bool(RvTranslator *t, unsigned n, KirRef value) {
    return rv_set_x(t, n, rv_emit1(t, KIR_ZEXT, KIR_I64, value));
}
static inline bool rv_end(RvTranslator *t, unsigned exit) {
    kir_exit(t->b, exit);
    t->done = true;
    return true;
}

// trans_integer.c
RvGenerator rv_alu, rv_alu_imm, rv_alu_w, rv_alu_w_imm, rv_compare, rv_compare_imm, rv_lui, rv_auipc, rv_jal, rv_jalr, rv_branch,
    rv_load, rv_store, rv_unary, rv_unary_w, rv_alu_not, rv_min_max, rv_sh_add, rv_slli_uw, rv_extend, rv_rol, rv_rolw, rv_clmulr,
    rv_czero, rv_single_bit, rv_single_bit_imm, rv_bext, rv_bext_imm;
// trans_atomic.c
RvGenerator rv_lr, rv_sc, rv_amo, rv_fence, rv_fence_tso;
// trans_float.c
RvGenerator rv_fload, rv_fstore, rv_fp, rv_fp_sqrt, rv_fp_fma, rv_fp_min_max, rv_fp_compare, rv_fp_class, rv_fsgnj, rv_fsgnjn,
    rv_fsgnjx, rv_fmv_x_w, rv_fmv_x_d, rv_fmv_w_x, rv_fmv_d_x, rv_fcvt_to_w, rv_fcvt_to_l, rv_fcvt_from_w, rv_fcvt_from_l,
    rv_fcvt_float;
// trans_system.c
RvGenerator rv_nop, rv_raise, rv_csr, rv_csr_imm;

void rv_translate(GuestTranslation *request);

#endif
