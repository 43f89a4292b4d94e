// SPDX-License-Identifier: MIT
//
// Dead sets: a SET is removed if a later SET of the same global overwrites it before anyone can look.
//
//   set t0, %3                    nop
//   %5 = load.i64 %4, 0           %5 = load.i64 %4, 0     fault table: at %5, t0 = %3
//   set t0, %5                    set t0, %5
//
// Who looks: GET of the global; a side exit and the final exit (all globals); a call of a helper that reads
// or writes globals or may raise. An instruction that may fault looks too, but so rarely that the fault table
// answers for it: up to MAX_POINTS of them may lie between the two SETs. The price is that the value stays
// live until the last of them. A pinned global's SET is free where nothing reads the old value, so there it buys nothing.
//
// One walk forwards. A global's pending SET is the last one nobody has looked at; what looks at all globals
// at once moves `barrier` behind itself, so that pending SETs before it no longer count.
#include "ir/fold.h"
#include "ir/passes.h"

enum { MAX_POINTS = 4, RING = 8, MAX_ENTRIES_A_POINT = 16, FIRST_FAULTS = 16 };

typedef struct Pending {
    uint32_t set;    // index + 1; 0: none
    uint32_t points; // faulting instructions seen before it
} Pending;

typedef struct DeadSets {
    KirBlock *block;
    Pending *pending;                 // by global
    uint32_t barrier;                 // SETs before this index stay
    uint32_t points;                  // faulting instructions seen so far
    uint32_t at[RING], entries[RING]; // the last of them, and how many entries each has got
} DeadSets;

// Entries arrive nearly in order: only those of the last MAX_POINTS instructions can stand behind a new one.
static void add_entry(KirBlock *block, uint32_t at, unsigned global, KirRef value) {
    if (block->fault_count == block->fault_capacity) {
        uint32_t capacity = block->fault_capacity ? block->fault_capacity * 2 : FIRST_FAULTS;
        block->faults = arena_grow(block->arena, block->faults, block->fault_capacity * sizeof *block->faults,
                                   capacity * sizeof *block->faults);
        block->fault_capacity = capacity;
    }
    uint32_t i = block->fault_count++;
    for (; i > 0 && block->faults[i - 1].at > at; i--) block->faults[i] = block->faults[i - 1];
    block->faults[i] = (KirFaultEntry){.at = at, .global = (uint16_t)global, .value = value};
}

// Removes the pending SET if the fault table can speak for it.
static void remove_set(DeadSets *d, unsigned global) {
    Pending pending = d->pending[global];
    uint32_t between = d->points - pending.points;
    bool pinned = d->block->pinned && (d->block->pinned[global / 64] >> global % 64 & 1);
    if (between > (pinned ? 0 : MAX_POINTS)) return;
    for (uint32_t i = pending.points; i < d->points; i++)
        if (d->entries[i % RING] >= MAX_ENTRIES_A_POINT) return;
    KirInsn *set = &d->block->insns[pending.set - 1];
    for (uint32_t i = pending.points; i < d->points; i++) {
        d->entries[i % RING]++;
        add_entry(d->block, d->at[i % RING], global, set->b);
    }
    kir_make_nop(set);
}

static void visit_set(DeadSets *d, uint32_t index, unsigned global) {
    Pending *pending = &d->pending[global];
    if (pending->set > d->barrier) remove_set(d, global);
    *pending = (Pending){.set = index + 1, .points = d->points};
}

static bool helper_looks(const KirBlock *block, const KirInsn *insn) {
    unsigned helper = insn->op == KIR_CALL ? insn->a : insn->aux;
    return block->world->helpers[helper].flags & (KIR_HELPER_READS_GLOBALS | KIR_HELPER_WRITES_GLOBALS | KIR_HELPER_MAY_RAISE);
}

static void visit_fault(DeadSets *d, uint32_t index, const KirInsn *insn) {
    if (insn->aux & KIR_MEM_NOFAULT) return;
    d->at[d->points % RING] = index;
    d->entries[d->points % RING] = 0;
    d->points++;
}

// A block that has a fault table already (a second run, a path made of optimised blocks) is left alone: a
// second entry for the same place and global could contradict the first.
void kir_pass_dead_sets(KirBlock *block) {
    if (block->fault_count) return;
    DeadSets d = {.block = block};
    d.pending = arena_alloc(block->arena, (block->world->global_count + 1) * sizeof *d.pending);
    for (uint32_t i = 0; i < block->count; i++) {
        const KirInsn *insn = &block->insns[i];
        if (insn->op == KIR_SET) {
            visit_set(&d, i, insn->a);
        } else if (insn->op == KIR_GET) {
            d.pending[insn->a].set = 0;
        } else {
            unsigned flags = kir_op_info[insn->op].flags;
            if (flags & KIR_FLAG_FAULT) visit_fault(&d, i, insn);
            if ((flags & KIR_FLAG_SIDE_EXIT) || ((flags & KIR_FLAG_CALL) && helper_looks(block, insn))) d.barrier = i + 1;
        }
    }
}
