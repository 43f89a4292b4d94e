// SPDX-License-Identifier: MIT
//
// The graph of a trace's blocks.
//
// Guest blocks overlap: one that begins at the target of a branch holds the same instructions as the tail of the one that runs into
// that target. Where a block comes to an instruction that another block of the trace begins with, it goes on there: the state between
// two guest instructions is in the globals alone. So the two paths of an `if` meet again, and LLVM may turn it into a select.
//
// An edge goes back if its target is not behind its source in reverse postorder; every cycle has such an edge.
//
// A block that is a loop by itself runs in strips of STRIP iterations if LLVM might vectorise it: an inner loop without a poll, and
// an outer one that polls.
#include "opt/lower.h"

// ---- joins --------------------------------------------------------------------------------------------------------------------
static int32_t block_at(const TraceRequest *request, uint64_t pc, uint32_t mode) {
    for (uint32_t i = 0; i < request->block_count; i++)
        if (request->blocks[i].kir->pc == pc && request->blocks[i].kir->mode == mode) return (int32_t)i;
    return TRACE_LEAVES;
}

static void find_join(Lower *l, uint32_t number) {
    const KirBlock *kir = l->request->blocks[number].kir;
    LowerBlock *block = &l->blocks[number];
    bool first = true;
    block->end = kir->count;
    block->joins = TRACE_LEAVES;
    for (uint32_t i = 0; i < kir->count; i++) {
        if (kir->insns[i].op != KIR_INSN) continue;
        int32_t other = first ? TRACE_LEAVES : block_at(l->request, kir->insns[i].imm, kir->mode);
        first = false;
        if (other == TRACE_LEAVES) continue;
        block->end = i;
        block->joins = other;
        return;
    }
}

// An exit to where a block of the trace begins leads there, even where the request lets it leave: leaving would mean storing everything, and
// loading it again in this or another trace.
static void find_next(Lower *l, uint32_t number) {
    const TraceBlock *block = &l->request->blocks[number];
    int32_t *next = arena_alloc(l->arena, (block->kir->exit_count + 1) * sizeof *next);
    for (uint32_t i = 0; i < block->kir->exit_count; i++) {
        const KirExit *exit = &block->kir->exits[i];
        next[i] = block->next[i];
        if (next[i] == TRACE_LEAVES && exit->kind == KIR_EXIT_DIRECT)
            next[i] = block_at(l->request, exit->target, block->kir->mode);
    }
    l->blocks[number].next = next;
}

// ---- edges --------------------------------------------------------------------------------------------------------------------
typedef bool (*EdgeVisitor)(Lower *l, int32_t next, const GlobalSet *dirty);

unsigned helper_flags(const KirBlock *kir, const KirInsn *insn) {
    return kir->world->helpers[insn->op == KIR_CALL3 ? insn->aux : insn->a].flags;
}

// What an operation does to the set of dirty globals (call.c does the stores).
void step_dirty(const Lower *l, uint32_t block, uint32_t index, GlobalSet *dirty) {
    const KirBlock *kir = l->request->blocks[block].kir;
    const KirInsn *insn = &kir->insns[index];
    if (insn->op == KIR_SET) (l->blocks[block].stored[index] ? set_remove : set_add)(dirty, insn->a);
    if (insn->op != KIR_CALL && insn->op != KIR_CALL3) return;
    if (helper_flags(kir, insn) & (KIR_HELPER_READS_GLOBALS | KIR_HELPER_WRITES_GLOBALS | KIR_HELPER_MAY_RAISE))
        *dirty = (GlobalSet){{0}};
}

// Each edge out of the block, with what is dirty there. True if the visitor returned true for any.
static bool each_edge(Lower *l, uint32_t number, EdgeVisitor visit) {
    const TraceBlock *block = &l->request->blocks[number];
    GlobalSet dirty = l->blocks[number].dirty;
    bool any = false;
    for (uint32_t i = 0; i < l->blocks[number].end; i++) {
        const KirInsn *insn = &block->kir->insns[i];
        step_dirty(l, number, i, &dirty);
        if (insn->op == KIR_EXIT) any |= visit(l, l->blocks[number].next[insn->a], &dirty);
        if (insn->op == KIR_EXIT_IF || insn->op == KIR_EXIT_COND) any |= visit(l, l->blocks[number].next[insn->b], &dirty);
        if (insn->op == KIR_EXIT_COND) any |= visit(l, l->blocks[number].next[insn->c], &dirty);
        if (insn->op == KIR_EXIT_IND) any |= visit(l, block->next_indirect, &dirty);
    }
    return visit(l, l->blocks[number].joins, &dirty) | any;
}

