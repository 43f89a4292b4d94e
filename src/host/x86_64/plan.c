// SPDX-License-Identifier: MIT
//
// One pass backwards over a block, before code is written.
//
// It finds the last use of every value (0: dead, nothing is written for it), which values share a register because the operation
// between them is free (`root`), which comparisons are repeated as flags by their consumers instead of being computed, and the
// pinned register into which a value should be computed (`hint`), so that the SET that follows costs nothing.
//
// A hint v -> r holds between v's definition and its SET: r then holds v although the guest register still has its old value.
// So nothing may lie in between that needs the old value at home: no fault, no exit, no call, no GET or SET of that global.
#include "host/x86_64/emit.h"

typedef struct Pending {
    KirRef value;
    uint8_t reg, xmm;
} Pending;
typedef struct Plan {
    Emit *e;
    Pending pending[32];
    unsigned pending_count;
} Plan;

static bool is_vector_type(KirType type) { return type >= KIR_I128; }

bool plan_is_fused(const Emit *e, KirRef v) { return e->insns[v].op == KIR_CMP && !(e->values[v].flags & VALUE_NEEDED); }

// 32-bit operations clear the upper half of the host register, so widening their result is free.
static bool clears_upper_half(const KirInsn *insn) {
    if (insn->type != KIR_I32) return false;
    switch (insn->op) {
    case KIR_ADD:
    case KIR_SUB:
    case KIR_AND:
    case KIR_OR:
    case KIR_XOR:
    case KIR_NOT:
    case KIR_NEG:
    case KIR_SHL:
    case KIR_SHR:
    case KIR_SAR:
    case KIR_ROTR:
    case KIR_MUL:
    case KIR_CLZ:
    case KIR_CTZ:
    case KIR_POPCNT:
    case KIR_BSWAP: return true;
    case KIR_LOAD: return true;
    default: return false;
    }
}

// The operand whose register this instruction's result is, or KIR_NONE.
static KirRef shared_operand(const Emit *e, const KirInsn *insn) {
    const KirInsn *a = &e->insns[insn->a];
    switch (insn->op) {
    case KIR_TRUNC:
        // A truth value must be 0 or 1; constants are cut where they are used.
        return insn->type == KIR_I1 || a->op == KIR_CONST ? KIR_NONE : insn->a;
    case KIR_ZEXT:
        if (a->op == KIR_CONST) return KIR_NONE;
        if (kir_result_type(a) == KIR_I1) return insn->a;
        return clears_upper_half(a) ? insn->a : KIR_NONE;
    case KIR_BITCAST:
        return is_vector_type(kir_result_type(a)) == is_vector_type((KirType)insn->type) && a->op != KIR_CONST ? insn->a : KIR_NONE;
    default: return KIR_NONE;
    }
}

static void use(Emit *e, KirRef v, uint32_t at, bool needed) {
    Value *value = &e->values[v];
    if (value->last_use < at) value->last_use = at;
    if (needed) value->flags |= VALUE_NEEDED;
}

static void cancel_pending(Plan *p, uint32_t at) {
    unsigned kept = 0;
    for (unsigned i = 0; i < p->pending_count; i++) {
        Pending *pending = &p->pending[i];
        if (pending->value < at) p->e->values[pending->value].hint = NO_REG;
        else if (pending->value > at) continue; // its definition lies behind: settled
        else p->pending[kept++] = *pending;
    }
    p->pending_count = kept;
}

static void cancel_register(Plan *p, uint32_t at, unsigned reg, bool xmm) {
    for (unsigned i = 0; i < p->pending_count; i++) {
        Pending *pending = &p->pending[i];
        if (pending->reg != reg || pending->xmm != xmm) continue;
        if (pending->value < at) p->e->values[pending->value].hint = NO_REG;
        *pending = p->pending[--p->pending_count];
        return;
    }
}

static void plan_set(Plan *p, uint32_t at, const KirInsn *insn) {
    Emit *e = p->e;
    use(e, insn->b, at, true);
    bool xmm = e->host->gpr_of_global[insn->a] == NO_REG;
    unsigned reg = xmm ? e->host->xmm_of_global[insn->a] : e->host->gpr_of_global[insn->a];
    if (reg == NO_REG) return;
    cancel_register(p, at, reg, xmm);
    const KirInsn *def = &e->insns[insn->b];
    if (def->op == KIR_CONST || def->op == KIR_GET || p->pending_count == 32) return;
    // A value set twice keeps the earlier register (visited last).
    for (unsigned i = 0; i < p->pending_count; i++)
        if (p->pending[i].value == insn->b) p->pending[i--] = p->pending[--p->pending_count];
    e->values[insn->b].hint = (uint8_t)reg;
    p->pending[p->pending_count++] = (Pending){insn->b, (uint8_t)reg, xmm};
}

