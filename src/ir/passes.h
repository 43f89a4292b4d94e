// SPDX-License-Identifier: MIT
//
// The passes by name; their order stands in ir/passes.c.
#ifndef KILN_IR_PASSES_H
#define KILN_IR_PASSES_H

#include "ir/kir.h"

void kir_pass_fold(KirBlock *block);
void kir_pass_dead_sets(KirBlock *block);
void kir_pass_dead_code(KirBlock *block);

static inline void kir_make_nop(KirInsn *insn) { *insn = (KirInsn){.op = KIR_NOP, .c = KIR_NONE, .a = KIR_NONE, .b = KIR_NONE}; }

#endif
