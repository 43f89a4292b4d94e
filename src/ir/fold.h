// SPDX-License-Identifier: MIT
//
// Inside of the builder: appending, and folding of one operation before it is appended.
#ifndef KILN_IR_FOLD_H
#define KILN_IR_FOLD_H

#include "ir/info.h"

void kir_grow_insns(KirBlock *block);

static inline KirRef kir_append(KirBlock *block, KirInsn insn) {
    if (__builtin_expect(block->count == block->capacity, 0)) kir_grow_insns(block);
    block->insns[block->count] = insn;
    return block->count++;
}

// A constant that arithmetic may look into.
static inline bool kir_is_plain(const KirInsn *insn) { return insn->op == KIR_CONST && insn->aux == KIR_PLAIN; }
static inline bool kir_is_image(const KirInsn *insn) { return insn->op == KIR_CONST && insn->aux == KIR_IMAGE; }

// Simplifies a pure operation: returns an existing (or new constant) value that equals it, or KIR_NONE and
// leaves in *insn what is to be appended: the operation itself or a simpler one.
KirRef kir_fold(KirBuilder *b, KirInsn *insn);
// The same for the address, displacement and stored value of a LOAD or STORE.
void kir_fold_memory(const KirBlock *block, KirInsn *insn);

// Emits a copy of an instruction of `from` whose references are renamed. Exit numbers stay.
KirRef kir_rebuild(KirBuilder *b, const KirBlock *from, const KirInsn *insn, const KirRef *names);

// The value of an integer operation on constants of `bits` bits, cut to the result. y or z is the immediate
// where the operation has one in that slot; source_bits is the width of what is extended, or of CRC32's
// second operand.
uint64_t kir_eval_int(KirOp op, unsigned bits, unsigned aux, uint64_t x, uint64_t y, uint64_t z, unsigned source_bits);
bool kir_eval_cond(KirCond cond, unsigned bits, uint64_t x, uint64_t y);

#endif
