// SPDX-License-Identifier: MIT
#include "fast_tier.h"
#include "base/error.h"
#include "engine/internal.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static void no_reset(Cpu *cpu) { (void)cpu; }
static uint32_t no_mode(const Cpu *cpu) { return (void)cpu, 0; }
static void no_hook(Cpu *cpu) { (void)cpu; }
static void no_exception(Cpu *cpu, KirException code) { (void)cpu, (void)code; }
static size_t no_fetch(uint64_t pc, GuestCodeKind *kind) { return (void)pc, (void)kind, 0; }

static void on_signal(int signal, siginfo_t *info, void *context) {
    if (!engine_fault(signal, info, context)) bug("signal %d at host pc %#lx", signal, (unsigned long)host_context_pc(context));
}

Engine *fast_tier_new(const KirWorld *world, const uint16_t pinned_int[10], const uint16_t pinned_float[8],
                      const EngineOptions *options) {
    Guest *guest = calloc(1, sizeof *guest);
    if (!guest) fatal("out of memory");
    guest->name = "test";
    guest->min_insn_bytes = 2;
    guest->world = *world;
    guest->reset = no_reset;
    guest->mode = no_mode;
    memcpy(guest->pinned_int, pinned_int, sizeof guest->pinned_int);
    memcpy(guest->pinned_float, pinned_float, sizeof guest->pinned_float);
    EngineHooks hooks = {.exception = no_exception, .fault = no_hook, .poll = no_hook, .fetch = no_fetch};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER};
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    for (int i = 0; i < 4; i++) sigaction(signals[i], &action, NULL);
    static Engine *engines[64]; // an engine lives as long as its process; leak checkers shall see that it is known
    static unsigned count;
    if (count == 64) bug("a test makes too many engines");
    return engines[count++] = engine_new(guest, &hooks, options);
}

static Block *compile(Engine *engine, const KirBlock *kir) {
    HostCompiled compiled = {0};
    arena_reset(&engine->scratch);
    if (!host_compile(engine->host, &engine->memory, kir, NULL, &engine->scratch, &compiled)) {
        if (compiled.too_complex) return NULL;
        block_table_reset(&engine->blocks);
        code_memory_reset(&engine->memory);
        host_write_stubs(engine->host, &engine->memory);
        if (!host_compile(engine->host, &engine->memory, kir, NULL, &engine->scratch, &compiled)) bug("the block fits no empty memory");
    }
    Block *block = arena_alloc(&engine->blocks.arena, sizeof *block);
    *block = (Block){.pc = kir->pc, .guest_bytes = kir->guest_bytes, .host = compiled};
    block_insert(&engine->blocks, block);
    return block;
}

InterpOutcome fast_tier_run(Engine *engine, Cpu *cpu, const KirBlock *kir, KirException *code) {
    Block *block = compile(engine, kir);
    if (!block) bug("the block is too complex for the fast tier");
    current_cpu = cpu;
    cpu->engine = engine;
    cpu->raised = -1;
    host_enter(engine->host, cpu, block->host.code);
    void *left = cpu->exit_record;
    if (!left || left == HOST_EXIT_RETURN) return INTERP_CONTINUE;
    if (left == HOST_EXIT_FAULT || left == HOST_EXIT_RAISED) {
        if (cpu->raised < 0) return INTERP_FAULT;
        *code = (KirException)cpu->raised;
        return INTERP_EXCEPTION;
    }
    const ExitRecord *record = left;
    cpu->pc = record->target;
    if (record->kind != KIR_EXIT_EXCEPTION) return INTERP_CONTINUE;
    *code = (KirException)record->code;
    return INTERP_EXCEPTION;
}
