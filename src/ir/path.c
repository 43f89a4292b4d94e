// SPDX-License-Identifier: MIT
//
// Paths: blocks that run one after the other become one block.
//
//   A: ... exit_cond c ? B : X                 ... exit_if !c -> X
//   B: ... exit_ind ra       (went to C)       ... exit_if_ind ra != C -> ra
//   C: ... exit A                              ... exit A
//
// One builder makes the whole, so constants, known globals and equal operations are seen across the former borders.
//
// Polls. A cycle of blocks contains an edge that does not go forward, and that edge polls: a direct one by itself, an indirect one
// through the cache of targets. An edge that a path swallows loses that; a path that swallows one which does not go forward polls once,
// where it begins, and so does every cycle that goes through it.
#include "ir/fold.h"

static const KirInsn *final_exit(const KirBlock *block) { return &block->insns[block->count - 1]; }

static bool is_direct(const KirBlock *block, uint32_t exit, uint64_t to) {
    return block->exits[exit].kind == KIR_EXIT_DIRECT && block->exits[exit].target == to;
}

bool kir_leads_to(const KirBlock *from, uint64_t to) {
    const KirInsn *exit = final_exit(from);
    switch (exit->op) {
    case KIR_EXIT: return is_direct(from, exit->a, to);
    case KIR_EXIT_COND: return is_direct(from, exit->b, to) || is_direct(from, exit->c, to);
    case KIR_EXIT_IND: return true;
    default: return false;
    }
}

static uint64_t last_pc(const KirBlock *block) {
    for (uint32_t i = block->count; i-- > 0;)
        if (block->insns[i].op == KIR_INSN) return block->insns[i].imm;
    return block->pc;
}

static unsigned copy_exit(KirBuilder *b, KirExit exit) {
    exit.image = 0;
    return kir_exit_new(b, exit);
}

// Everything but the final exit.
static void copy_body(KirBuilder *b, const KirBlock *from, KirRef *names) {
    for (uint32_t i = 0; i + 1 < from->count; i++) {
        KirInsn insn = from->insns[i];
        if (insn.op == KIR_EXIT_IF) insn.b = copy_exit(b, from->exits[insn.b]);
        else if (insn.op == KIR_POLL) insn.a = copy_exit(b, from->exits[insn.a]);
        names[i] = kir_rebuild(b, from, &insn, names);
    }
}

// The exit_cond of `from` where it is known to go on at `next`.
static void leave_elsewhere(KirBuilder *b, const KirBlock *from, KirRef condition, uint64_t next) {
    const KirInsn *exit = final_exit(from);
    bool taken = is_direct(from, exit->b, next), both = taken && is_direct(from, exit->c, next);
    if (both) return;
    if (taken) condition = kir_emit(b, KIR_NOT, KIR_I1, 0, condition, KIR_NONE, KIR_NONE);
    kir_exit_if(b, condition, copy_exit(b, from->exits[taken ? exit->c : exit->b]));
}

// False: it does not lead there.
static bool go_on(KirBuilder *b, const KirBlock *from, const KirRef *names, uint64_t next) {
    const KirInsn *exit = final_exit(from);
    if (!kir_leads_to(from, next)) return false;
    if (exit->op == KIR_EXIT_COND) {
        leave_elsewhere(b, from, names[exit->a], next);
    } else if (exit->op == KIR_EXIT_IND) {
        KirRef target = names[exit->a], expected = kir_const(b, KIR_I64, next);
        KirRef differs = kir_emit(b, KIR_CMP, KIR_I64, KIR_NE, target, expected, KIR_NONE);
        kir_exit_if_ind(b, differs, target, (KirJumpHint)exit->aux);
    }
    return true;
}

static void leave(KirBuilder *b, const KirBlock *from, const KirRef *names) {
    const KirInsn *exit = final_exit(from);
    switch (exit->op) {
    case KIR_EXIT: kir_exit(b, copy_exit(b, from->exits[exit->a])); break;
    case KIR_EXIT_COND: {
        unsigned taken = copy_exit(b, from->exits[exit->b]), other = copy_exit(b, from->exits[exit->c]);
        kir_exit_cond(b, names[exit->a], taken, other);
        break;
    }
    default: kir_exit_ind(b, names[exit->a], (KirJumpHint)exit->aux); break;
    }
}

static bool swallows_backward_edge(const KirBlock *const *blocks, unsigned count) {
    for (unsigned i = 0; i + 1 < count && kir_leads_to(blocks[i], blocks[i + 1]->pc); i++)
        if (blocks[i + 1]->pc <= last_pc(blocks[i])) return true;
    return false;
}

KirBlock *kir_path(Arena *arena, const KirBlock *const *blocks, unsigned count, unsigned *joined) {
    const KirBlock *first = blocks[0];
    KirBlock *path = kir_block_new(arena, first->world, first->pc, first->mode);
    path->pinned = first->pinned;
    uint32_t longest = 0;
    for (unsigned i = 0; i < count; i++)
        if (blocks[i]->count > longest) longest = blocks[i]->count;
    KirRef *names = arena_alloc_raw(arena, longest * sizeof *names);
    KirBuilder b;
    kir_builder_init(&b, path);
    if (swallows_backward_edge(blocks, count)) {
        kir_insn_start(&b, path->pc, 0);
        kir_emit(&b, KIR_POLL, KIR_VOID, 0, kir_exit_direct(&b, path->pc), KIR_NONE, KIR_NONE);
    }
    for (unsigned i = 0; i < count; i++) {
        copy_body(&b, blocks[i], names);
        path->guest_insns += blocks[i]->guest_insns;
        *joined = i + 1;
        if (i + 1 < count && go_on(&b, blocks[i], names, blocks[i + 1]->pc)) continue;
        leave(&b, blocks[i], names);
        break;
    }
    return path;
}
