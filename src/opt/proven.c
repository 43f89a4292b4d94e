// SPDX-License-Identifier: MIT
//
// Accesses that cannot fault, because others before them in the trace did not.
//
// While memory is private, nothing maps, unmaps or protects memory inside a trace: system calls end it, and a signal waits for a poll to
// be left by. So a page that was read can be read, a page that was written can be written and read. Addresses are taken apart into a
// *root*, a value that nothing more is known of, and a distance from it. If two bytes at most a page apart were accessed, everything between
// them lies in the same two pages: for each root a stretch is kept, and grows. A block with one way into it goes on with what was known there.
#include <string.h>
#include "opt/lower.h"

enum { PAGE = 4096 };

static Sum fresh(Lower *l) { return (Sum){.root = ++l->roots}; }

static Known *known_new(Lower *l) {
    Known *known = arena_alloc(l->arena, sizeof *known);
    for (unsigned i = 0; i < l->request->world.global_count; i++) known->globals[i] = fresh(l);
    return known;
}

void known_start_block(Lower *l, uint32_t number) {
    LowerBlock *block = &l->blocks[number];
    l->known = block->ways_in == 1 && block->known ? block->known : known_new(l);
    l->sums = arena_alloc(l->arena, l->kir->count * sizeof *l->sums);
}

// On a way to a block further on.
void known_pass_on(Lower *l, uint32_t number) {
    LowerBlock *block = &l->blocks[number];
    if (block->ways_in != 1) return;
    block->known = arena_alloc_raw(l->arena, sizeof *block->known);
    *block->known = *l->known;
}

static bool constant_of(const Lower *l, KirRef v, int64_t *value) {
    if (!kir_is_const(l->kir, v)) return false;
    *value = (int64_t)l->kir->insns[v].imm;
    return true;
}

static Sum sum_of(Lower *l, const KirInsn *insn) {
    int64_t value;
    if (insn->type == KIR_I64 && insn->op == KIR_CONST) return (Sum){0, (int64_t)insn->imm};
    if (insn->op == KIR_GET) return l->known->globals[insn->a];
    if (insn->type != KIR_I64 || (insn->op != KIR_ADD && insn->op != KIR_SUB)) return fresh(l);
    Sum sum = l->sums[insn->a];
    if (constant_of(l, insn->b, &value)) {
        sum.distance = (int64_t)((uint64_t)sum.distance + (insn->op == KIR_ADD ? (uint64_t)value : -(uint64_t)value));
        return sum;
    }
    if (insn->op == KIR_SUB || !constant_of(l, insn->a, &value)) return fresh(l);
    sum = l->sums[insn->b];
    sum.distance = (int64_t)((uint64_t)sum.distance + (uint64_t)value);
    return sum;
}

void known_step(Lower *l, const KirInsn *insn) {
    Known *known = l->known;
    if (insn->op == KIR_SET) known->globals[insn->a] = l->sums[insn->b];
    else if (kir_result_type(insn) != KIR_VOID) l->sums[l->index] = sum_of(l, insn);
    if (insn->op != KIR_CALL && insn->op != KIR_CALL3) return;
    known->stretch_count = 0;
    if (!(helper_flags(l->kir, insn) & KIR_HELPER_WRITES_GLOBALS)) return;
    for (unsigned i = 0; i < l->request->world.global_count; i++) known->globals[i] = fresh(l);
}

// ---- stretches --------------------------------------------------------------------------------------------------------------------
// Addresses wrap: distances are compared where they cannot overflow.
static bool is_moderate(int64_t distance) { return distance > -(1ll << 40) && distance < 1ll << 40; }

static Stretch *stretch_of(Known *known, uint32_t root, bool writes) {
    for (unsigned i = 0; i < known->stretch_count; i++)
        if (known->stretches[i].root == root && known->stretches[i].writes == writes) return &known->stretches[i];
    return NULL;
}

static bool covers(const Stretch *s, int64_t start, int64_t end) { return s && s->start <= start && end <= s->end; }

// Whether [start, end) may be added: no whole page lies between.
static bool is_near(const Stretch *s, int64_t start, int64_t end) { return start - s->end < PAGE && s->start - end < PAGE; }

static void add(Known *known, uint32_t root, bool writes, int64_t start, int64_t end) {
    Stretch *s = stretch_of(known, root, writes);
    if (s && is_near(s, start, end)) {
        if (start < s->start) s->start = start;
        if (end > s->end) s->end = end;
        return;
    }
    if (!s) {
        if (known->stretch_count < MOST_STRETCHES) s = &known->stretches[known->stretch_count++];
        else s = &known->stretches[known->oldest++ % MOST_STRETCHES];
    }
    *s = (Stretch){start, end, root, writes};
}

bool is_proven(Lower *l, const KirInsn *insn, int32_t displacement, unsigned bytes, bool writes) {
    if (!private_memory(l)) return false;
    Sum sum = l->sums[insn->a];
    if (!is_moderate(sum.distance)) return false;
    int64_t start = sum.distance + displacement, end = start + bytes;
    if (covers(stretch_of(l->known, sum.root, true), start, end)) return true;
    if (!writes && covers(stretch_of(l->known, sum.root, false), start, end)) return true;
    add(l->known, sum.root, writes, start, end);
    return false;
}
