// SPDX-License-Identifier: MIT
//
// Runs single KIR blocks in the fast tier, for tests that compare it with the interpreter.
#ifndef KILN_TESTS_FAST_TIER_H
#define KILN_TESTS_FAST_TIER_H

#include "interp/interp.h"
#include "engine/engine.h"

// An engine for `world` (a guest that has nothing but registers). `pinned_int`, `pinned_float`: as in Guest. Installs handlers of the
// signals a guest access can raise.
Engine *fast_tier_new(const KirWorld *world, const uint16_t pinned_int[10], const uint16_t pinned_float[8],
                      const EngineOptions *options);
// Compiles and runs one block once; its direct exits are not linked. The same outcome as interp_run. The block stays in the
// engine's code memory, which is emptied when it is full.
InterpOutcome fast_tier_run(Engine *engine, Cpu *cpu, const KirBlock *block, KirException *code);

#endif
