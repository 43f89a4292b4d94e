// SPDX-License-Identifier: MIT
//
// The pipeline over a finished block. Every pass is linear in the block's length and works in place; what it
// removes becomes NOP, which consumers skip.
#include "base/error.h"
#include "ir/passes.h"

const KirPass kir_passes[] = {
    {"fold", kir_pass_fold},
    {"dead-sets", kir_pass_dead_sets},
    {"dead-code", kir_pass_dead_code},
    {NULL, NULL},
};

#ifdef KILN_DEBUG
static void verify_after(const KirBlock *block, const char *pass) {
    char error[200];
    if (!kir_verify(block, error, sizeof error)) bug("block at %#lx after %s: %s", (unsigned long)block->pc, pass, error);
}
#else
static inline void verify_after(const KirBlock *block, const char *pass) {}
#endif

void kir_optimise(KirBlock *block, uint32_t disabled) {
    verify_after(block, "translation");
    for (unsigned i = 0; kir_passes[i].name; i++) {
        if (disabled >> i & 1) continue;
        kir_passes[i].run(block);
        verify_after(block, kir_passes[i].name);
    }
}
