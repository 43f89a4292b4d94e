// SPDX-License-Identifier: MIT
//
// Random blocks in every tier: the interpreter on the block as it was made, operation for operation, is the
// reference; everything else must leave the same registers, memory, floating-point environment and way out.
//
//   test_tiers [--seed N] [--count N] [--tier NAME] [--scalar yes]
//
// --scalar leaves out blocks with vectors. Block i of a run has the seed SEED + i, so `--seed N --count 1`
// repeats a failure. Every operation of ops.def must have come up.
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "arguments.h"
#include "base/error.h"
#include "fast_tier.h"
#include "ir/info.h"
#include "kir_random.h"

enum { DEFAULT_COUNT = 4000, LARGEST_BLOCK = 12, PAGE = 4096, MXCSR_COMPARED = 0x603d, REPORTED = 3 };

// Everything a block may change. The outcome's details count where it has any.
typedef struct State {
    InterpOutcome outcome;
    KirException code;
    uint64_t pc, address;
    uint32_t mxcsr;
    uint8_t guest[320], memory[RANDOM_BUFFER];
} State;

typedef struct Tier {
    const char *name;
    RandomMaking making;
    void (*prepare)(Arena *arena, KirBlock **block);
    EngineOptions options;
    Engine *engine; // NULL: interpreter
    bool fast;
} Tier;

static uint8_t *buffer; // RANDOM_BUFFER bytes, then a page without access
static Cpu *cpu;
static Engine *any_engine;
static unsigned long passed, failed;
static unsigned seen[KIR_OP_COUNT];
static sigjmp_buf after_abort; // a tier that gives up by bug() costs its block, not the run

// ---- what is done to a block before it runs -----------------------------------------------------
static void optimise(Arena *arena, KirBlock **block) { kir_optimise(*block, 0); }

static void through_text(Arena *arena, KirBlock **block) {
    KirText text = {0};
    char error[200];
    kir_print(&text, *block);
    KirBlock *read = kir_parse(arena, &kir_random_world, text.data, error, sizeof error);
    if (!read) printf("FAIL text form: %s\n%s", error, text.data);
    free(text.data);
    *block = read;
}

static void through_binary(Arena *arena, KirBlock **block) {
    size_t size = kir_write(*block, NULL, 0);
    uint8_t *data = arena_alloc(arena, size + 1);
    kir_write(*block, data, size);
    KirBlock *read = kir_read(arena, &kir_random_world, data, size);
    if (!read) printf("FAIL binary form is refused\n");
    *block = read;
}

static Tier tiers[] = {
    {.name = "built", .making = RANDOM_BUILT},
    {.name = "optimised", .making = RANDOM_BUILT, .prepare = optimise},
    {.name = "raw-optimised", .making = RANDOM_RAW, .prepare = optimise},
    {.name = "text", .making = RANDOM_BUILT, .prepare = through_text},
    {.name = "binary", .making = RANDOM_BUILT, .prepare = through_binary},
    {.name = "fast", .making = RANDOM_BUILT, .prepare = optimise, .fast = true},
    {.name = "fast-raw", .making = RANDOM_RAW, .fast = true},
    {.name = "fast-no-avx",
     .making = RANDOM_BUILT,
     .prepare = optimise,
     .fast = true,
     .options = {.no_avx = true, .no_fma = true, .no_bmi = true}},
    {.name = "fast-no-fma", .making = RANDOM_BUILT, .prepare = optimise, .fast = true, .options = {.no_fma = true}},
    {.name = "fast-eval-all", .making = RANDOM_BUILT, .prepare = optimise, .fast = true, .options = {.eval_all = true}},
};
enum { TIERS = sizeof tiers / sizeof *tiers };

// ---- running ------------------------------------------------------------------------------------
static void run(const Tier *tier, const KirBlock *block, uint64_t seed, State *state) {
    KirException code = KIR_EXC_RESUME;
    kir_random_state(cpu, seed, buffer);
    cpu->engine = tier && tier->engine ? tier->engine : any_engine;
    current_cpu = cpu;
    memset(state, 0, sizeof *state);
    state->outcome = tier && tier->engine ? fast_tier_run(tier->engine, cpu, block, &code) : interp_run(cpu, block, &code);
    state->pc = cpu->pc;
    if (state->outcome == INTERP_EXCEPTION) state->code = code;
    if (state->outcome == INTERP_EXCEPTION && code == KIR_EXC_MISALIGNED_ADDRESS) state->address = cpu->fault.address;
    if (state->outcome == INTERP_FAULT) state->address = cpu->fault.address & ~(uint64_t)(PAGE - 1);
    state->mxcsr = cpu->guest_mxcsr & MXCSR_COMPARED;
    memcpy(state->guest, cpu->guest, sizeof state->guest);
    memcpy(state->memory, buffer, sizeof state->memory);
}

static void print_block(const KirBlock *block) {
    KirText text = {0};
    kir_print(&text, block);
    fputs(text.data, stdout);
    free(text.data);
}

