// SPDX-License-Identifier: MIT
//
// Folding of a finished block: every instruction goes through a fresh builder, which folds, merges and
// forwards as it does for a translator. A block that one builder has made from start to end has nothing to
// find and is left at once; work is done for parsed blocks, blocks read from a file, and paths made of
// several blocks.
#include "ir/fold.h"
#include "ir/passes.h"

// Slots of a copied instruction, with references renamed.
static KirInsn renamed(const KirInsn *insn, const KirRef *names) {
    KirInsn copy = *insn;
    unsigned refs = kir_op_facts[insn->op].refs;
    if ((refs & 1) && copy.a != KIR_NONE) copy.a = names[copy.a];
    if ((refs & 2) && copy.b != KIR_NONE) copy.b = names[copy.b];
    if ((refs & 4) && copy.c != KIR_NONE) copy.c = names[copy.c];
    return copy;
}

static KirRef rebuild(KirBuilder *b, const KirInsn *insn, const KirRef *names) {
    KirInsn t = renamed(insn, names);
    switch (t.op) {
    case KIR_NOP: return KIR_NONE;
    case KIR_INSN: kir_insn_start(b, t.imm, t.aux); return KIR_NONE;
    case KIR_CONST: return t.aux == KIR_IMAGE ? kir_image(b, t.imm) : kir_const(b, (KirType)t.type, t.imm);
    case KIR_CONSTV: {
        KirWide wide = b->block->wides[t.a];
        return kir_constv(b, (KirType)t.type, wide.lo, wide.hi);
    }
    case KIR_EXIT_IF: kir_exit_if(b, t.a, t.b); return KIR_NONE;
    case KIR_EXIT: kir_exit(b, t.a); return KIR_NONE;
    case KIR_EXIT_COND: kir_exit_cond(b, t.a, t.b, t.c); return KIR_NONE;
    case KIR_EXIT_IND: kir_exit_ind(b, t.a, (KirJumpHint)t.aux); return KIR_NONE;
    default: return kir_emit(b, (KirOp)t.op, (KirType)t.type, t.aux, t.a, t.b, t.c);
    }
}

// A fault entry moves with its instruction (now the last one), or vanishes with it (a side exit that is never
// taken).
static uint32_t move_faults(KirBlock *block, uint32_t old, bool emitted, uint32_t next, uint32_t *kept, const KirRef *names) {
    for (; next < block->fault_count && block->faults[next].at == old; next++) {
        if (!emitted) continue;
        KirFaultEntry entry = block->faults[next];
        entry.at = block->count - 1;
        entry.value = names[entry.value];
        block->faults[(*kept)++] = entry;
    }
    return next;
}

void kir_pass_fold(KirBlock *block) {
    if (block->folded) return;
    uint32_t count = block->count, next_fault = 0, faults = 0;
    const KirInsn *old = block->insns;
    KirRef *names = arena_alloc(block->arena, (count + 1) * sizeof *names);
    block->insns = NULL;
    block->count = block->capacity = 0;
    KirBuilder b;
    kir_builder_init(&b, block);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t before = block->count;
        names[i] = rebuild(&b, &old[i], names);
        next_fault = move_faults(block, i, block->count > before, next_fault, &faults, names);
    }
    block->fault_count = faults;
}