// ---- order --------------------------------------------------------------------------------------------------------------------
static bool reach(Lower *l, int32_t number, const GlobalSet *dirty) {
    if (number == TRACE_LEAVES || l->blocks[number].order) return false;
    l->blocks[number].order = UINT32_MAX; // on the way
    each_edge(l, (uint32_t)number, reach);
    l->ordered[l->reached++] = (uint32_t)number; // postorder
    return false;
}

static void find_order(Lower *l) {
    l->ordered = arena_alloc(l->arena, l->request->block_count * sizeof *l->ordered);
    reach(l, 0, NULL);
    for (uint32_t i = 0; i < l->reached / 2; i++) {
        uint32_t swapped = l->ordered[i];
        l->ordered[i] = l->ordered[l->reached - 1 - i];
        l->ordered[l->reached - 1 - i] = swapped;
    }
    for (uint32_t i = 0; i < l->reached; i++) l->blocks[l->ordered[i]].order = i + 1;
}

static bool count_way(Lower *l, int32_t next, const GlobalSet *dirty) {
    if (next != TRACE_LEAVES) l->blocks[next].ways_in++;
    return false;
}

static void count_ways(Lower *l) {
    l->blocks[0].ways_in = 1;
    for (uint32_t i = 0; i < l->reached; i++) each_edge(l, l->ordered[i], count_way);
}

// ---- strips -------------------------------------------------------------------------------------------------------------------
// What LLVM vectorises: integer arithmetic, loads and stores.
static bool is_vectorisable(const KirInsn *insn) {
    switch (insn->op) {
    case KIR_NOP:
    case KIR_INSN:
    case KIR_CONST:
    case KIR_GET:
    case KIR_SET:
    case KIR_ADD ... KIR_MUL:
    case KIR_AND ... KIR_SAR:
    case KIR_BFX ... KIR_BFI:
    case KIR_CMP ... KIR_TRUNC:
    case KIR_EXIT_IF:
    case KIR_EXIT:
    case KIR_EXIT_COND: return true;
    case KIR_LOAD:
    case KIR_STORE: return insn->type <= KIR_I64 && !(insn->aux & KIR_MEM_ALIGNED);
    default: return false;
    }
}

static bool is_self(Lower *l, int32_t next, const GlobalSet *dirty) { return next == (int32_t)l->block; }

static bool may_be_vectorised(Lower *l, uint32_t number) {
    const KirBlock *kir = l->request->blocks[number].kir;
    bool memory = false;
    l->block = number;
    for (uint32_t i = 0; i < l->blocks[number].end; i++) {
        if (!is_vectorisable(&kir->insns[i])) return false;
        memory |= kir->insns[i].op == KIR_LOAD || kir->insns[i].op == KIR_STORE;
    }
    return memory && each_edge(l, number, is_self);
}

static void find_strips(Lower *l) {
    uint32_t forbidden = TRACE_NO_VECTORS | TRACE_NO_PASSES | TRACE_EVAL_ALL;
    if (!private_memory(l) || !dies_at_faults(l) || (l->request->options & forbidden)) return;
    for (uint32_t i = 0; i < l->reached; i++) l->blocks[l->ordered[i]].strips = may_be_vectorised(l, l->ordered[i]);
}

// ---- what goes home at once ---------------------------------------------------------------------------------------------------
// In exact mode each access must be able to tell what every global is. A value that is in a register anyway costs it nothing; one that nobody
// else needs any more would hold a register, or be moved about, for the sake of accesses alone: it is stored when it is made, where registers
// are scarce and there are a few accesses until it is replaced. For the same reason loops begin with pinned integers at home: many of them do not
// change.
enum { MOST_BLOCKS_AHEAD = 4, MOST_IDLE = 3, FEW_INTEGERS = 10 };

static bool is_access(const KirInsn *insn) { return kir_op_info[insn->op].flags & KIR_FLAG_FAULT; }

// The block that follows most often, or TRACE_LEAVES.
static int32_t likely_next(const Lower *l, uint32_t number) {
    const LowerBlock *block = &l->blocks[number];
    const KirInsn *last = &l->request->blocks[number].kir->insns[block->end - 1];
    if (block->joins != TRACE_LEAVES) return block->joins;
    if (last->op == KIR_EXIT) return block->next[last->a];
    if (last->op == KIR_EXIT_IND) return l->request->blocks[number].next_indirect;
    if (last->op != KIR_EXIT_COND) return TRACE_LEAVES;
    int32_t a = block->next[last->b], b = block->next[last->c];
    if (a == TRACE_LEAVES || b == TRACE_LEAVES) return a == TRACE_LEAVES ? b : a;
    return l->request->blocks[a].weight >= l->request->blocks[b].weight ? a : b;
}

