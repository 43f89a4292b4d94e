// SPDX-License-Identifier: MIT
//
// What the engine's files share; nobody else includes it.
#ifndef KILN_ENGINE_INTERNAL_H
#define KILN_ENGINE_INTERNAL_H

#include "engine/block.h"
#include "engine/code_memory.h"

struct Engine {
    const Guest *guest;
    EngineHooks hooks;
    EngineOptions options;
    Host *host;
    CodeMemory memory;
    BlockTable blocks;
    uint32_t skipped_passes; // what the fast tier does by itself
    Arena scratch;      // of one translation
    Arena kir;          // blocks of the interpreter
    Counters counters;
    bool memory_shared; // engine_memory_is_shared was called
};

// translate.c: the block at pc, made if need be. Never NULL.
Block *engine_block(Engine *engine, uint64_t pc, uint32_t mode);
// link.c
void link_exit(Engine *engine, ExitRecord *record, Block *target);
void unlink_incoming(Engine *engine, Block *block);
void clear_ibc(Cpu *cpu);
// Zeroed entries match the pc 0 and nothing else, and 0 is looked up in the first entry of each part: these two get a pc that no
// guest has, so that a jump to 0 misses as it must. Everything else may stay untouched zero pages.
void guard_ibc(IbcEntry *entries);

#endif