static void print_global(unsigned i, const State *want, const State *got) {
    const KirGlobal *global = &kir_random_world.globals[i];
    unsigned bytes = kir_type_bits((KirType)global->type) / 8;
    KirWide x = {0, 0}, y = {0, 0};
    memcpy(&x, want->guest + global->offset, bytes);
    memcpy(&y, got->guest + global->offset, bytes);
    if (memcmp(&x, &y, sizeof x)) printf("  %s: %016lx%016lx, should be %016lx%016lx\n", global->name, y.hi, y.lo, x.hi, x.lo);
}

static void report(const Tier *tier, uint64_t seed, const KirBlock *raw, const KirBlock *block, const State *want,
                   const State *got) {
    static unsigned reported;
    printf("FAIL %s: --seed %lu\n", tier->name, seed);
    failed++;
    if (reported++ >= REPORTED) return;
    print_block(raw);
    if (block != raw) printf("-- as it ran:\n"), print_block(block);
    printf("  outcome %d code %d pc %#lx address %#lx mxcsr %#x, should be %d code %d pc %#lx address %#lx "
           "mxcsr %#x\n",
           got->outcome, got->code, got->pc, got->address, got->mxcsr, want->outcome, want->code, want->pc, want->address,
           want->mxcsr);
    for (unsigned i = 0; i < RANDOM_GLOBALS; i++) print_global(i, want, got);
    for (unsigned i = 0; i < RANDOM_BUFFER; i++)
        if (want->memory[i] != got->memory[i]) printf("  buffer[%#x]: %02x, should be %02x\n", i, got->memory[i], want->memory[i]);
}

static bool valid(const KirBlock *block, const char *what, uint64_t seed) {
    char error[200];
    if (block && kir_verify(block, error, sizeof error)) return true;
    printf("FAIL %s: --seed %lu: %s\n", what, seed, block ? error : "no block");
    failed++;
    return false;
}

// What the fast tier has no code for: the guests that it runs do not ask for it.
static bool fast_can(const KirBlock *block) {
    for (uint32_t i = 0; i < block->count; i++)
        if (block->insns[i].op == KIR_CAS && block->insns[i].type == KIR_I128) return false;
    return true;
}

static void on_abort(int signal) { siglongjmp(after_abort, 1); }

static void compare(const Tier *tier, Arena *arena, uint64_t seed, unsigned size, const KirBlock *raw, const State *want) {
    KirBlock *block = kir_random_block(arena, tier->making, seed, size, buffer);
    if (tier->prepare) tier->prepare(arena, &block);
    State got;
    if (!valid(block, tier->name, seed) || (tier->fast && !fast_can(block))) return;
    if (sigsetjmp(after_abort, 1)) {
        printf("FAIL %s: --seed %lu: aborted\n", tier->name, seed);
        failed++;
        return;
    }
    run(tier, block, seed, &got);
    if (memcmp(&got, want, sizeof got)) report(tier, seed, raw, block, want, &got);
    else passed++;
}

static void one_seed(Arena *arena, uint64_t seed, const char *only) {
    unsigned size = 1 + (unsigned)(seed % LARGEST_BLOCK);
    KirBlock *raw = kir_random_block(arena, RANDOM_RAW, seed, size, buffer);
    State want;
    if (!valid(raw, "raw", seed)) return;
    for (uint32_t i = 0; i < raw->count; i++) seen[raw->insns[i].op]++;
    run(NULL, raw, seed, &want);
    for (unsigned i = 0; i < TIERS; i++)
        if (!only || !strcmp(only, tiers[i].name)) compare(&tiers[i], arena, seed, size, raw, &want);
    arena_reset(arena);
}

static void set_up(const char *only) {
    static const uint16_t ints[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, floats[8] = {16, 17, 18, 19, 20, 21, 22, 23};
    buffer = mmap(NULL, RANDOM_BUFFER + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffer == MAP_FAILED || mprotect(buffer + RANDOM_BUFFER, PAGE, PROT_NONE)) fatal("no memory");
    for (unsigned i = 0; i < TIERS; i++)
        if (tiers[i].fast && (!any_engine || !only || !strcmp(only, tiers[i].name)))
            any_engine = tiers[i].engine = fast_tier_new(&kir_random_world, ints, floats, &tiers[i].options);
    cpu = cpu_new(any_engine, NULL);
}

static void check_coverage(void) {
    unsigned rarest = ~0u;
    for (unsigned op = 0; op < KIR_OP_COUNT; op++) {
        if (seen[op] < rarest) rarest = seen[op];
        if (seen[op]) continue;
        printf("FAIL operation %s never came up\n", kir_op_info[op].name);
        failed++;
    }
    printf("%d operations, the rarest %u times\n", KIR_OP_COUNT, rarest);
}

int main(int argc, char **argv) {
    uint64_t seed = number_argument(argc, argv, "--seed", 1), count = number_argument(argc, argv, "--count", DEFAULT_COUNT);
    const char *only = text_argument(argc, argv, "--tier");
    bool scalar = text_argument(argc, argv, "--scalar");
    set_up(only);
    signal(SIGABRT, on_abort);
    Arena arena = {0};
    for (uint64_t i = 0; i < count; i++)
        if (!scalar || kir_random_is_scalar(seed + i)) one_seed(&arena, seed + i, only);
    if (!scalar && count >= DEFAULT_COUNT) check_coverage();
    printf("%lu passed, %lu failed\n", passed, failed);
    arena_free(&arena);
    return failed != 0;
}
