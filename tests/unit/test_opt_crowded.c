// SPDX-License-Identifier: MIT
//
// Traces in exact mode with more live registers than the host has: all 32 floating-point registers of the guest are loaded, some added up,
// and stored, in an order that the seed chooses, round after round. LLVM's register allocation gives up at some of these, so they are made in
// another way: all must have code. At each load and each store in turn the memory behind it has no access, and registers, memory and pc must
// be the interpreter's.
//
//   test_opt_crowded [--seed N] [--count N]
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include "arguments.h"
#include "base/error.h"
#include "ir/fold.h"
#include "opt_tier.h"

enum {
    INTS = 10,
    FLOATS = 32,
    GLOBALS = INTS + FLOATS,
    PAGE = 4096,
    DEFAULT_COUNT = 24,
    PC = 0x10000,
    OUTSIDE = 0x20000,
    ROUNDS = 3
};
enum { FROM, TO, LEFT }; // registers
enum { STATE_BYTES = GLOBALS * 8 };

typedef struct State {
    InterpOutcome outcome;
    uint64_t pc, address;
    uint8_t guest[STATE_BYTES], memory[4 * PAGE];
} State;

static KirWorld world;
static Engine *engine;
static Cpu *cpu;
static uint8_t *pages; // two to load from, the second of which may be out of reach; two to store to
static uint64_t state;
static unsigned long passed, failed, faults;

static unsigned below(unsigned n) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (unsigned)((state * 0x2545f4914f6cdd1du >> 33) % n);
}

static void make_world(void) {
    static KirGlobal globals[GLOBALS];
    static char names[GLOBALS][4];
    for (unsigned i = 0; i < GLOBALS; i++) {
        snprintf(names[i], sizeof names[i], "%c%u", i < INTS ? 'x' : 'f', i < INTS ? i : i - INTS);
        globals[i] = (KirGlobal){names[i], i * 8, i < INTS ? KIR_I64 : KIR_F64};
    }
    world = (KirWorld){.globals = globals, .global_count = GLOBALS};
}

// Seed 0: in the order of the registers.
static void make_order(uint64_t seed, unsigned *order) {
    for (unsigned i = 0; i < FLOATS; i++) order[i] = i;
    for (unsigned i = FLOATS; seed && i-- > 1;) {
        unsigned j = below(i + 1), other = order[i];
        order[i] = order[j];
        order[j] = other;
    }
}

static KirBlock *make_block(Arena *arena, uint64_t seed) {
    KirBlock *block = kir_block_new(arena, &world, PC, 0);
    KirBuilder b;
    unsigned order[FLOATS];
    uint64_t pc = PC;
    kir_builder_init(&b, block);
    make_order(seed, order);
    for (unsigned i = 0; i < FLOATS; i++, pc += 4) {
        kir_insn_start(&b, pc, 4);
        kir_set(&b, INTS + order[i], kir_load(&b, KIR_F64, KIR_MEM_64, kir_get(&b, FROM), (int32_t)(8 * i)));
    }
    for (unsigned n = seed ? below(20) : 0; n; n--, pc += 4) {
        kir_insn_start(&b, pc, 4);
        KirRef x = kir_get(&b, INTS + below(FLOATS)), y = kir_get(&b, INTS + below(FLOATS));
        kir_set(&b, INTS + below(FLOATS), kir_emit(&b, KIR_FADD, KIR_F64, KIR_RDYN, x, y, KIR_NONE));
    }
    make_order(seed, order);
    for (unsigned i = 0; i < FLOATS; i++, pc += 4) {
        kir_insn_start(&b, pc, 4);
        kir_store(&b, KIR_MEM_64, kir_get(&b, TO), (int32_t)(8 * i), kir_get(&b, INTS + order[i]));
    }
    kir_insn_start(&b, pc, 4);
    KirRef left = kir_emit(&b, KIR_SUB, KIR_I64, 0, kir_get(&b, LEFT), kir_const(&b, KIR_I64, 1), KIR_NONE);
    kir_set(&b, LEFT, left);
    KirRef more = kir_emit(&b, KIR_CMP, KIR_I64, KIR_NE, left, kir_const(&b, KIR_I64, 0), KIR_NONE);
    unsigned again = kir_exit_direct(&b, PC), on = kir_exit_direct(&b, OUTSIDE);
    kir_exit_cond(&b, more, again, on);
    return block;
}

