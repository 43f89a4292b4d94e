// SPDX-License-Identifier: MIT
//
// Short loops that sum up are repeated.
//
// Each round of such a loop waits for the sum of the one before it. How many rounds of this loop, and of the next one behind it, a processor has in
// work at a time depends on how few operations there are besides, above all of those that wait for the sum too: the second look at each multiply-add
// whose sum is NaN (lazy.c). Of rounds in a row there is one look and one poll, so a block that leads to itself is put in several times, each
// leading to the next one.
#include <string.h>
#include "opt/lower.h"

enum { REPEATED = 4, MOST_OPERATIONS = 48 };

static const KirInsn *without_box(const KirBlock *kir, KirRef v) {
    const KirInsn *insn = &kir->insns[v];
    return insn->op == KIR_NANBOX || insn->op == KIR_NANUNBOX ? &kir->insns[insn->a] : insn;
}

static bool adds_to(const KirBlock *kir, const KirInsn *sum, unsigned global) {
    KirRef operands[2] = {sum->op == KIR_FMA ? sum->c : sum->a, sum->op == KIR_FADD  ? sum->b
                                                                : sum->op == KIR_FMA ? sum->c
                                                                                     : sum->a};
    for (int i = 0; i < 2; i++) {
        const KirInsn *from = without_box(kir, operands[i]);
        if (from->op == KIR_GET && from->a == global) return true;
    }
    return false;
}

static bool sums_up(const KirBlock *kir) {
    for (uint32_t i = 0; i < kir->count; i++) {
        const KirInsn *set = &kir->insns[i];
        if (set->op != KIR_SET) continue;
        const KirInsn *sum = without_box(kir, set->b);
        bool adds = sum->op == KIR_FMA || sum->op == KIR_FADD || sum->op == KIR_FSUB;
        if (adds && adds_to(kir, sum, set->a)) return true;
    }
    return false;
}

static bool leads_to(const TraceRequest *request, uint32_t from, uint32_t exit, uint32_t to) {
    const KirBlock *kir = request->blocks[from].kir;
    int32_t next = request->blocks[from].next[exit];
    if (next != TRACE_LEAVES) return next == (int32_t)to;
    return kir->exits[exit].kind == KIR_EXIT_DIRECT && kir->exits[exit].target == request->blocks[to].kir->pc;
}

// Another block begins inside it: its loop consists of several.
static bool is_cut(const TraceRequest *request, uint32_t number) {
    const KirBlock *kir = request->blocks[number].kir;
    for (uint32_t i = 0; i < kir->count; i++)
        for (uint32_t j = 0; kir->insns[i].op == KIR_INSN && j < request->block_count; j++)
            if (j != number && request->blocks[j].kir->pc == kir->insns[i].imm) return true;
    return false;
}

static bool is_repeated(const TraceRequest *request, uint32_t number) {
    const KirBlock *kir = request->blocks[number].kir;
    if (kir->count > MOST_OPERATIONS || kir->insns[kir->count - 1].op != KIR_EXIT_COND || !sums_up(kir)) return false;
    const KirInsn *last = &kir->insns[kir->count - 1];
    return leads_to(request, number, last->b, number) != leads_to(request, number, last->c, number) && !is_cut(request, number);
}

static void put_in(const TraceRequest *request, Arena *arena, TraceBlock *block, uint32_t from, uint32_t to) {
    uint32_t exits = request->blocks[from].kir->exit_count;
    int32_t *next = arena_alloc(arena, (exits + 1) * sizeof *next);
    for (uint32_t i = 0; i < exits; i++) next[i] = leads_to(request, from, i, from) ? (int32_t)to : request->blocks[from].next[i];
    *block = request->blocks[from];
    block->next = next;
    block->weight = block->weight / REPEATED + 1;
}

const TraceRequest *repeat_loops(Lower *l) {
    const TraceRequest *request = l->request;
    bool wanted = dies_at_faults(l) && !(request->options & TRACE_EVAL_ALL);
    uint32_t count = request->block_count;
    TraceBlock *blocks = arena_alloc(l->arena, count * REPEATED * sizeof *blocks);
    l->origin = arena_alloc(l->arena, count * REPEATED * sizeof *l->origin);
    memcpy(blocks, request->blocks, count * sizeof *blocks);
    TraceRequest *more = memcpy(arena_alloc(l->arena, sizeof *more), request, sizeof *request);
    for (uint32_t i = 0; i < count; i++) l->origin[i] = i;
    for (uint32_t i = 0; i < count; i++) {
        if (!wanted || !is_repeated(request, i)) continue;
        uint32_t first = more->block_count;
        for (uint32_t round = 0; round < REPEATED; round++) {
            uint32_t at = round ? first + round - 1 : i, next = round == REPEATED - 1 ? i : first + round;
            put_in(request, l->arena, &blocks[at], i, next);
            l->origin[at] = i;
        }
        more->block_count += REPEATED - 1;
    }
    more->blocks = blocks;
    return more;
}
