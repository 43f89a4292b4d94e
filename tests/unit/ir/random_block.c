// SPDX-License-Identifier: MIT
//
// Random blocks for the differential tests of folding and passes. Operands are drawn from recent values, so
// that patterns of two or three operations, which folding looks for, come up often; constants are mostly
// interesting ones.
#include "ir/fold.h"
#include "world.h"

typedef struct Maker {
    KirBlock *block;
    uint64_t *rng;
} Maker;

static unsigned below(Maker *m, unsigned n) { return (unsigned)(next_random(m->rng) >> 20) % n; }

static KirRef append(Maker *m, KirOp op, KirType type, unsigned aux, uint32_t a, uint32_t b, uint32_t c) {
    const KirOpFacts *facts = &kir_op_facts[op];
    KirInsn insn = {
        .op = (uint8_t)op, .type = facts->free_type ? (uint8_t)type : facts->result, .aux = (uint16_t)aux, .a = a, .b = b, .c = c};
    if (facts->unused & 1) insn.a = KIR_NONE;
    if (facts->unused & 2) insn.b = KIR_NONE;
    if (facts->unused & 4) insn.c = KIR_NONE;
    return kir_append(m->block, insn);
}

static uint64_t interesting(Maker *m) {
    static const uint64_t values[] = {
        0,
        1,
        2,
        3,
        4,
        5,
        8,
        31,
        32,
        33,
        63,
        64,
        0x7f,
        0x80,
        0xff,
        0x100,
        0x7fff,
        0x8000,
        0xffff,
        0x10000,
        0x7fffffff,
        0x80000000,
        0xffffffff,
        0x100000000,
        0xffffffff00000000,
        0xffffffff7fc00000,
        0x7fffffffffffffff,
        0x8000000000000000,
        0xffffffffffffffff,
        0xfffffffffffffffe,
        0xfffffffffffff000,
        0xffffffff80000000,
    };
    if (below(m, 8) == 0) return next_random(m->rng);
    return values[below(m, sizeof values / sizeof *values)];
}

static KirRef make_const(Maker *m, KirType type) {
    KirInsn insn = {
        .op = KIR_CONST, .type = (uint8_t)type, .c = KIR_NONE, .imm = kir_low_bits(interesting(m), kir_type_bits(type))};
    if (type == KIR_I64 && below(m, 12) == 0) {
        insn.aux = KIR_IMAGE;
        insn.imm = m->block->image_base + below(m, 5000);
    }
    return kir_append(m->block, insn);
}

static unsigned memory_size(KirType type) { return (unsigned)__builtin_ctz(kir_type_bits(type) / 8); }

// A value of the type: a recent one if there is any, else made from nothing.
static KirRef pick(Maker *m, KirType type) {
    KirBlock *block = m->block;
    KirRef candidates[12];
    unsigned n = 0;
    for (uint32_t i = block->count; i-- > 0 && n < 12 && block->count - i < 80;)
        if (kir_result_type(&block->insns[i]) == type) candidates[n++] = i;
    if (n && below(m, 5)) return candidates[below(m, n)];
    if (type == KIR_V128) return append(m, KIR_GET, type, 0, WORLD_INTS + WORLD_FLOATS, 0, 0);
    if (type == KIR_F64 && below(m, 2)) return append(m, KIR_GET, type, 0, WORLD_INTS + below(m, WORLD_FLOATS), 0, 0);
    if (type == KIR_I64 && below(m, 2)) return append(m, KIR_GET, type, 0, below(m, WORLD_INTS), 0, 0);
    if (type != KIR_I1 && below(m, 2)) {
        KirRef address = append(m, KIR_GET, KIR_I64, 0, below(m, WORLD_INTS), 0, 0);
        return append(m, KIR_LOAD, type, memory_size(type), address, below(m, 64), 0);
    }
    return make_const(m, type);
}

static KirType word(Maker *m) { return below(m, 3) ? KIR_I64 : KIR_I32; }
static KirType integer(Maker *m) { return (KirType)(KIR_I1 + below(m, 5)); }

static uint32_t field(Maker *m, KirType type) {
    unsigned bits = kir_type_bits(type), lsb = below(m, 3) ? 0 : below(m, bits), length = 1 + below(m, bits - lsb);
    if (below(m, 3) == 0) length = bits - lsb;
    if (lsb == 0 && below(m, 2)) length = 8u << below(m, type == KIR_I64 ? 4 : 3);
    return lsb | length << 8;
}