static void protect(int of_loads, int of_stores) {
    if (mprotect(pages + PAGE, PAGE, of_loads) || mprotect(pages + 3 * PAGE, PAGE, of_stores)) fatal("mprotect failed");
}

// Load or store `at` is the first one behind a page's end; 2 * FLOATS: none is.
static void prepare(unsigned at) {
    protect(PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE);
    for (unsigned i = 0; i < 4 * PAGE; i++) pages[i] = (uint8_t)(i * 37 + i / 256);
    for (unsigned i = 0; i < GLOBALS; i++) memcpy(cpu->guest + 8 * i, &(double){i}, 8);
    uint64_t from = (uint64_t)pages + PAGE - 8 * (at < FLOATS ? at : FLOATS),
             to = (uint64_t)pages + 3 * PAGE - 8 * (at < FLOATS ? FLOATS : at - FLOATS), left = ROUNDS;
    memcpy(cpu->guest + 8 * FROM, &from, 8);
    memcpy(cpu->guest + 8 * TO, &to, 8);
    memcpy(cpu->guest + 8 * LEFT, &left, 8);
    cpu->pc = PC;
    cpu->poll = 0;
    cpu->guest_mxcsr = 0x1f80;
    cpu->fault = (CpuFault){0};
    cpu->engine = engine;
    current_cpu = cpu;
    protect(PROT_NONE, PROT_READ);
}

static void take_state(State *s, InterpOutcome outcome) {
    protect(PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE);
    s->outcome = outcome;
    s->pc = cpu->pc;
    s->address = outcome == INTERP_FAULT ? cpu->fault.address : 0;
    memcpy(s->guest, cpu->guest, sizeof s->guest);
    memcpy(s->memory, pages, sizeof s->memory);
}

static void interpret(const KirBlock *block, State *s) {
    InterpOutcome outcome = INTERP_CONTINUE;
    KirException code;
    while (outcome == INTERP_CONTINUE && cpu->pc == PC) outcome = interp_run(cpu, block, &code);
    take_state(s, outcome);
}

static void compare(const KirBlock *block, const OptTrace *trace, uint64_t seed, unsigned at) {
    static State want, got;
    OptRun run;
    prepare(at);
    interpret(block, &want);
    prepare(at);
    opt_tier_enter(engine, cpu, trace, &run);
    take_state(&got, run.way == OPT_FAULT ? INTERP_FAULT : INTERP_CONTINUE);
    faults += got.outcome == INTERP_FAULT;
    if (memcmp(&want, &got, sizeof want)) {
        printf("FAIL --seed %lu: differs where access %u %s\n", seed, at, at < 2 * FLOATS ? "faults" : "is behind the last");
        failed++;
    } else {
        passed++;
    }
}

static void one_seed(uint64_t seed, uint32_t assumptions) {
    Arena arena = {0};
    OptTrace trace;
    state = seed * 2 + 1;
    for (int i = 0; i < 8; i++) below(2);
    KirBlock *block = make_block(&arena, seed);
    int32_t next[2] = {0, TRACE_LEAVES};
    TraceBlock traced = {.kir = block, .next = next, .next_indirect = TRACE_LEAVES, .weight = 100};
    TraceRequest request = {.id = 1, .assumptions = assumptions, .blocks = &traced, .block_count = 1};
    Reason reason = opt_tier_place(engine, &world, &request, &arena, &trace);
    if (reason != REASON_NONE) {
        printf("FAIL --seed %lu: %s\n", seed, reason_name(reason));
        failed++;
    }
    for (unsigned at = 0; reason == REASON_NONE && at <= 2 * FLOATS; at++) compare(block, &trace, seed, at);
    arena_free(&arena);
}

int main(int argc, char **argv) {
    static const uint16_t ints[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, floats[8] = {10, 11, 12, 13, 14, 15, 16, 17};
    static const EngineOptions options;
    uint64_t seed = number_argument(argc, argv, "--seed", 0), count = number_argument(argc, argv, "--count", DEFAULT_COUNT);
    pages = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) fatal("no memory");
    make_world();
    engine = fast_tier_new(&world, ints, floats, &options);
    cpu = cpu_new(engine, NULL);
    for (uint64_t i = seed; i < seed + count; i++) one_seed(i, i % 2 ? TRACE_PRIVATE_MEMORY : 0);
    printf("%lu faults with exact registers\n", faults);
    printf("%lu passed, %lu failed\n", passed, failed);
    return failed != 0;
}
