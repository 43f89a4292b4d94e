// SPDX-License-Identifier: MIT
//
// Random regions of blocks as traces of the optimizer, against the interpreter that runs them block by block: registers, memory,
// floating-point environment and way out must be the same, under every set of options.
//
//   test_opt_traces [--seed N] [--count N] [--blocks N] [--variant NAME] [--scalar yes] [--text yes]
//
// Region i of a run has the seed SEED + i; `--seed N --count 1 --variant NAME` repeats a failure. Without --variant each seed takes
// the next one. Of ten seeds two are loops over arrays, two loops of floating point that sum up, one is a walk over memory around two pointers; half of the others have one block. A random region's blocks start with a drop of fuel, so each run ends; at some
// level of the fuel, the thread is asked to poll.
//
// The variants in exact mode run with the buffer cut in two pages at a place that the seed chooses, and each page in turn without access, or
// read-only: what faults must leave the interpreter's registers, floating-point environment, memory and pc. They are counted.
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "arguments.h"
#include "base/error.h"
#include "ir/fold.h"
#include "ir/info.h"
#include "kir_random.h"
#include "opt/compiler.h"
#include "opt_tier.h"

enum {
    DEFAULT_COUNT = 2000,
    MAX_BLOCKS = 6,
    LARGEST_BLOCK = 8,
    PAGE = 4096,
    MXCSR_COMPARED = 0x603d,
    REPORTED = 3,
    FUEL = RANDOM_GLOBALS, // one more global
    FUEL_OFFSET = 320,
    STATE_BYTES = FUEL_OFFSET + 8,
    FULL = 40,
    PC_STEP = 0x10000,
    OUTSIDE = 0x7000,
};

