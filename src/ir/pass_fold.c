// SPDX-License-Identifier: MIT
//
// Folding of a finished block: every instruction goes through a fresh builder, which folds, merges and
// forwards as it does for a translator. A block that one builder has made from start to end has nothing to
// find and is left at once; work is done for parsed blocks, blocks read from a file, and paths made of
// several blocks.
#include "ir/fold.h"
#include "ir/passes.h"

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
        names[i] = kir_rebuild(&b, block, &old[i], names);
        next_fault = move_faults(block, i, block->count > before, next_fault, &faults, names);
    }
    block->fault_count = faults;
}