static void make_integer(Maker *m) {
    KirOp op = (KirOp)(KIR_ADD + below(m, KIR_ADC_V - KIR_ADD + 1));
    if (below(m, 3) == 0) op = (KirOp)(KIR_SHL + below(m, 3));
    KirType type = word(m);
    if (op >= KIR_AND && op <= KIR_NOT && below(m, 4) == 0) type = KIR_I1;
    KirRef x = pick(m, type), y = pick(m, type);
    bool chains = op == KIR_ADD || op == KIR_SUB || (op >= KIR_AND && op <= KIR_XOR) || (op >= KIR_SHL && op <= KIR_ROTR);
    if (chains && below(m, 3)) y = make_const(m, type);
    if (chains && below(m, 3) == 0) x = append(m, op, type, 0, x, make_const(m, type), KIR_NONE);
    if (op == KIR_CRC32) {
        append(m, op, KIR_I32, below(m, 2), pick(m, KIR_I32), pick(m, (KirType)(KIR_I8 + below(m, 4))), KIR_NONE);
    } else if (op == KIR_BFX || op == KIR_SBFX) {
        append(m, op, type, 0, x, field(m, type), KIR_NONE);
    } else if (op == KIR_BFI) {
        append(m, op, type, 0, x, y, field(m, type));
    } else if (op == KIR_FUNNEL) {
        append(m, op, type, 0, x, y, below(m, kir_type_bits(type)));
    } else {
        append(m, op, type, 0, x, y, op >= KIR_ADC ? pick(m, KIR_I1) : KIR_NONE);
    }
}

static void make_compare(Maker *m) {
    KirType type = (KirType)(KIR_I8 + below(m, 4));
    KirRef x = pick(m, type), y = below(m, 2) ? make_const(m, type) : pick(m, type);
    KirOp extend = below(m, 2) ? KIR_SEXT : KIR_ZEXT;
    if (type == KIR_I64 && below(m, 2)) {
        x = append(m, extend, type, 0, pick(m, KIR_I32), KIR_NONE, KIR_NONE);
        if (below(m, 2)) y = append(m, extend, type, 0, pick(m, KIR_I32), KIR_NONE, KIR_NONE);
    }
    append(m, KIR_CMP, type, below(m, KIR_GEU + 1), x, y, KIR_NONE);
}

static void make_select(Maker *m) {
    static const KirType types[] = {KIR_I1, KIR_I32, KIR_I64, KIR_I64, KIR_F64, KIR_V128};
    KirType type = types[below(m, 6)];
    append(m, KIR_SELECT, type, 0, pick(m, KIR_I1), pick(m, type), pick(m, type));
}

static void make_conversion(Maker *m) {
    KirType from = integer(m), to = integer(m);
    if (from < to) append(m, below(m, 2) ? KIR_SEXT : KIR_ZEXT, to, 0, pick(m, from), KIR_NONE, KIR_NONE);
    else if (from > to) append(m, KIR_TRUNC, to, 0, pick(m, from), KIR_NONE, KIR_NONE);
}

static void make_float_bits(Maker *m) {
    KirType type = below(m, 2) ? KIR_F32 : KIR_F64;
    switch (below(m, 9)) {
    case 0: append(m, KIR_FNEG, type, 0, pick(m, type), KIR_NONE, KIR_NONE); break;
    case 1: append(m, KIR_FABS, type, 0, pick(m, type), KIR_NONE, KIR_NONE); break;
    case 2: append(m, KIR_FCOPYSIGN, type, 0, pick(m, type), pick(m, type), KIR_NONE); break;
    case 3: append(m, KIR_NANBOX, KIR_F64, 0, pick(m, KIR_F32), KIR_NONE, KIR_NONE); break;
    case 4: append(m, KIR_NANUNBOX, KIR_F32, 0, pick(m, KIR_F64), KIR_NONE, KIR_NONE); break;
    case 5: append(m, KIR_BITCAST, KIR_I64, 0, pick(m, KIR_F64), KIR_NONE, KIR_NONE); break;
    case 6: append(m, KIR_BITCAST, KIR_F64, 0, pick(m, KIR_I64), KIR_NONE, KIR_NONE); break;
    case 7: append(m, KIR_BITCAST, KIR_I32, 0, pick(m, KIR_F32), KIR_NONE, KIR_NONE); break;
    default: append(m, KIR_BITCAST, KIR_F32, 0, pick(m, KIR_I32), KIR_NONE, KIR_NONE); break;
    }
}

static void make_wide(Maker *m) {
    switch (below(m, 4)) {
    case 0: append(m, KIR_PAIR, KIR_V128, 0, pick(m, KIR_I64), pick(m, KIR_I64), KIR_NONE); break;
    case 1: append(m, KIR_LO64, KIR_I64, 0, pick(m, KIR_V128), KIR_NONE, KIR_NONE); break;
    case 2: append(m, KIR_HI64, KIR_I64, 0, pick(m, KIR_V128), KIR_NONE, KIR_NONE); break;
    default: append(m, KIR_CONSTV, KIR_V128, 0, below(m, m->block->wide_count), KIR_NONE, KIR_NONE); break;
    }
}

