// SPDX-License-Identifier: MIT
//
// The KIR interpreter: the oracle among the tiers. The simplest possible code; correctness is its only virtue.
#ifndef KILN_INTERP_INTERP_H
#define KILN_INTERP_INTERP_H

#include "engine/cpu.h"

typedef enum InterpOutcome {
    INTERP_CONTINUE,  // cpu->pc is the next guest pc (direct, indirect, or a POLL that was taken)
    INTERP_EXCEPTION, // cpu->pc is the raising instruction, *code says what
    INTERP_FAULT,     // a guest access faulted: cpu->pc is the instruction, cpu->fault is filled by engine_fault
} InterpOutcome;

// Runs one block under the guest's floating-point environment (cpu->guest_mxcsr, updated before it returns).
//
// Faults: while a guest access is under way cpu->in_interpreter is true and cpu->interp_jump points to a jmp_buf made with
// sigsetjmp(buf, 0); engine_fault fills cpu->fault and makes the thread siglongjmp(buf, 1). engine_raise (from a
// helper called by the block) stores nothing but siglongjmps with 2 + exception code.
InterpOutcome interp_run(Cpu *cpu, const KirBlock *block, KirException *code);

#endif
