// SPDX-License-Identifier: MIT
//
// The vdso that every program of this guest gets: a shared object of one page with the calls that need no system call. Its bytes
// are made by scripts/vdso.py when Kiln is built.
#ifndef KILN_GUEST_RISCV64_VDSO_H
#define KILN_GUEST_RISCV64_VDSO_H

#include "guest/riscv64/trans.h"

// Translates the instruction if it is one of those that mean something in the vdso alone.
bool rv_vdso_insn(RvTranslator *t, uint32_t bits);

// Helpers of these instructions.
uint64_t rv_vdso_clock(void *cpu, uint64_t clock, uint64_t b, uint64_t c);
uint64_t rv_vdso_resolution(void *cpu, uint64_t clock, uint64_t b, uint64_t c);
uint64_t rv_vdso_processor(void *cpu, uint64_t a, uint64_t b, uint64_t c);

#endif
