// SPDX-License-Identifier: MIT
//
// Dead code: a pure operation, constant or GET whose value nobody uses becomes NOP. One walk backwards: when it reaches an
// instruction, all of its users have been seen. Values in the fault table are used. Loads stay, for they may fault;
// floating-point operations stay, for they raise flags.
#include "ir/fold.h"
#include "ir/passes.h"

static inline void mark(uint64_t *used, KirRef v) { used[v >> 6] |= (uint64_t)1 << (v & 63); }
static inline bool is_marked(const uint64_t *used, KirRef v) { return used[v >> 6] >> (v & 63) & 1; }

void kir_pass_dead_code(KirBlock *block) {
    enum { SMALL = 8 };
    uint64_t small[SMALL] = {0}, *used = small;
    size_t words = (block->count + 63) / 64;
    if (words > SMALL) used = arena_alloc(block->arena, words * sizeof *used);
    for (uint32_t i = 0; i < block->fault_count; i++) mark(used, block->faults[i].value);
    for (uint32_t i = block->count; i-- > 0;) {
        KirInsn *insn = &block->insns[i];
        bool removable = (kir_op_info[insn->op].flags & KIR_FLAG_PURE) || insn->op == KIR_GET;
        if (removable && !is_marked(used, i)) {
            kir_make_nop(insn);
            continue;
        }
        unsigned refs = kir_op_facts[insn->op].refs;
        if ((refs & 1) && insn->a != KIR_NONE) mark(used, insn->a);
        if ((refs & 2) && insn->b != KIR_NONE) mark(used, insn->b);
        if ((refs & 4) && insn->c != KIR_NONE) mark(used, insn->c);
    }
}
