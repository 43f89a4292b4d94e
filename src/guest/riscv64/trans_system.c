// SPDX-License-Identifier: MIT
//
// Exceptions, hints and control registers.
//
// fflags and the rounding proper live in MXCSR. A write to frm can change Guest.mode: under the normal mode the block goes on as
// long as the new value is one of MXCSR's modes, else it leaves to the engine, which computes the mode anew.
#include "guest/riscv64/features.h"
#include "guest/riscv64/fpenv.h"
#include "guest/riscv64/trans.h"

bool rv_nop(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) { return true; }

// p: KirException
bool rv_raise(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) { return rv_end(t, kir_exit_exception(t->b, p, t->pc)); }

enum { CSR_WRITE, CSR_SET, CSR_CLEAR, FRM_SHIFT = 5, FRM_BITS = 3 };

static bool is_counter(unsigned csr) { return csr >= RV_CSR_CYCLE && csr <= RV_CSR_INSTRET; }

static bool csr_exists(const RvTranslator *t, unsigned csr) {
    uint64_t features = t->request->features;
    if (is_counter(csr)) return features & RV_FEATURE_ZICNTR;
    return csr >= RV_CSR_FFLAGS && csr <= RV_CSR_FCSR && features & RV_FEATURE_F;
}

static KirRef get_fflags(RvTranslator *t) { return kir_emit(t->b, KIR_FGETFLAGS, KIR_I64, 0, KIR_NONE, KIR_NONE, KIR_NONE); }

static KirRef read_csr(RvTranslator *t, unsigned csr) {
    KirRef frm;
    switch (csr) {
    case RV_CSR_FFLAGS: return get_fflags(t);
    case RV_CSR_FRM: return kir_get(t->b, RV_GLOBAL_FRM);
    case RV_CSR_FCSR:
        frm = rv_emit2(t, KIR_SHL, KIR_I64, kir_get(t->b, RV_GLOBAL_FRM), rv_const(t, FRM_SHIFT));
        return rv_emit2(t, KIR_OR, KIR_I64, get_fflags(t), frm);
    default: return kir_call(t->b, RV_HELPER_CYCLE + (csr - RV_CSR_CYCLE), KIR_NONE, KIR_NONE, KIR_NONE);
    }
}

// Of the value, fsetflags takes the flags alone.
static void set_fflags(RvTranslator *t, KirRef value) { kir_emit(t->b, KIR_FSETFLAGS, KIR_VOID, 0, value, KIR_NONE, KIR_NONE); }

static void set_frm(RvTranslator *t, KirRef value, unsigned lsb) {
    KirRef frm = kir_emit(t->b, KIR_BFX, KIR_I64, 0, value, lsb | FRM_BITS << 8, KIR_NONE);
    KirRef special = rv_cmp(t, KIR_GEU, KIR_I64, frm, rv_const(t, RV_FRM_RMM));
    KirRef round = rv_select(t, special, rv_const(t, KIR_RNE), frm);
    kir_set(t->b, RV_GLOBAL_FRM, frm);
    kir_emit(t->b, KIR_FSETROUND, KIR_VOID, 0, round, KIR_NONE, KIR_NONE);
    unsigned resume = kir_exit_exception(t->b, KIR_EXC_RESUME, t->next);
    if (t->request->mode == RV_MODE_NORMAL) kir_exit_if(t->b, special, resume);
    else rv_end(t, resume);
}

static void write_csr(RvTranslator *t, unsigned csr, KirRef value) {
    if (csr == RV_CSR_FFLAGS || csr == RV_CSR_FCSR) set_fflags(t, value);
    if (csr == RV_CSR_FRM || csr == RV_CSR_FCSR) set_frm(t, value, csr == RV_CSR_FCSR ? FRM_SHIFT : 0);
}

// csrrw to x0 does not read; csrrs, csrrc with source x0 (or 0) do not write.
static bool access_csr(RvTranslator *t, const RvInsn *i, unsigned kind, bool writes, KirRef operand) {
    KirRef value = operand, old = KIR_NONE;
    if (i->rd || kind != CSR_WRITE) old = read_csr(t, i->csr);
    if (kind == CSR_SET) value = rv_emit2(t, KIR_OR, KIR_I64, old, operand);
    if (kind == CSR_CLEAR) value = rv_emit2(t, KIR_AND, KIR_I64, old, rv_emit1(t, KIR_NOT, KIR_I64, operand));
    if (i->rd) rv_set_x(t, i->rd, old);
    if (writes) write_csr(t, i->csr, value);
    return true;
}

// p: CSR_WRITE 0, CSR_SET 1, CSR_CLEAR 2
bool rv_csr(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    bool writes = p == CSR_WRITE || i->rs1;
    if (!csr_exists(t, i->csr) || (writes && is_counter(i->csr))) return false;
    return access_csr(t, i, p, writes, rv_x(t, i->rs1));
}

bool rv_csr_imm(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    bool writes = p == CSR_WRITE || i->imm;
    if (!csr_exists(t, i->csr) || (writes && is_counter(i->csr))) return false;
    return access_csr(t, i, p, writes, rv_const(t, i->imm));
}
