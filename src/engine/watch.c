// SPDX-License-Identifier: MIT
//
// What a debugger needs of the engine. While there are breakpoints, no block runs over one, no exit is linked to a block that
// begins at one, and none enters the cache of indirect targets: so the dispatch loop, and with it the watcher, sees each arrival
// at a breakpoint, and everything else runs at full speed. Single instructions are interpreted (engine.c).
#include "engine/internal.h"
#include "base/error.h"
#include <stdlib.h>
#include <string.h>

// A debugger has a thread of its own that asks for all cpus, so the lock is in use from the start.
void engine_watch(Engine *engine, EngineWatcher watcher) {
    if (watcher) engine->threaded = true;
    __atomic_store_n(&engine->watcher, watcher, __ATOMIC_RELEASE);
}

bool engine_breakpoint_at(const Engine *engine, uint64_t pc) {
    for (uint32_t i = 0; i < engine->breakpoint_count; i++)
        if (engine->breakpoints[i] == pc) return true;
    return false;
}

static void add(Engine *engine, uint64_t pc) {
    uint64_t *list = reallocarray(engine->breakpoints, engine->breakpoint_count + 1, sizeof *list);
    if (!list) fatal("out of memory (breakpoints)");
    list[engine->breakpoint_count++] = pc;
    engine->breakpoints = list;
}

void engine_breakpoint(Engine *engine, uint64_t pc, bool set) {
    world_lock(engine);
    if (set && !engine_breakpoint_at(engine, pc)) add(engine, pc);
    for (uint32_t i = 0; i < engine->breakpoint_count && !set; i++)
        if (engine->breakpoints[i] == pc) engine->breakpoints[i--] = engine->breakpoints[--engine->breakpoint_count];
    world_unlock(engine);
    engine_invalidate(engine, pc, pc + 1);
}

unsigned watch_max_insns(Engine *engine, uint64_t pc, unsigned max_insns) {
    if (!engine->breakpoint_count) return max_insns;
    size_t size = code_begin(engine, pc, max_insns, false);
    const uint8_t *bytes = engine->code.bytes;
    char text[128];
    uint64_t done = 0;
    for (unsigned count = 0; count < max_insns; count++) {
        if (count && engine_breakpoint_at(engine, pc + done)) return count;
        unsigned length = done < size ? engine->guest->disassemble(text, sizeof text, bytes + done, size - done, pc + done) : 0;
        // An instruction that spans two mappings ends the look-ahead: what follows is a block of its own.
        if (!length) return count ? count : 1;
        done += length;
    }
    return max_insns;
}

void engine_each_cpu(Engine *engine, void (*each)(void *context, Cpu *cpu), void *context) {
    world_lock(engine);
    for (Cpu *cpu = engine->cpus; cpu; cpu = cpu->next) each(context, cpu);
    world_unlock(engine);
}

void engine_all_out(Engine *engine) {
    world_lock(engine);
    world_stop(engine);
    world_resume(engine);
    world_unlock(engine);
}
