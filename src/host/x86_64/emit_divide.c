// SPDX-License-Identifier: MIT
//
// Division. KIR's is total, x86's traps: a divisor of 0, and -1 for signed ones, go to cold paths. A 64-bit division whose operands
// both fit 32 bits is done in 32 bits, which takes a third of the time on many machines.
//
// rax holds the dividend and the quotient; rdx is a pinned register and waits in r10.
#include "host/x86_64/emit.h"

enum { DIVIDEND, DIVISOR }; // Cold.regs

static bool is_signed(const KirInsn *insn) { return insn->op == KIR_DIVS || insn->op == KIR_REMS; }
static bool is_remainder(const KirInsn *insn) { return insn->op == KIR_REMU || insn->op == KIR_REMS; }

static void cold_zero(Emit *e, const Cold *cold) {
    if (is_remainder(&e->insns[cold->index])) x_mov_rr(&e->c, 1, RAX, cold->regs[DIVIDEND]);
    else x_mov_ri(&e->c, RAX, ~0ull);
}

static void cold_minus_one(Emit *e, const Cold *cold) {
    if (is_remainder(&e->insns[cold->index])) {
        x_mov_ri(&e->c, RAX, 0);
    } else {
        x_mov_rr(&e->c, 1, RAX, cold->regs[DIVIDEND]);
        x_rr(&e->c, 0xf7, 1, 3, RAX); // neg
    }
}

static void divide(Code *c, unsigned w, bool sign, unsigned divisor) {
    if (sign) {
        if (w) emit8(c, 0x48);
        emit8(c, 0x99); // cqo, cdq
    } else {
        x_alu_rr(c, X_XOR, 0, RDX, RDX);
    }
    x_rr(c, 0xf7, w, sign ? 7 : 6, divisor);
}

void emit_divide(Emit *e, KirRef v, const KirInsn *insn) {
    Code *c = &e->c;
    unsigned w = insn->type == KIR_I64;
    take_gpr(e, RAX);
    take_gpr(e, R10);
    unsigned a = use_gpr(e, insn->a), b = use_gpr(e, insn->b);
    Cold *paths[2] = {0};
    bool known = is_const(e, insn->b);
    int64_t constant = known ? const_of(e, insn->b) : 0;
    if (!known || constant == 0) {
        x_test_rr(c, w, b, b);
        paths[0] = cold_path(e, cold_zero, x_jcc(c, CC_E, NULL));
    }
    if (is_signed(insn) && (!known || constant == -1)) {
        x_alu_ri(c, X_CMP, w, b, -1);
        paths[1] = cold_path(e, cold_minus_one, x_jcc(c, CC_E, NULL));
    }
    x_mov_rr(c, 1, R10, RDX);
    x_mov_rr(c, 1, RAX, a);
    unsigned divisor = b == RDX ? R10 : b;
    if (w) {
        x_mov_rr(c, 1, RDX, RAX);
        x_alu_rr(c, X_OR, 1, RDX, divisor);
        x_shift_ri(c, X_SHR, 1, RDX, 32);
        uint8_t *narrow = x_jcc_short(c, CC_E);
        divide(c, 1, is_signed(insn), divisor);
        uint8_t *done = x_jmp_short(c);
        x_bind_short(c, narrow);
        divide(c, 0, false, divisor);
        x_bind_short(c, done);
    } else {
        divide(c, 0, is_signed(insn), divisor);
    }
    if (is_remainder(insn)) x_mov_rr(c, 1, RAX, RDX);
    x_mov_rr(c, 1, RDX, R10);
    for (int i = 0; i < 2; i++) {
        if (!paths[i]) continue;
        paths[i]->regs[DIVIDEND] = (uint8_t)a;
        paths[i]->regs[DIVISOR] = (uint8_t)b;
        paths[i]->back = c->p;
    }
    result_in_gpr(e, v, RAX);
}
