// SPDX-License-Identifier: MIT
//
// Registers whose value is put into its final form only where somebody looks.
//
// The canonical NaN, and a single in its box, are forms that arithmetic does not care about. Between two operations a register may hold
//
//   LAZY_NAN      a double, the result of arithmetic, that is any NaN where it should be the canonical one
//   LAZY_BOX      a single that is in l->single[] alone; the box is not made
//   LAZY_BOTH     a single, the result of arithmetic: any NaN, and no box
//
// which of them is known at each place of the code (forward, over the blocks' edges). Exits, calls and operations that look at bits have the
// register *shown*. Where ways meet that do not agree, it is shown on the edges, if somebody may look at it before it is written again
// (backward, `seen`); else it is LAZY_MIXED there, and nobody looks. So the sum of a loop is looked at behind the loop. In exact mode each access
// looks at registers, and nothing is lazy.
//
// Flags of multiply-add: x86 does not call infinity times zero invalid when a quiet NaN is added. Each sum that is NaN wants a second look, at
// its factors, but not at once: what is computed from a NaN is a NaN. A *chain* is a row of factors, and the last value that depends on
// all of their sums (`tail`). If that is no NaN, none of them was; if it is, the factors are looked at, in any order: the flag is sticky. A chain
// ends where flags may be read (exits, calls, fgetflags), and where ways meet; over an edge that is the only way to its target it goes on.
#include <string.h>
#include "opt/lower.h"

// The evaluator has no use for the single beside a register.
static bool may_be_lazy(const Lower *l) { return dies_at_faults(l) && !(l->request->options & TRACE_EVAL_ALL); }

static bool is_lazy_result(const KirInsn *insn) {
    switch (insn->op) {
    case KIR_FADD ... KIR_FMA:
    case KIR_FTOF:
    case KIR_FROUND: return (insn->type == KIR_F32 || insn->type == KIR_F64) && takes_any_nan(insn);
    default: return false;
    }
}

// A SET that shows its value to nobody, not even later.
bool is_lazy_set(const Lower *l, const KirBlock *kir, const KirInsn *insn) {
    if (!may_be_lazy(l)) return false;
    const KirInsn *value = &kir->insns[insn->b];
    if (l->single[insn->a]) return value->op == KIR_NANBOX && is_lazy_result(&kir->insns[value->a]);
    return value->type == KIR_F64 && is_lazy_result(value);
}

Lazy lazy_of_set(const Lower *l, uint32_t number, const KirInsn *insn) {
    const KirBlock *kir = l->request->blocks[number].kir;
    const KirInsn *value = &kir->insns[insn->b];
    const bool *exact = l->blocks[number].exact;
    if (!may_be_lazy(l)) return LAZY_NONE;
    bool boxed = l->single[insn->a] && value->op == KIR_NANBOX;
    bool any_nan = is_lazy_set(l, kir, insn) && !exact[boxed ? value->a : insn->b];
    return boxed ? (any_nan ? LAZY_BOTH : LAZY_BOX) : any_nan ? LAZY_NAN : LAZY_NONE;
}

// ---- who looks ----------------------------------------------------------------------------------------------------------------
// GETs that are used for more than the single that is boxed in them.
static void find_boxes_needed(const Lower *l, uint32_t number) {
    LowerBlock *block = &l->blocks[number];
    const KirBlock *kir = l->request->blocks[number].kir;
    for (uint32_t i = 0; i < block->end; i++) {
        KirInsn insn = kir->insns[i];
        uint32_t *refs[3];
        if (insn.op == KIR_NANUNBOX) continue;
        for (int n = kir_operands(&insn, refs); n-- > 0;)
            if (*refs[n] != KIR_NONE) block->needs_box[*refs[n]] = true;
    }
}

static bool looks(const Lower *l, uint32_t number, uint32_t index) {
    const LowerBlock *block = &l->blocks[number];
    const KirInsn *insn = &l->request->blocks[number].kir->insns[index];
    return block->exact[index] || (l->single[insn->a] && block->needs_box[index]);
}

static void see_all(GlobalSet *seen) { memset(seen, 0xff, sizeof *seen); }

