// SPDX-License-Identifier: MIT
//
// Extension A, and fences.
//
// LR records address and value in two globals. SC succeeds if the address is the recorded one and the memory still holds
// the recorded value: compare-and-swap, so a value that changed and changed back goes unnoticed, as in other translators.
//
// An SC to another address must fail without touching memory. It leaves by a side exit to the next instruction with rd = 1;
// behind the exit rd and the reservation get their old values back, so that a fault of the swap finds them unchanged. Where
// LR and SC share a block the addresses compare equal at translation time, and nothing of this is emitted.
#include "guest/riscv64/trans.h"

static unsigned order(const RvInsn *i) {
    return (i->aq ? KIR_MEM_ACQUIRE : 0u) | (i->rl ? KIR_MEM_RELEASE : 0u) | KIR_MEM_ALIGNED | KIR_MEM_ATOMIC;
}

static KirType word_type(unsigned size) { return size == KIR_MEM_32 ? KIR_I32 : KIR_I64; }

static KirRef word_of(RvTranslator *t, KirType type, KirRef value) {
    return type == KIR_I32 ? rv_emit1(t, KIR_TRUNC, KIR_I32, value) : value;
}

// p: KIR_MEM_32 or KIR_MEM_64, in all of these
bool rv_lr(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    KirRef address = rv_x(t, i->rs1);
    unsigned mem = p | order(i) | (p == KIR_MEM_32 ? KIR_MEM_SIGNED : 0u);
    KirRef value = kir_load(t->b, KIR_I64, mem, address, 0);
    kir_set(t->b, RV_GLOBAL_RES_ADDRESS, address);
    kir_set(t->b, RV_GLOBAL_RES_VALUE, value);
    return rv_set_x(t, i->rd, value);
}

static void fail_unless_reserved(RvTranslator *t, const RvInsn *i, KirRef address) {
    KirRef reserved = kir_get(t->b, RV_GLOBAL_RES_ADDRESS), old_rd = rv_x(t, i->rd);
    KirRef mismatch = rv_cmp(t, KIR_NE, KIR_I64, address, reserved);
    KirInsn insn = t->b->block->insns[mismatch];
    if (insn.op == KIR_CONST && !insn.imm) return;
    rv_set_x(t, i->rd, rv_const(t, 1));
    kir_set(t->b, RV_GLOBAL_RES_ADDRESS, rv_const(t, (int64_t)RV_NO_RESERVATION));
    kir_exit_if(t->b, mismatch, kir_exit_direct(t->b, t->next));
    rv_set_x(t, i->rd, old_rd);
    kir_set(t->b, RV_GLOBAL_RES_ADDRESS, reserved);
}

bool rv_sc(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    KirType type = word_type(p);
    KirRef address = rv_x(t, i->rs1), value = word_of(t, type, rv_x(t, i->rs2));
    fail_unless_reserved(t, i, address);
    KirRef expected = word_of(t, type, kir_get(t->b, RV_GLOBAL_RES_VALUE));
    KirRef old = kir_emit(t->b, KIR_CAS, type, p | order(i), address, expected, value);
    rv_set_bool(t, i->rd, rv_cmp(t, KIR_NE, type, old, expected));
    kir_set(t->b, RV_GLOBAL_RES_ADDRESS, rv_const(t, (int64_t)RV_NO_RESERVATION));
    return true;
}

// q: KirAmo
bool rv_amo(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    KirType type = word_type(p);
    KirRef value = word_of(t, type, rv_x(t, i->rs2));
    KirRef old = kir_emit(t->b, KIR_AMO, type, p | order(i), rv_x(t, i->rs1), value, q);
    return type == KIR_I32 ? rv_set_x32(t, i->rd, old) : rv_set_x(t, i->rd, old);
}

static void fence(RvTranslator *t, unsigned kinds) { kir_emit(t->b, KIR_FENCE, KIR_VOID, kinds, KIR_NONE, KIR_NONE, KIR_NONE); }

// Device input orders as a read, output as a write. A fence between nothing and something is a hint.
bool rv_fence(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    enum { IN = 8, OUT = 4, READ = 2, WRITE = 1 };
    unsigned kinds = (i->pred & (IN | READ) ? KIR_FENCE_PR : 0u) | (i->pred & (OUT | WRITE) ? KIR_FENCE_PW : 0u) |
                     (i->succ & (IN | READ) ? KIR_FENCE_SR : 0u) | (i->succ & (OUT | WRITE) ? KIR_FENCE_SW : 0u);
    if (i->pred && i->succ) fence(t, kinds);
    return true;
}

// Everything but an earlier write against a later read.
bool rv_fence_tso(RvTranslator *t, const RvInsn *i, unsigned p, unsigned q) {
    fence(t, KIR_FENCE_PR | KIR_FENCE_SR | KIR_FENCE_SW);
    fence(t, KIR_FENCE_PW | KIR_FENCE_SW);
    return true;
}
