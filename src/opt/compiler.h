// SPDX-License-Identifier: MIT
//
// What the optimizer does, for those who know nothing of LLVM: a request in, a result out.
#ifndef KILN_OPT_COMPILER_H
#define KILN_OPT_COMPILER_H

#include "ir/request.h"

typedef struct Compiler Compiler; // one a thread

// Once a process, before the first compiler.
void compiler_start(void);
Compiler *compiler_new(void);
void compiler_free(Compiler *compiler);
// Never fails: result->reason says what went wrong. The result's arrays live in the arena.
void compile_trace(Compiler *compiler, const TraceRequest *request, Arena *arena, TraceResult *result);
// False: this LLVM passes arguments in other registers than the fast tier expects.
bool convention_test(Compiler *compiler);

#endif