// On the way back, the thread may be asked to stop.
static void see_behind(const Lower *l, uint32_t number, int32_t next, GlobalSet *seen) {
    if (next == TRACE_LEAVES || l->blocks[next].order <= l->blocks[number].order) see_all(seen);
    else
        for (unsigned i = 0; i < LOWER_GLOBALS / 64; i++) seen->bits[i] |= l->blocks[next].seen.bits[i];
}

static void find_seen(Lower *l, uint32_t number) {
    LowerBlock *block = &l->blocks[number];
    const KirBlock *kir = l->request->blocks[number].kir;
    GlobalSet seen = {{0}};
    if (block->joins != TRACE_LEAVES) see_behind(l, number, block->joins, &seen);
    for (uint32_t i = block->end; i-- > 0;) {
        const KirInsn *insn = &kir->insns[i];
        if (insn->op == KIR_SET) set_remove(&seen, insn->a);
        else if (insn->op == KIR_GET && looks(l, number, i)) set_add(&seen, insn->a);
        else if (insn->op == KIR_EXIT) see_behind(l, number, block->next[insn->a], &seen);
        else if (insn->op == KIR_EXIT_IF) see_behind(l, number, block->next[insn->b], &seen);
        else if (insn->op == KIR_EXIT_COND)
            see_behind(l, number, block->next[insn->b], &seen), see_behind(l, number, block->next[insn->c], &seen);
        else if (shows_registers(insn, false)) see_all(&seen);
    }
    block->seen = seen;
}

// ---- what is lazy where -------------------------------------------------------------------------------------------------------
static Lazy after_look(Lazy lazy, bool needs_box) {
    return (lazy == LAZY_BOX || lazy == LAZY_BOTH) && !needs_box ? LAZY_BOX : LAZY_NONE;
}

void step_lazy(const Lower *l, uint32_t number, uint32_t index, uint8_t *lazy) {
    const KirInsn *insn = &l->request->blocks[number].kir->insns[index];
    if (insn->op == KIR_SET) lazy[insn->a] = (uint8_t)lazy_of_set(l, number, insn);
    if (insn->op == KIR_GET && looks(l, number, index))
        lazy[insn->a] = (uint8_t)after_look((Lazy)lazy[insn->a], l->blocks[number].needs_box[index]);
    if (insn->op == KIR_CALL || insn->op == KIR_CALL3) memset(lazy, LAZY_NONE, LOWER_GLOBALS);
}

static bool merge(uint8_t *into, const uint8_t *from, const GlobalSet *seen) {
    bool changed = false;
    for (unsigned i = 0; i < LOWER_GLOBALS; i++) {
        uint8_t merged = from[i] == into[i] || into[i] == LAZY_UNKNOWN ? from[i] : set_has(seen, i) ? LAZY_NONE : LAZY_MIXED;
        if (into[i] == LAZY_NONE && set_has(seen, i)) merged = LAZY_NONE;
        if (into[i] == LAZY_MIXED) merged = LAZY_MIXED;
        changed |= merged != into[i];
        into[i] = merged;
    }
    return changed;
}

static bool merge_edge(Lower *l, uint32_t number, int32_t next, const uint8_t *lazy) {
    if (next == TRACE_LEAVES) return false;
    LowerBlock *to = &l->blocks[next];
    if (to->order > l->blocks[number].order) return merge(to->lazy, lazy, &to->seen);
    GlobalSet all;
    see_all(&all);
    bool changed = merge(to->latch_lazy, lazy, &all);
    return merge(to->lazy, to->latch_lazy, &to->seen) || changed;
}

