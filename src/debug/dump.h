// SPDX-License-Identifier: MIT
//
// Dumps by stage (-d in_asm,op,op_opt,out_asm,exec,cpu), written to the engine's log. Each does nothing unless it was asked for.
#ifndef KILN_DEBUG_DUMP_H
#define KILN_DEBUG_DUMP_H

#include "engine/trace.h"

void dump_guest_code(Engine *engine, const KirBlock *kir, const uint8_t *bytes, size_t size);
void dump_kir(Engine *engine, const KirBlock *kir, bool optimised);
void dump_host_code(Engine *engine, const Block *block);
// One line a trace; for first forms with -d op_opt or out_asm, what it was made of.
void dump_trace(Engine *engine, const Trace *trace, const KirBlock *kir);
void dump_trace_end(Engine *engine, const Trace *trace, Reason reason);
// -d llvm,llvm_opt,trace_asm
void dump_trace_text(Engine *engine, const Trace *trace, const TraceResult *result);
void dump_execution(const Cpu *cpu);

// One file for each request, for `kiln-opt --request`. False: it cannot be written; that has been said.
bool dump_request(const Engine *engine, uint64_t id, const uint8_t *bytes, size_t size);

#endif
