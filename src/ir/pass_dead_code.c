// SPDX-License-Identifier: MIT
//
// Dead code: a pure operation, constant or GET whose value nobody uses becomes NOP. One walk backwards: when
// it reaches an instruction, all of its users have been seen. Values in the fault table are used. Loads stay,
// for they may fault; floating-point operations stay, for they raise flags.
#include "ir/fold.h"
#include "ir/passes.h"

// Slots that hold no reference mark the spare byte behind the others: cheaper than a branch that nobody can
// predict.
static inline void mark(uint8_t *used, uint32_t spare, bool is_ref, KirRef v) { used[is_ref && v < spare ? v : spare] = 1; }

void kir_pass_dead_code(KirBlock *block) {
    uint32_t count = block->count;
    uint8_t *used = arena_alloc(block->arena, count + 1);
    for (uint32_t i = 0; i < block->fault_count; i++) used[block->faults[i].value] = 1;
    for (uint32_t i = count; i-- > 0;) {
        KirInsn *insn = &block->insns[i];
        bool removable = (kir_op_info[insn->op].flags & KIR_FLAG_PURE) || insn->op == KIR_GET;
        if (removable && !used[i]) {
            kir_make_nop(insn);
            continue;
        }
        unsigned refs = kir_op_facts[insn->op].refs;
        mark(used, count, refs & 1, insn->a);
        mark(used, count, refs & 2, insn->b);
        mark(used, count, refs & 4, insn->c);
    }
}