static bool merge_edges(Lower *l, uint32_t number) {
    const TraceBlock *block = &l->request->blocks[number];
    const int32_t *next = l->blocks[number].next;
    uint8_t lazy[LOWER_GLOBALS];
    bool changed = false;
    memcpy(lazy, l->blocks[number].lazy, sizeof lazy);
    for (uint32_t i = 0; i < l->blocks[number].end; i++) {
        const KirInsn *insn = &block->kir->insns[i];
        step_lazy(l, number, i, lazy);
        if (insn->op == KIR_EXIT) changed |= merge_edge(l, number, next[insn->a], lazy);
        if (insn->op == KIR_EXIT_IF || insn->op == KIR_EXIT_COND) changed |= merge_edge(l, number, next[insn->b], lazy);
        if (insn->op == KIR_EXIT_COND) changed |= merge_edge(l, number, next[insn->c], lazy);
        if (insn->op == KIR_EXIT_IND) changed |= merge_edge(l, number, block->next_indirect, lazy);
    }
    return merge_edge(l, number, l->blocks[number].joins, lazy) | changed;
}

void find_lazy(Lower *l) {
    for (uint32_t i = 0; i < l->reached; i++) {
        LowerBlock *block = &l->blocks[l->ordered[i]];
        const KirBlock *kir = l->request->blocks[l->ordered[i]].kir;
        block->exact = arena_alloc(l->arena, kir->count * sizeof *block->exact);
        block->needs_box = arena_alloc(l->arena, kir->count * sizeof *block->needs_box);
        block->lazy = memset(arena_alloc(l->arena, LOWER_GLOBALS), i ? LAZY_UNKNOWN : LAZY_NONE, LOWER_GLOBALS);
        block->latch_lazy = memset(arena_alloc(l->arena, LOWER_GLOBALS), LAZY_UNKNOWN, LOWER_GLOBALS);
        mark_exact_values(l, kir, block->end, block->exact);
        find_boxes_needed(l, l->ordered[i]);
    }
    for (uint32_t i = l->reached; i-- > 0;) find_seen(l, l->ordered[i]);
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 0; i < l->reached; i++) changed |= merge_edges(l, l->ordered[i]);
    }
}

// ---- showing ------------------------------------------------------------------------------------------------------------------
static void show(Lower *l, unsigned global, bool hot) {
    uint8_t lazy = l->lazy[global];
    LLVMValueRef place = lazy == LAZY_NAN ? l->copy[global] : l->single[global];
    KirType type = lazy == LAZY_NAN ? KIR_F64 : KIR_F32;
    LLVMValueRef value = LLVMBuildLoad2(l->builder, llvm_type(l, type), place, "");
    if (lazy != LAZY_BOX) {
        value = canonical_result(l, type, value, hot);
        LLVMBuildStore(l->builder, value, place);
    }
    if (type == KIR_F32) LLVMBuildStore(l->builder, box(l, value), l->copy[global]);
}

static bool has_form(uint8_t lazy) { return lazy == LAZY_NAN || lazy == LAZY_BOX || lazy == LAZY_BOTH; }

void show_lazy(Lower *l, bool hot) {
    for (unsigned i = 0; i < l->request->world.global_count; i++)
        if (has_form(l->lazy[i])) show(l, i, hot);
}

void look_at(Lower *l, unsigned global) {
    if (!has_form(l->lazy[global]) || !looks(l, l->block, l->index)) return;
    bool only_nan = l->lazy[global] == LAZY_BOX && !l->blocks[l->block].needs_box[l->index];
    if (!only_nan) show(l, global, true);
}

// ---- chains of multiply-add ---------------------------------------------------------------------------------------------------
static FmaChain *numbered(Lower *l, unsigned number) { return number ? &l->chains.chain[number - 1] : NULL; }
static uint8_t number_of(const Lower *l, const FmaChain *chain) { return chain ? (uint8_t)(chain - l->chains.chain + 1) : 0; }

// The one whose tail the value is, or NULL.
static FmaChain *chain_of(Lower *l, KirRef v) {
    FmaChain *chain = numbered(l, l->chain_of[v]);
    return chain && chain->count && chain->tail == value_of(l, v) ? chain : NULL;
}

void chain_through(Lower *l, KirRef a, KirRef b) {
    l->chain = chain_of(l, a);
    if (!l->chain && b != KIR_NONE) l->chain = chain_of(l, b);
}