// Accesses between the last use of what instruction `index` sets and the next time it is set, on the likely way.
static unsigned idle_accesses(const Lower *l, uint32_t number, uint32_t index) {
    unsigned idle = 0, global = l->request->blocks[number].kir->insns[index].a;
    int32_t at = (int32_t)number;
    for (unsigned depth = 0; at != TRACE_LEAVES && depth < MOST_BLOCKS_AHEAD; depth++) {
        const KirBlock *kir = l->request->blocks[at].kir;
        for (uint32_t i = depth ? 0 : index + 1; i < l->blocks[at].end; i++) {
            const KirInsn *insn = &kir->insns[i];
            if (insn->op == KIR_SET && insn->a == global) return idle;
            if (insn->op == KIR_GET && insn->a == global) idle = 0;
            idle += is_access(insn);
        }
        at = likely_next(l, (uint32_t)at);
    }
    return idle;
}

// Registers of the guest that compete for those of the host.
static unsigned integers_used(const Lower *l) {
    unsigned count = 0;
    GlobalSet used = {{0}};
    for (uint32_t i = 0; i < l->request->block_count; i++) {
        const KirBlock *kir = l->request->blocks[i].kir;
        for (uint32_t j = 0; j < l->blocks[i].end; j++) {
            const KirInsn *insn = &kir->insns[j];
            if ((insn->op != KIR_GET && insn->op != KIR_SET) || kir->world->globals[insn->a].type > KIR_I64) continue;
            count += !set_has(&used, insn->a);
            set_add(&used, insn->a);
        }
    }
    return count;
}

static void find_stored(Lower *l) {
    bool crowded = !dies_at_faults(l) && integers_used(l) > FEW_INTEGERS;
    for (uint32_t i = 0; i < l->request->block_count; i++) {
        const KirBlock *kir = l->request->blocks[i].kir;
        bool *stored = l->blocks[i].stored = arena_alloc(l->arena, kir->count * sizeof *stored);
        for (uint32_t j = 0; j < l->blocks[i].end && (crowded || l->stores_all); j++) {
            if (kir->insns[j].op != KIR_SET) continue;
            KirOp made = (KirOp)kir->insns[kir->insns[j].b].op; // flags.c may put these off
            stored[j] = made != KIR_FGETFLAGS && made != KIR_FCLASS && (l->stores_all || idle_accesses(l, i, j) > MOST_IDLE);
        }
    }
}

bool is_kept_home(const Lower *l, unsigned global) {
    return l->keeps_pinned_home && l->argument[global] >= 0 && l->argument[global] < LOWER_INTS;
}

static bool goes_back(Lower *l, int32_t next, const GlobalSet *dirty) {
    return next != TRACE_LEAVES && l->blocks[next].order <= l->blocks[l->block].order;
}

static void find_kept_home(Lower *l) {
    bool loops = false;
    for (uint32_t i = 0; i < l->reached; i++) {
        l->block = l->ordered[i];
        loops |= each_edge(l, l->ordered[i], goes_back);
    }
    l->keeps_pinned_home = loops && !dies_at_faults(l);
}

// ---- which globals are dirty where --------------------------------------------------------------------------------------------
static bool merge(Lower *l, int32_t next, const GlobalSet *dirty) {
    bool changed = false;
    for (unsigned i = 0; next != TRACE_LEAVES && i < LOWER_GLOBALS / 64; i++) {
        uint64_t *into = &l->blocks[next].dirty.bits[i], both = *into | dirty->bits[i];
        changed |= both != *into;
        *into = both;
    }
    return changed;
}

static void find_dirty(Lower *l) {
    for (unsigned i = 0; i < l->request->world.global_count; i++)
        if (l->argument[i] >= 0 && !is_kept_home(l, i)) set_add(&l->blocks[0].dirty, i);
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 0; i < l->reached; i++) changed |= each_edge(l, l->ordered[i], merge);
    }
}

void find_graph(Lower *l) {
    l->blocks = arena_alloc(l->arena, l->request->block_count * sizeof *l->blocks);
    for (uint32_t i = 0; i < l->request->block_count; i++) find_join(l, i), find_next(l, i);
    find_stored(l);
    find_order(l);
    find_kept_home(l);
    count_ways(l);
    find_strips(l);
    find_dirty(l);
}