// Fault entries of this instruction keep their values alive up to it.
static void use_fault_entries(Emit *e, uint32_t at, uint32_t *next) {
    const KirBlock *kir = e->kir;
    while (*next && kir->faults[*next - 1].at >= at) {
        if (kir->faults[*next - 1].at == at) use(e, kir->faults[*next - 1].value, at, true);
        --*next;
    }
}

static void plan_operands(Emit *e, uint32_t at, KirInsn *insn) {
    uint32_t *refs[3];
    int n = kir_operands(insn, refs);
    bool selects = insn->op == KIR_SELECT && !e->host->options->eval_all; // the evaluator needs the truth value itself
    // The target takes a register, and comparing narrow operands takes all four temporaries.
    bool exits_indirectly = insn->op == KIR_EXIT_IF_IND && e->insns[insn->a].type >= KIR_I32;
    bool takes_flags = insn->op == KIR_EXIT_IF || exits_indirectly || insn->op == KIR_EXIT_COND || selects;
    for (int i = 0; i < n; i++) {
        if (*refs[i] == KIR_NONE) continue;
        bool as_flags = takes_flags && refs[i] == &insn->a && e->insns[insn->a].op == KIR_CMP;
        use(e, *refs[i], at, !as_flags);
    }
}

static void plan_value(Plan *p, uint32_t at, KirInsn *insn) {
    Emit *e = p->e;
    Value *value = &e->values[at];
    value->xmm = is_vector_type(kir_result_type(insn));
    KirRef shared = shared_operand(e, insn);
    if (shared != KIR_NONE) {
        // One register for both: the operand lives as long, and takes over the hint if it is defined where the hint holds.
        use(e, shared, value->last_use, true);
        use(e, shared, at, true);
        value->root = shared;
        for (unsigned i = 0; i < p->pending_count; i++) {
            if (p->pending[i].value != at) continue;
            const KirInsn *def = &e->insns[shared];
            bool possible = def->op != KIR_GET && def->op != KIR_CONST && e->values[shared].hint == NO_REG;
            if (possible) {
                p->pending[i].value = shared;
                e->values[shared].hint = value->hint;
            } else {
                p->pending[i--] = p->pending[--p->pending_count];
            }
        }
        value->hint = NO_REG;
        return;
    }
    if (plan_is_fused(e, at)) {
        uint32_t until = value->last_use;
        use(e, insn->a, until, true);
        use(e, insn->b, until, true);
        return;
    }
    plan_operands(e, at, insn);
}

static void plan_instruction(Plan *p, uint32_t at, uint32_t *next_fault) {
    Emit *e = p->e;
    KirInsn insn = e->insns[at];
    Value *value = &e->values[at];
    const KirOpInfo *info = &kir_op_info[insn.op];
    if (info->flags & (KIR_FLAG_FAULT | KIR_FLAG_SIDE_EXIT | KIR_FLAG_END | KIR_FLAG_CALL)) {
        cancel_pending(p, at);
        use_fault_entries(e, at, next_fault);
    }
    switch (insn.op) {
    case KIR_NOP:
    case KIR_INSN:
    case KIR_COUNT: return;
    case KIR_SET: plan_set(p, at, &insn); return;
    case KIR_GET: {
        value->xmm = is_vector_type((KirType)insn.type);
        if (e->host->gpr_of_global[insn.a] != NO_REG) cancel_register(p, at, e->host->gpr_of_global[insn.a], false);
        if (e->host->xmm_of_global[insn.a] != NO_REG) cancel_register(p, at, e->host->xmm_of_global[insn.a], true);
        return;
    }
    case KIR_CONST:
    case KIR_CONSTV: value->xmm = is_vector_type((KirType)insn.type); return;
    default: break;
    }
    bool dead = info->flags & KIR_FLAG_PURE && !value->last_use;
    if (dead) return;
    if (info->result != '-' && insn.type != KIR_VOID) plan_value(p, at, &insn);
    else plan_operands(e, at, &insn);
}

void plan(Emit *e) {
    uint32_t count = e->kir->count;
    for (uint32_t i = 0; i < count; i++)
        e->values[i] = (Value){.root = i, .home = NO_GLOBAL, .slot = NO_SLOT, .reg = NO_REG, .hint = NO_REG};
    Plan p; // not zeroed: `pending` is most of it
    p.e = e;
    p.pending_count = 0;
    uint32_t next_fault = e->kir->fault_count;
    for (uint32_t i = count; i-- > 0;) plan_instruction(&p, i, &next_fault);
    // Chains of shared registers lead to their first definition.
    for (uint32_t i = 0; i < count; i++)
        if (e->values[i].root != i) e->values[i].root = e->values[e->values[i].root].root;
}