typedef struct Variant {
    const char *name;
    uint32_t assumptions, options;
    bool lacks_pass; // the seed says which one
} Variant;
#define DIES    TRACE_NO_FAULT_HANDLER
#define PRIVATE (TRACE_NO_FAULT_HANDLER | TRACE_PRIVATE_MEMORY)
static const Variant variants[] = {
    {"private", PRIVATE, 0, false},
    {"shared", DIES, 0, false},
    {"no-avx", PRIVATE, TRACE_NO_AVX | TRACE_NO_FMA | TRACE_NO_BMI, false},
    {"no-fma", PRIVATE, TRACE_NO_FMA, false},
    {"no-passes", PRIVATE, TRACE_NO_PASSES, false},
    {"no-passes-shared", DIES, TRACE_NO_PASSES, false},
    {"eval-all", PRIVATE, TRACE_EVAL_ALL, false},
    {"no-vectors", PRIVATE, TRACE_NO_VECTORS | TRACE_NO_BMI, false},
    {"exact", TRACE_PRIVATE_MEMORY, 0, false},
    {"exact-shared", 0, 0, false},
    {"exact-no-avx", TRACE_PRIVATE_MEMORY, TRACE_NO_AVX | TRACE_NO_FMA | TRACE_NO_BMI, false},
    {"lacks-pass", PRIVATE, 0, true},
    {"exact-lacks-pass", 0, 0, true},
    {"exact-no-passes", 0, TRACE_NO_PASSES, false},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

#define OPTIMIZER_PASS(name, text, loops, strips) +1
enum {
    PASSES = 0
#include "ir/optimizer_passes.def"
};
#undef OPTIMIZER_PASS

// What is done to the pages that the buffer lies in.
typedef struct Protection {
    int first, second;
} Protection;
#define ALL (PROT_READ | PROT_WRITE)
static const Protection protections[] = {{ALL, ALL}, {PROT_NONE, ALL}, {ALL, PROT_NONE}, {PROT_READ, ALL}, {ALL, PROT_READ}};
enum { PROTECTIONS = sizeof protections / sizeof *protections };

typedef struct Region {
    KirBlock *blocks[MAX_BLOCKS];
    TraceBlock trace[MAX_BLOCKS];
    unsigned count;
} Region;

typedef struct State {
    InterpOutcome outcome;
    KirException code;
    uint64_t pc, address;
    uint32_t mxcsr;
    uint8_t guest[STATE_BYTES], memory[RANDOM_BUFFER];
} State;

static uint8_t *buffer;
static Cpu *cpu;
static Engine *engine;
static KirWorld world;
static unsigned poll_helper;
static uint64_t poll_at; // fuel level
static uint8_t *pages;   // two and an inaccessible one; the buffer begins in the first
static unsigned long passed, failed, faults, polls, inside, fallbacks, endings[4];
static bool show_text;

static uint64_t ask_to_poll(void *c, uint64_t fuel, uint64_t b, uint64_t d) {
    if (fuel == poll_at) ((Cpu *)c)->poll = 1;
    return 0;
}

static void make_world(void) {
    KirGlobal *globals = calloc(RANDOM_GLOBALS + 1, sizeof *globals);
    KirHelper *helpers = calloc(kir_random_world.helper_count + 1, sizeof *helpers);
    if (!globals || !helpers) fatal("out of memory");
    memcpy(globals, kir_random_world.globals, RANDOM_GLOBALS * sizeof *globals);
    memcpy(helpers, kir_random_world.helpers, kir_random_world.helper_count * sizeof *helpers);
    globals[FUEL] = (KirGlobal){"fuel", FUEL_OFFSET, KIR_I64};
    poll_helper = kir_random_world.helper_count;
    helpers[poll_helper] = (KirHelper){"ask_to_poll", ask_to_poll, KIR_VOID, {KIR_I64, KIR_VOID, KIR_VOID}, 0};
    world = (KirWorld){globals, RANDOM_GLOBALS + 1, helpers, kir_random_world.helper_count + 1};
}

// ---- making a region ------------------------------------------------------------------------------------------------------------
static uint64_t next_random(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1du >> 33;
}

static uint64_t pc_of(unsigned block) { return 0x10000 + (uint64_t)block * PC_STEP; }

static KirRef append(KirBlock *block, KirOp op, KirType type, unsigned aux, uint32_t a, uint32_t b, uint32_t c) {
    return kir_append(block, (KirInsn){.op = (uint8_t)op, .type = (uint8_t)type, .aux = (uint16_t)aux, .a = a, .b = b, .c = c});
}
static KirRef append_const(KirBlock *block, uint64_t value) {
    return kir_append(block, (KirInsn){.op = KIR_CONST, .type = KIR_I64, .c = KIR_NONE, .imm = value});
}

// insn; fuel = fuel - 1; leave if it is empty; perhaps ask to poll.
static void begin(KirBlock *block, bool may_poll) {
    KirBuilder unused;
    kir_builder_init(&unused, block);
    unsigned exit = kir_exit_new(&unused, (KirExit){.target = OUTSIDE});
    kir_append(block, (KirInsn){.op = KIR_INSN, .aux = 4, .c = KIR_NONE, .imm = block->pc});
    KirRef fuel = append(block, KIR_GET, KIR_I64, 0, FUEL, KIR_NONE, KIR_NONE), one = append_const(block, 1);
    KirRef less = append(block, KIR_SUB, KIR_I64, 0, fuel, one, KIR_NONE), zero = append_const(block, 0);
    append(block, KIR_SET, KIR_I64, 0, FUEL, less, KIR_NONE);
    KirRef empty = append(block, KIR_CMP, KIR_I64, KIR_EQ, less, zero, KIR_NONE);
    if (may_poll) append(block, KIR_CALL, KIR_VOID, 0, poll_helper, less, KIR_NONE);
    append(block, KIR_EXIT_IF, KIR_VOID, 0, empty, exit, KIR_NONE);
}

// Exits of a random block lead into the region.
static void redirect(KirBlock *block, uint64_t *state, unsigned blocks) {
    for (uint32_t i = 0; i < block->exit_count; i++) {
        KirExit *exit = &block->exits[i];
        if (exit->kind == KIR_EXIT_DIRECT && next_random(state) % 3) exit->target = pc_of((unsigned)(next_random(state) % blocks));
    }
}

// Operations [0, count) of another block behind what is there; its instructions' addresses move by `delta`.
static void take_over(KirBlock *block, const KirBlock *from, uint32_t count, uint64_t delta) {
    uint32_t shift = block->count, exit_shift = block->exit_count, wide_shift = block->wide_count;
    KirBuilder unused;
    kir_builder_init(&unused, block);
    block->wide_count += from->wide_count;
    block->wides =
        arena_grow(block->arena, block->wides, wide_shift * sizeof *block->wides, (block->wide_count + 1) * sizeof *block->wides);
    for (uint32_t i = 0; i < from->wide_count; i++) block->wides[wide_shift + i] = from->wides[i];
    block->wide_capacity = block->wide_count;
    for (uint32_t i = 0; i < from->exit_count; i++) kir_exit_new(&unused, from->exits[i]);
    for (uint32_t i = 0; i < count; i++) {
        KirInsn insn = from->insns[i];
        uint32_t *refs[3];
        int n = kir_operands(&insn, refs);
        for (int j = 0; j < n; j++) *refs[j] += shift;
        if (insn.op == KIR_INSN) insn.imm += delta;
        if (insn.op == KIR_CONSTV) insn.a += wide_shift;
        if (insn.op == KIR_EXIT_IF || insn.op == KIR_EXIT_COND) insn.b += exit_shift;
        if (insn.op == KIR_EXIT_COND) insn.c += exit_shift;
        if (insn.op == KIR_EXIT || insn.op == KIR_POLL) insn.a += exit_shift;
        kir_append(block, insn);
    }
}

// A final indirect exit that is often predicted right: pc = low ? a block's pc : what it was. The block, or TRACE_LEAVES.
static int32_t predict(KirBlock *block, uint64_t *state, unsigned blocks) {
    KirInsn last = block->insns[block->count - 1];
    if (last.op != KIR_EXIT_IND || next_random(state) % 4 == 0) return TRACE_LEAVES;
    unsigned target = (unsigned)(next_random(state) % blocks);
    block->count--;
    KirRef middle = append_const(block, 1ull << 62), pc = append_const(block, pc_of(target));
    KirRef low = append(block, KIR_CMP, KIR_I64, KIR_LTU, last.a, middle, KIR_NONE);
    last.a = append(block, KIR_SELECT, KIR_I64, 0, low, pc, last.a);
    kir_append(block, last);
    return (int32_t)target;
}

static void connect(Arena *arena, Region *region, unsigned i, int32_t predicted, uint64_t *state) {
    KirBlock *block = region->blocks[i];
    int32_t *next = arena_alloc(arena, (block->exit_count + 1) * sizeof *next);
    for (uint32_t j = 0; j < block->exit_count; j++) {
        next[j] = TRACE_LEAVES;
        for (unsigned k = 0; k < region->count; k++)
            if (block->exits[j].kind == KIR_EXIT_DIRECT && block->exits[j].target == pc_of(k)) next[j] = (int32_t)k;
    }
    region->trace[i] =
        (TraceBlock){.kir = block, .next = next, .next_indirect = predicted, .weight = (uint32_t)next_random(state) & 1023};
}

// A block by itself; or one that runs into the next block's first instruction and holds all of it: both shall be the same then.
static int32_t fill(Region *region, unsigned i, const KirBlock *from, uint64_t *state) {
    KirBlock *block = region->blocks[i];
    bool runs_on = i + 1 < region->count && next_random(state) % 4 == 0;
    take_over(block, from, runs_on ? from->count - 1 : from->count, block->pc + 4 - from->pc);
    if (!runs_on) return predict(block, state, region->count);
    take_over(block, region->blocks[i + 1], region->blocks[i + 1]->count, 0);
    return region->trace[i + 1].next_indirect;
}

// From the last block to the first.
static void make_region(Arena *arena, Region *region, uint64_t seed, unsigned count) {
    uint64_t state = seed * 2 + 1;
    for (int i = 0; i < 8; i++) next_random(&state);
    region->count = count;
    for (unsigned i = count; i-- > 0;) {
        // The parity of the seed says whether it is scalar: it stays the region's.
        KirBlock *from =
            kir_random_block(arena, RANDOM_RAW, seed + 1000000ull * i, 1 + (unsigned)((seed / 2 + i) % LARGEST_BLOCK), buffer);
        KirBlock *block = region->blocks[i] = kir_block_new(arena, &world, pc_of(i), 0);
        redirect(from, &state, count);
        begin(block, next_random(&state) % 4 == 0);
        connect(arena, region, i, fill(region, i, from, &state), &state);
    }
}

// ---- loops that LLVM may vectorise ----------------------------------------------------------------------------------------------
// p, q, n, sum, rounds: globals x0 to x4. Block 0 sets them, block 1 is a loop over arrays that may overlap, block 2 runs it again.
enum { P, Q, N, SUM, ROUNDS, LOOP_BLOCKS = 3, PALETTE = 5 };

typedef struct Loop {
    KirBuilder b;
    uint64_t *state;
    unsigned log2_size, type;
    unsigned palette[PALETTE]; // which special numbers there are (make_sums)
} Loop;

static uint64_t choose(Loop *loop, uint64_t n) { return next_random(loop->state) % n; }

static void start_block(Loop *loop, Arena *arena, Region *region, unsigned i) {
    region->blocks[i] = kir_block_new(arena, &world, pc_of(i), 0);
    kir_builder_init(&loop->b, region->blocks[i]);
    kir_insn_start(&loop->b, pc_of(i), 4);
}

static void set_const(Loop *loop, unsigned global, uint64_t value) {
    kir_set(&loop->b, global, kir_const(&loop->b, KIR_I64, value));
}

static KirRef add_to(Loop *loop, unsigned global, int64_t value) {
    KirRef sum =
        kir_emit(&loop->b, KIR_ADD, KIR_I64, 0, kir_get(&loop->b, global), kir_const(&loop->b, KIR_I64, (uint64_t)value), KIR_NONE);
    kir_set(&loop->b, global, sum);
    return sum;
}

static KirRef is_not_zero(Loop *loop, KirRef x) {
    return kir_emit(&loop->b, KIR_CMP, KIR_I64, KIR_NE, x, kir_const(&loop->b, KIR_I64, 0), KIR_NONE);
}

static KirRef load_element(Loop *loop, unsigned pointer) {
    unsigned is_signed = loop->log2_size < 3 && choose(loop, 2) ? KIR_MEM_SIGNED : 0;
    int32_t displacement = (int32_t)choose(loop, 5) - 2;
    return kir_load(&loop->b, (KirType)loop->type, loop->log2_size | is_signed, kir_get(&loop->b, pointer),
                    displacement * (1 << loop->log2_size));
}

static void set_up_arrays(Loop *loop) {
    uint64_t bytes = RANDOM_BUFFER / 2 - 64, n = 1 + choose(loop, bytes >> loop->log2_size);
    set_const(loop, P, (uint64_t)buffer + 64 + choose(loop, choose(loop, 2) ? 40 : bytes));
    set_const(loop, Q, (uint64_t)buffer + 64 + choose(loop, choose(loop, 2) ? 40 : bytes));
    set_const(loop, N, choose(loop, 3) ? n : 1 + n % 9);
}

static void loop_body(Loop *loop) {
    static const uint8_t operations[] = {KIR_ADD, KIR_SUB, KIR_MUL, KIR_AND, KIR_OR, KIR_XOR};
    KirRef v = load_element(loop, P), w = load_element(loop, Q);
    KirRef r = kir_emit(&loop->b, (KirOp)operations[choose(loop, sizeof operations)], (KirType)loop->type, 0, v, w, KIR_NONE);
    if (choose(loop, 4) == 0) {
        KirRef less = kir_emit(&loop->b, KIR_CMP, (KirType)loop->type, (unsigned)choose(loop, KIR_GEU + 1), v, r, KIR_NONE);
        r = kir_emit(&loop->b, KIR_SELECT, (KirType)loop->type, 0, less, w, r);
    }
    if (choose(loop, 3)) kir_store(&loop->b, loop->log2_size, kir_get(&loop->b, choose(loop, 2) ? P : Q), 0, r);
    if (choose(loop, 2)) {
        KirRef wide = loop->type == KIR_I64 ? r : kir_emit(&loop->b, KIR_SEXT, KIR_I64, 0, r, KIR_NONE, KIR_NONE);
        kir_set(&loop->b, SUM, kir_emit(&loop->b, KIR_ADD, KIR_I64, 0, kir_get(&loop->b, SUM), wide, KIR_NONE));
    }
    if (choose(loop, 6) == 0) {
        KirRef found = kir_emit(&loop->b, KIR_CMP, (KirType)loop->type, KIR_EQ, v, w, KIR_NONE);
        kir_exit_if(&loop->b, found, kir_exit_new(&loop->b, (KirExit){.target = OUTSIDE + 8}));
    }
    add_to(loop, P, 1 << loop->log2_size);
    add_to(loop, Q, 1 << loop->log2_size);
}

static void make_loop(Arena *arena, Region *region, uint64_t seed) {
    uint64_t state = seed * 2 + 1;
    for (int i = 0; i < 8; i++) next_random(&state);
    Loop loop = {.state = &state, .log2_size = (unsigned)(next_random(&state) % 4)};
    loop.type = loop.log2_size == 3 || next_random(&state) % 2 ? KIR_I64 : KIR_I32;
    region->count = LOOP_BLOCKS;
    start_block(&loop, arena, region, 0);
    set_up_arrays(&loop);
    set_const(&loop, ROUNDS, 1 + choose(&loop, 3));
    kir_exit(&loop.b, kir_exit_direct(&loop.b, pc_of(1)));
    start_block(&loop, arena, region, 1);
    loop_body(&loop);
    KirRef more = is_not_zero(&loop, add_to(&loop, N, -1));
    kir_exit_cond(&loop.b, more, kir_exit_direct(&loop.b, pc_of(1)), kir_exit_direct(&loop.b, pc_of(2)));
    start_block(&loop, arena, region, 2);
    set_up_arrays(&loop);
    more = is_not_zero(&loop, add_to(&loop, ROUNDS, -1));
    kir_exit_cond(&loop.b, more, kir_exit_direct(&loop.b, pc_of(1)), kir_exit_direct(&loop.b, OUTSIDE));
    for (unsigned i = 0; i < LOOP_BLOCKS; i++) connect(arena, region, i, TRACE_LEAVES, &state);
}

// ---- walks ----------------------------------------------------------------------------------------------------------------------
static void walk_atomically(Loop *loop, unsigned size, KirRef at, int32_t displacement, unsigned global) {
    KirRef by = kir_const(&loop->b, KIR_I64, (uint64_t)(int64_t)displacement), x = kir_get(&loop->b, SUM),
           y = kir_get(&loop->b, global);
    at = kir_emit(&loop->b, KIR_ADD, KIR_I64, 0, at, by, KIR_NONE);
    KirRef old = choose(loop, 3) ? kir_emit(&loop->b, KIR_AMO, KIR_I64, size | KIR_MEM_ALIGNED, at, x,
                                            (uint32_t)choose(loop, KIR_AMO_CLEAR + 1))
                                 : kir_emit(&loop->b, KIR_CAS, KIR_I64, size | KIR_MEM_ALIGNED, at, x, y);
    kir_set(&loop->b, choose(loop, 2) ? SUM : global, old);
}

// Blocks 1, a loop, and 2 access memory around P and Q again and again, as far apart as a page: many cannot fault where others did not.
static void walk(Loop *loop, unsigned block) {
    for (unsigned i = 0, n = 3 + (unsigned)choose(loop, 10); i < n; i++) {
        kir_insn_start(&loop->b, pc_of(block) + 4 * (i + 1), 4);
        int32_t displacement =
            (int32_t)choose(loop, choose(loop, 3) ? 64 : 1600) - (int32_t)choose(loop, choose(loop, 3) ? 32 : 900);
        unsigned log2_size = (unsigned)choose(loop, 4), other = 5 + (unsigned)choose(loop, 11);
        KirRef at = kir_get(&loop->b, choose(loop, 2) ? P : Q);
        if (choose(loop, 3) == 0) {
            KirRef by = kir_const(&loop->b, KIR_I64, choose(loop, 32) - 16);
            at = kir_emit(&loop->b, choose(loop, 2) ? KIR_ADD : KIR_SUB, KIR_I64, 0, at, by, KIR_NONE);
        }
        switch (choose(loop, 8)) {
        case 0:
        case 1: kir_store(&loop->b, log2_size, at, displacement, kir_get(&loop->b, choose(loop, 2) ? SUM : other)); break;
        case 2: add_to(loop, choose(loop, 2) ? P : Q, 8 - (int64_t)choose(loop, 16)); break;
        case 3:
            if (choose(loop, 4) == 0) kir_set(&loop->b, choose(loop, 2) ? P : Q, at);
            else add_to(loop, other, 3);
            break;
        case 4: walk_atomically(loop, choose(loop, 3) ? 0 : log2_size, at, displacement, other); break;
        default: {
            KirRef loaded = kir_load(&loop->b, KIR_I64, log2_size | (unsigned)choose(loop, 2) * KIR_MEM_SIGNED, at, displacement);
            KirRef sum = kir_emit(&loop->b, KIR_ADD, KIR_I64, 0, kir_get(&loop->b, SUM), loaded, KIR_NONE);
            kir_set(&loop->b, choose(loop, 2) ? SUM : other, sum);
        }
        }
    }
    kir_insn_start(&loop->b, pc_of(block) + 64, 4);
}

static void make_walk(Arena *arena, Region *region, uint64_t seed) {
    uint64_t state = seed * 2 + 1;
    for (int i = 0; i < 8; i++) next_random(&state);
    Loop loop = {.state = &state};
    region->count = LOOP_BLOCKS;
    start_block(&loop, arena, region, 0);
    set_const(&loop, P, (uint64_t)buffer + 1600 + choose(&loop, 300));
    set_const(&loop, Q, (uint64_t)buffer + 1600 + choose(&loop, 300));
    set_const(&loop, N, 1 + choose(&loop, 5));
    kir_exit(&loop.b, kir_exit_direct(&loop.b, pc_of(1)));
    start_block(&loop, arena, region, 1);
    walk(&loop, 1);
    KirRef more = is_not_zero(&loop, add_to(&loop, N, -1));
    kir_exit_cond(&loop.b, more, kir_exit_direct(&loop.b, pc_of(1)), kir_exit_direct(&loop.b, pc_of(2)));
    start_block(&loop, arena, region, 2);
    walk(&loop, 2);
    kir_exit(&loop.b, kir_exit_direct(&loop.b, OUTSIDE));
    for (unsigned i = 0; i < LOOP_BLOCKS; i++) connect(arena, region, i, TRACE_LEAVES, &state);
}

// ---- sums -----------------------------------------------------------------------------------------------------------------------
// Block 1, a loop, and block 2 compute with few different elements, often infinite, zero or some quiet NaN, as a flag that all raise shows nothing, in registers that hold doubles, or singles in a
// box; flags are read and cleared on the way. Registers 0 to SINGLES - 1 are those that hold singles most of the time.
enum { FLOATS = RANDOM_INT, SINGLES = 3, ELEMENTS = 40 };

static uint64_t special(Loop *loop, bool wide) {
    static const uint64_t doubles[] = {0,
                                       1ull << 63,
                                       0x7ffull << 52,
                                       0xfffull << 52,
                                       0x7ff8000000000000,
                                       0xfff8000000000001,
                                       0xffffffff7fc00123,
                                       0x7ff0000000000001,
                                       1,
                                       0x3ff0000000000000,
                                       0x4008000000000001,
                                       0x7fe0000000000000};
    static const uint32_t singles[] = {0,          1u << 31,   0x7f800000, 0xff800000, 0x7fc00000, 0xffc00001,
                                       0x7fc00123, 0x7f800001, 1,          0x3f800000, 0x40400001, 0x7f000000};
    unsigned i = loop->palette[choose(loop, PALETTE)];
    return wide ? doubles[i] : singles[i];
}

static void set_up_elements(Loop *loop) {
    set_const(loop, P, (uint64_t)buffer + 64 + 8 * choose(loop, 8));
    set_const(loop, Q, (uint64_t)buffer + 64 + 8 * choose(loop, 8));
    set_const(loop, N, 1 + choose(loop, 9));
    KirRef at = kir_const(&loop->b, KIR_I64, (uint64_t)buffer + 64);
    for (unsigned i = 0; i < ELEMENTS; i++)
        kir_store(&loop->b, 2, at, (int32_t)i * 4, kir_const(&loop->b, KIR_I32, special(loop, true) >> (i % 2 ? 32 : 0)));
    for (unsigned i = 0; i < ELEMENTS / 4; i++)
        kir_store(&loop->b, loop->log2_size, at, (int32_t)choose(loop, ELEMENTS / 2) * 8,
                  kir_const(&loop->b, loop->log2_size == 3 ? KIR_I64 : KIR_I32, special(loop, loop->log2_size == 3)));
    for (unsigned i = 0; i < RANDOM_FLOAT; i++) {
        uint64_t bits = i < SINGLES && choose(loop, 8) ? special(loop, false) | 0xffffffffull << 32 : special(loop, true);
        kir_set(&loop->b, FLOATS + i, kir_const(&loop->b, KIR_F64, bits));
    }
}

static unsigned a_float(Loop *loop, KirType type) {
    bool other = choose(loop, 24) == 0, single = (type == KIR_F32) != other;
    return FLOATS + (unsigned)(single ? choose(loop, SINGLES) : SINGLES + choose(loop, RANDOM_FLOAT - SINGLES));
}

static KirRef get_number(Loop *loop, KirType type, unsigned global) {
    KirRef v = kir_get(&loop->b, global);
    return type == KIR_F32 ? kir_emit(&loop->b, KIR_NANUNBOX, KIR_F32, 0, v, KIR_NONE, KIR_NONE) : v;
}

static KirRef some_number(Loop *loop, KirType type) {
    unsigned log2_size = type == KIR_F32 ? 2 : 3;
    if (choose(loop, 2)) return get_number(loop, type, a_float(loop, type));
    return kir_load(&loop->b, type, log2_size, kir_get(&loop->b, choose(loop, 2) ? P : Q), (int32_t)choose(loop, 4) << log2_size);
}

static void set_number(Loop *loop, KirType type, unsigned global, KirRef v) {
    if (type == KIR_F32) v = kir_emit(&loop->b, KIR_NANBOX, KIR_F64, 0, v, KIR_NONE, KIR_NONE);
    kir_set(&loop->b, global, v);
}

static void compute(Loop *loop, unsigned block) {
    static const uint8_t operations[] = {KIR_FADD, KIR_FSUB, KIR_FMUL, KIR_FDIV, KIR_FSQRT, KIR_FNEG, KIR_FMAX, KIR_FCOPYSIGN};
    KirType type = choose(loop, 4) ? (KirType)loop->type : (KirType)(KIR_F32 + KIR_F64 - loop->type);
    unsigned into = a_float(loop, type);
    KirRef a = some_number(loop, type), b = some_number(loop, type), c, r;
    switch (choose(loop, 12)) {
    case 0: {
        KirOp op = (KirOp)operations[choose(loop, sizeof operations)];
        bool plain = op == KIR_FNEG || op == KIR_FCOPYSIGN, one = op == KIR_FSQRT || op == KIR_FNEG;
        r = kir_emit(&loop->b, op, type, op == KIR_FMAX ? KIR_FP_NUMBER : plain ? 0 : KIR_RDYN, a, one ? KIR_NONE : b, KIR_NONE);
        break;
    }
    case 1: r = a; break;
    case 2: kir_store(&loop->b, type == KIR_F32 ? 2 : 3, kir_get(&loop->b, choose(loop, 2) ? P : Q), 0, a); return;
    case 3: {
        KirRef flags = kir_emit(&loop->b, KIR_FGETFLAGS, KIR_I64, 0, KIR_NONE, KIR_NONE, KIR_NONE);
        KirRef less = kir_emit(&loop->b, KIR_FCMP, type, KIR_FLT_S, a, b, KIR_NONE);
        if (choose(loop, 2)) flags = kir_const(&loop->b, KIR_I64, choose(loop, 3) ? 0 : 16);
        else if (choose(loop, 2)) kir_set(&loop->b, 5, flags);
        kir_emit(&loop->b, KIR_FSETFLAGS, KIR_VOID, 0, flags, KIR_NONE, KIR_NONE);
        bool onward = block == 1 && choose(loop, 2); // block 2 to itself would never end
        if (choose(loop, 2))
            kir_exit_if(&loop->b, less, kir_exit_new(&loop->b, (KirExit){.target = onward ? pc_of(2) : OUTSIDE + 8}));
        return;
    }
    case 4:
    case 5:
        r = kir_emit(&loop->b, choose(loop, 2) ? KIR_FADD : KIR_FSUB, type, KIR_RDYN, get_number(loop, type, into), b, KIR_NONE);
        break;
    case 6: kir_set(&loop->b, FLOATS + (unsigned)choose(loop, RANDOM_FLOAT), kir_get(&loop->b, into)); return;
    default: {
        c = choose(loop, 4) ? get_number(loop, type, into) : some_number(loop, type);
        unsigned signs = (choose(loop, 3) ? 0 : KIR_FP_NEG_PRODUCT) | (choose(loop, 3) ? 0 : KIR_FP_NEG_ADDEND);
        r = kir_emit(&loop->b, KIR_FMA, type, KIR_RDYN | signs, a, b, c);
        if (choose(loop, 3) == 0) r = kir_emit(&loop->b, KIR_FMA, type, KIR_RDYN, b, some_number(loop, type), r);
    }
    }
    set_number(loop, type, into, r);
}

static void make_sums(Arena *arena, Region *region, uint64_t seed) {
    uint64_t state = seed * 2 + 1;
    for (int i = 0; i < 8; i++) next_random(&state);
    Loop loop = {.state = &state, .log2_size = 2 + (unsigned)(next_random(&state) % 2)};
    loop.type = loop.log2_size == 3 ? KIR_F64 : KIR_F32;
    for (unsigned i = 0; i < PALETTE; i++) loop.palette[i] = (unsigned)choose(&loop, choose(&loop, 4) ? 7 : 12);
    if (choose(&loop, 2)) loop.palette[0] = 9; // one
    region->count = LOOP_BLOCKS;
    start_block(&loop, arena, region, 0);
    if (choose(&loop, 4)) kir_emit(&loop.b, KIR_FSETFLAGS, KIR_VOID, 0, kir_const(&loop.b, KIR_I64, 0), KIR_NONE, KIR_NONE);
    set_up_elements(&loop);
    set_const(&loop, ROUNDS, 1 + choose(&loop, 3));
    kir_exit(&loop.b, kir_exit_direct(&loop.b, pc_of(1)));
    start_block(&loop, arena, region, 1);
    for (unsigned i = 0, n = 1 + (unsigned)choose(&loop, choose(&loop, 3) ? 3 : 6); i < n; i++) compute(&loop, 1);
    add_to(&loop, P, 1 << loop.log2_size);
    KirRef more = is_not_zero(&loop, add_to(&loop, N, -1));
    kir_exit_cond(&loop.b, more, kir_exit_direct(&loop.b, pc_of(1)), kir_exit_direct(&loop.b, pc_of(2)));
    start_block(&loop, arena, region, 2);
    for (unsigned i = 0, n = (unsigned)choose(&loop, 4); i < n; i++) compute(&loop, 2);
    set_const(&loop, N, 1 + choose(&loop, 9));
    set_const(&loop, P, (uint64_t)buffer + 64 + 8 * choose(&loop, 8));
    more = is_not_zero(&loop, add_to(&loop, ROUNDS, -1));
    kir_exit_cond(&loop.b, more, kir_exit_direct(&loop.b, pc_of(1)), kir_exit_direct(&loop.b, OUTSIDE));
    for (unsigned i = 0; i < LOOP_BLOCKS; i++) connect(arena, region, i, TRACE_LEAVES, &state);
}

// ---- running --------------------------------------------------------------------------------------------------------------------
static int block_at(const Region *region, uint64_t pc) {
    for (unsigned i = 0; i < region->count; i++)
        if (pc_of(i) == pc) return (int)i;
    return -1;
}

// Block by block from cpu->pc on, until the region is left.
static void interpret(const Region *region, State *state) {
    state->outcome = INTERP_CONTINUE;
    state->code = KIR_EXC_RESUME;
    for (int at; state->outcome == INTERP_CONTINUE && (at = block_at(region, cpu->pc)) >= 0;) {
        KirException code = KIR_EXC_RESUME;
        state->outcome = interp_run(cpu, region->blocks[at], &code);
        if (state->outcome == INTERP_EXCEPTION) state->code = code;
    }
}

static bool is_exact(const Variant *variant) { return !(variant->assumptions & TRACE_NO_FAULT_HANDLER); }

static void protect(const Protection *protection) {
    if (mprotect(pages, PAGE, protection->first) || mprotect(pages + PAGE, PAGE, protection->second)) fatal("mprotect failed");
}

static void prepare(uint64_t seed, const Protection *protection) {
    uint64_t fuel = 1 + seed % FULL;
    protect(&protections[0]);
    memset(pages, 0, 2 * PAGE);
    kir_random_state(cpu, seed, buffer);
    memcpy(cpu->guest + FUEL_OFFSET, &fuel, sizeof fuel);
    poll_at = seed % 3 ? 1 + seed / 7 % FULL : 0;
    cpu->pc = pc_of(0);
    cpu->engine = engine;
    current_cpu = cpu;
    cpu->fault = (CpuFault){0};
    protect(protection);
}

static void take_state(State *state) {
    state->pc = cpu->pc;
    if (state->outcome == INTERP_EXCEPTION && state->code == KIR_EXC_MISALIGNED_ADDRESS) state->address = cpu->fault.address;
    if (state->outcome == INTERP_FAULT) state->address = cpu->fault.address;
    protect(&protections[0]);
    state->mxcsr = cpu->guest_mxcsr & MXCSR_COMPARED;
    memcpy(state->guest, cpu->guest, sizeof state->guest);
    memcpy(state->memory, buffer, sizeof state->memory);
}

static Reason make_trace(const Region *region, const Variant *variant, uint64_t seed, Arena *arena, OptTrace *trace) {
    TraceRequest request = {.id = 1,
                            .assumptions = variant->assumptions,
                            .options = variant->options | (show_text ? TRACE_WANT_TEXT : 0),
                            .disabled_passes = variant->lacks_pass ? 1u << seed / VARIANTS % PASSES : 0,
                            .blocks = region->trace,
                            .block_count = region->count};
    Reason reason = opt_tier_place(engine, &world, &request, arena, trace);
    for (int i = 0; i < TRACE_TEXTS; i++)
        if (trace->result.text[i]) printf("%s\n", trace->result.text[i]);
    fallbacks += trace->result.fallbacks;
    return reason;
}

static void run_trace(const Region *region, const OptTrace *trace, State *state) {
    OptRun run;
    opt_tier_enter(engine, cpu, trace, &run);
    endings[run.way]++;
    state->outcome = run.way == OPT_EXCEPTION ? INTERP_EXCEPTION : run.way == OPT_FAULT ? INTERP_FAULT : INTERP_CONTINUE;
    state->code = run.way == OPT_EXCEPTION ? run.code : KIR_EXC_RESUME;
    if (run.way == OPT_POLLED) {
        polls++;
        interpret(region, state); // goes on where it was asked to stop
    } else if (run.way == OPT_LEFT && block_at(region, cpu->pc) >= 0) {
        inside++; // never: that block is in the trace
    }
    take_state(state);
}

// ---- comparing ------------------------------------------------------------------------------------------------------------------
static void print_difference(const Region *region, const State *want, const State *got) {
    for (unsigned i = 0; i < region->count; i++) {
        KirText text = {0};
        kir_print(&text, region->blocks[i]);
        printf("-- block %u, indirect to %d\n%s", i, region->trace[i].next_indirect, text.data);
        free(text.data);
    }
    printf("  outcome %d code %d pc %#lx address %#lx mxcsr %#x, should be %d code %d pc %#lx address %#lx mxcsr %#x\n",
           got->outcome, got->code, got->pc, got->address, got->mxcsr, want->outcome, want->code, want->pc, want->address,
           want->mxcsr);
    for (unsigned i = 0; i < world.global_count; i++) {
        const KirGlobal *global = &world.globals[i];
        KirWide x = {0, 0}, y = {0, 0};
        memcpy(&x, want->guest + global->offset, kir_type_bits((KirType)global->type) / 8);
        memcpy(&y, got->guest + global->offset, kir_type_bits((KirType)global->type) / 8);
        if (memcmp(&x, &y, sizeof x)) printf("  %s: %016lx%016lx, should be %016lx%016lx\n", global->name, y.hi, y.lo, x.hi, x.lo);
    }
    for (unsigned i = 0; i < RANDOM_BUFFER; i++)
        if (want->memory[i] != got->memory[i]) printf("  buffer[%#x]: %02x, should be %02x\n", i, got->memory[i], want->memory[i]);
}

static void fail(uint64_t seed, const Variant *variant, const char *what) {
    printf("FAIL --seed %lu --variant %s: %s\n", seed, variant->name, what);
    fflush(stdout);
    failed++;
}

static void run_both(const Region *region, uint64_t seed, const Variant *variant, const OptTrace *trace,
                     const Protection *protection) {
    static State want, got;
    static unsigned reported;
    memset(&want, 0, sizeof want);
    memset(&got, 0, sizeof got);
    prepare(seed, protection);
    interpret(region, &want);
    take_state(&want);
    if (want.outcome == INTERP_FAULT && !is_exact(variant)) { // nothing is promised then
        faults++;
        return;
    }
    prepare(seed, protection);
    run_trace(region, trace, &got);
    if (memcmp(&want, &got, sizeof want)) {
        fail(seed, variant, "differs");
        if (reported++ < REPORTED) print_difference(region, &want, &got);
    } else {
        passed++;
    }
}

static void one_seed(Arena *arena, uint64_t seed, unsigned blocks, const Variant *variant) {
    char error[200];
    Region region;
    OptTrace trace;
    buffer = pages + PAGE - (is_exact(variant) ? (seed * 0x9e3779b97f4a7c15u >> 52 & ~15ull) : 0);
    if (seed % 10 == 7 || seed % 10 == 4) make_sums(arena, &region, seed);
    else if (seed % 10 == 3) make_walk(arena, &region, seed);
    else if (seed % 5 == 0) make_loop(arena, &region, seed);
    else make_region(arena, &region, seed, blocks);
    for (unsigned i = 0; i < region.count; i++)
        if (!kir_verify(region.blocks[i], error, sizeof error)) bug("the test made a bad block: %s", error);
    Reason reason = make_trace(&region, variant, seed, arena, &trace);
    if (reason != REASON_NONE) fail(seed, variant, reason_name(reason));
    unsigned runs = is_exact(variant) ? PROTECTIONS : 1;
    for (unsigned i = 0; i < runs && reason == REASON_NONE; i++) run_both(&region, seed, variant, &trace, &protections[i]);
}

static void set_up(void) {
    static const uint16_t ints[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, floats[8] = {16, 17, 18, 19, 20, 21, 22, 23};
    static const EngineOptions options;
    pages = mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) fatal("no memory");
    make_world();
    engine = fast_tier_new(&world, ints, floats, &options);
    cpu = cpu_new(engine, NULL);
}

int main(int argc, char **argv) {
    uint64_t seed = number_argument(argc, argv, "--seed", 1), count = number_argument(argc, argv, "--count", DEFAULT_COUNT);
    const char *only = text_argument(argc, argv, "--variant");
    unsigned blocks = (unsigned)number_argument(argc, argv, "--blocks", 0);
    bool scalar = text_argument(argc, argv, "--scalar");
    show_text = text_argument(argc, argv, "--text");
    set_up();
    Arena arena = {0};
    for (uint64_t i = 0; i < count; i++) {
        if (scalar && !kir_random_is_scalar(seed + i)) continue;
        unsigned n = blocks && blocks <= MAX_BLOCKS ? blocks
                     : (seed + i) / 2 % 2           ? 1
                                                    : 2 + (unsigned)((seed + i) / 4 % (MAX_BLOCKS - 1));
        for (unsigned v = 0; v < VARIANTS; v++)
            if (only ? !strcmp(only, variants[v].name) : v == (seed + i) / 3 % VARIANTS)
                one_seed(&arena, seed + i, n, &variants[v]);
        arena_reset(&arena);
    }
    if (inside) printf("FAIL %lu traces were left for a block of their own\n", inside);
    failed += inside;
    printf("%lu faulted in the interpreter; %lu left, %lu polled, %lu raised, %lu faulted with exact registers; %lu fallbacks\n",
           faults, endings[OPT_LEFT], endings[OPT_POLLED], endings[OPT_EXCEPTION], endings[OPT_FAULT], fallbacks);
    printf("%lu passed, %lu failed\n", passed, failed);
    arena_free(&arena);
    return failed != 0;
}