static void make_memory(Maker *m) {
    static const KirType types[] = {KIR_I64, KIR_I64, KIR_I32, KIR_F32, KIR_F64, KIR_V128};
    KirType type = types[below(m, 6)];
    bool is_integer = type <= KIR_I64, is_load = below(m, 2);
    unsigned size = memory_size(type);
    KirRef address = pick(m, KIR_I64);
    if (below(m, 2)) address = append(m, KIR_ADD, KIR_I64, 0, address, make_const(m, KIR_I64), KIR_NONE);
    if (is_integer || (type == KIR_F64 && !is_load)) size -= below(m, is_integer ? size + 1 : 2);
    unsigned aux = size | (below(m, 6) ? 0 : KIR_MEM_NOFAULT);
    if (is_load && is_integer && below(m, 2)) aux |= KIR_MEM_SIGNED;
    uint32_t displacement = below(m, 4) ? below(m, 4096) - 2048 : (uint32_t)interesting(m);
    if (is_load) append(m, KIR_LOAD, type, aux, address, displacement, KIR_NONE);
    else append(m, KIR_STORE, type, aux, address, pick(m, type), displacement);
}

static void make_set(Maker *m) {
    unsigned global = below(m, WORLD_GLOBALS);
    KirType type = (KirType)test_world.globals[global].type;
    append(m, KIR_SET, type, 0, global, pick(m, type), KIR_NONE);
}

static void make_effect(Maker *m) {
    KirRef x = pick(m, KIR_I64), y = pick(m, KIR_I64);
    switch (below(m, 8)) {
    case 0: append(m, KIR_CALL, KIR_I64, 0, HELPER_PEEK, x, KIR_NONE); break;
    case 1: append(m, KIR_CALL, KIR_VOID, 0, HELPER_POKE, x, y); break;
    case 2: append(m, KIR_CALL, KIR_I64, 0, HELPER_PURE, x, y); break;
    case 3: append(m, KIR_CALL3, KIR_I32, HELPER_THREE, x, y, pick(m, KIR_I32)); break;
    case 4: append(m, KIR_EXIT_IF, KIR_VOID, 0, pick(m, KIR_I1), 0, KIR_NONE); break;
    case 6: append(m, KIR_EXIT_IF_IND, KIR_VOID, below(m, 3), pick(m, KIR_I1), y, KIR_NONE); break;
    case 5: append(m, KIR_POLL, KIR_VOID, 0, 1, KIR_NONE, KIR_NONE); break;
    default: append(m, KIR_FENCE, KIR_VOID, KIR_FENCE_ALL, KIR_NONE, KIR_NONE, KIR_NONE); break;
    }
}

static void make_final_exit(Maker *m) {
    switch (below(m, 3)) {
    case 0: append(m, KIR_EXIT, KIR_VOID, 0, below(m, 2), KIR_NONE, KIR_NONE); break;
    case 1: append(m, KIR_EXIT_COND, KIR_VOID, 0, pick(m, KIR_I1), 0, 1); break;
    default: append(m, KIR_EXIT_IND, KIR_VOID, below(m, 3), pick(m, KIR_I64), KIR_NONE, KIR_NONE); break;
    }
}

KirBlock *random_block(Arena *arena, uint64_t *rng, unsigned length) {
    KirBlock *block = kir_block_new(arena, &test_world, 0x10000, 0);
    KirBuilder builder;
    kir_builder_init(&builder, block);
    block->image_valid = true;
    block->image_base = 0x555555554000;
    block->folded = false;
    kir_exit_direct(&builder, 0x10100);
    kir_exit_exception(&builder, KIR_EXC_ILLEGAL, 0x10008);
    kir_constv(&builder, KIR_V128, 1, 2);
    block->count = 0;
    Maker m = {block, rng};
    static void (*const makers[])(Maker *) = {
        make_integer,    make_integer,    make_integer, make_integer, make_compare, make_select, make_conversion,
        make_conversion, make_float_bits, make_wide,    make_memory,  make_set,     make_set,    make_effect,
    };
    for (unsigned i = 0; i < length; i++) {
        if (i % 8 == 0) kir_insn_start(&builder, 0x10000 + i / 2, 4);
        makers[below(&m, i % 3 ? 13 : 14)](&m);
    }
    make_final_exit(&m);
    return block;
}