bool chain_factors(Lower *l, const KirInsn *insn, LLVMValueRef a, LLVMValueRef b) {
    FmaChain *chain = chain_of(l, insn->c);
    if (!may_be_lazy(l) || l->exact[l->index]) return l->chain = chain, false;
    if (chain && chain->count == MOST_FACTORS) chain = NULL;
    for (unsigned i = 0; !chain && i < MOST_CHAINS; i++)
        if (!l->chains.chain[i].count) chain = &l->chains.chain[i];
    l->chain = chain;
    if (!chain) return false;
    chain->factors[chain->count++] = (FmaFactors){{a, b}, (KirType)insn->type};
    return true;
}

static void raise_for(Lower *l, const FmaChain *chain) {
    for (unsigned i = 0; i < chain->count; i++) raise_for_factors(l, &chain->factors[i]);
}

void end_chain_in_nan(Lower *l) {
    if (!l->chain) return;
    raise_for(l, l->chain);
    l->chain->count = 0;
    l->chain = NULL;
}

void check_chains(Lower *l) {
    for (unsigned i = 0; i < MOST_CHAINS; i++) {
        FmaChain *chain = &l->chains.chain[i];
        if (!chain->count) continue;
        Paths p = split_unless(l, LLVMBuildFCmp(l->builder, LLVMRealORD, chain->tail, chain->tail, ""));
        begin_cold(l, &p);
        raise_for(l, chain);
        LLVMBuildBr(l->builder, p.join);
        LLVMPositionBuilderAtEnd(l->builder, p.join);
    }
}

void end_chains(Lower *l) {
    check_chains(l);
    for (unsigned i = 0; i < MOST_CHAINS; i++) l->chains.chain[i].count = 0;
}

// Registers and boxes hand a chain on.
void step_chains(Lower *l, const KirInsn *insn) {
    FmaChain *chain = l->chain;
    l->chain = NULL;
    if (chain) {
        l->chain_of[l->index] = number_of(l, chain);
        chain->tail = value_of(l, l->index);
    } else if (insn->op == KIR_SET) {
        const KirInsn *value = &l->kir->insns[insn->b];
        KirRef held = value->op == KIR_NANBOX && l->single[insn->a] ? value->a : insn->b;
        chain = chain_of(l, held);
        l->chains.in[insn->a] = number_of(l, chain);
        l->chains.held[insn->a] = value_of(l, held);
    } else if (insn->op == KIR_GET) {
        LLVMValueRef got = l->singles[l->index] ? l->singles[l->index] : value_of(l, l->index);
        chain = numbered(l, l->chains.in[insn->a]);
        if (!chain || !chain->count || chain->tail != l->chains.held[insn->a]) return;
        chain->tail = l->chains.held[insn->a] = got;
        l->chain_of[l->index] = number_of(l, chain);
    } else if (insn->op == KIR_NANUNBOX) {
        l->chain_of[l->index] = l->chain_of[insn->a];
    }
}

// ---- edges --------------------------------------------------------------------------------------------------------------------
static bool is_open(const Lower *l) {
    bool open = false;
    for (unsigned i = 0; i < MOST_CHAINS; i++) open |= l->chains.chain[i].count != 0;
    return open;
}

static bool differs(const Lower *l, const uint8_t *wanted) {
    for (unsigned i = 0; i < l->request->world.global_count; i++)
        if (has_form(l->lazy[i]) && wanted[i] == LAZY_NONE) return true;
    return false;
}

LLVMBasicBlockRef hand_over(Lower *l, LLVMBasicBlockRef to, const uint8_t *wanted, LowerBlock *only) {
    bool open = is_open(l);
    if (only && open) only->chains = memcpy(arena_alloc(l->arena, sizeof l->chains), &l->chains, sizeof l->chains);
    bool checks = open && !only, shows = differs(l, wanted);
    if (!checks && !shows) return to;
    LLVMBasicBlockRef here = LLVMGetInsertBlock(l->builder), edge = new_block(l, "edge");
    LLVMPositionBuilderAtEnd(l->builder, edge);
    if (checks) check_chains(l);
    for (unsigned i = 0; i < l->request->world.global_count; i++)
        if (has_form(l->lazy[i]) && wanted[i] == LAZY_NONE) show(l, i, true);
    LLVMBuildBr(l->builder, to);
    LLVMPositionBuilderAtEnd(l->builder, here);
    return edge;
}
