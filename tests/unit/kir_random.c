// SPDX-License-Identifier: MIT
//
// The generator of random blocks.
//
// Operations are drawn from ops.def; the operand letters say what to put where, and three tables below say
// which types, lane sizes and immediates are meant to be used with an operation. Values made on the way wait
// in a pool by type, so results become operands. What is drawn never depends on what the builder makes of it:
// the raw and the built block of a seed mean the same.
#include <string.h>
#include "engine/engine.h"
#include "ir/fold.h"
#include "kir_random.h"

enum { POOL = 12, BASE_PC = 0x10000 };

typedef struct Random {
    RandomMaking making;
    bool scalar;
    KirBuilder builder;
    KirBlock *block;
    uint64_t state;
    const uint8_t *buffer;
    KirRef pool[KIR_TYPE_COUNT][POOL];
    unsigned filled[KIR_TYPE_COUNT];
} Random;

static uint64_t next(uint64_t *state) { // xorshift64*
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1du;
}
static unsigned below(Random *r, unsigned n) { return (unsigned)((next(&r->state) >> 33) % n); }
static bool one_in(Random *r, unsigned n) { return below(r, n) == 0; }

static uint64_t corner_value(uint64_t *state) {
    static const uint64_t corners[] = {0,
                                       1,
                                       2,
                                       0x7f,
                                       0x80,
                                       0xff,
                                       0x7fff,
                                       0xffff,
                                       0x7fffffff,
                                       0x80000000,
                                       0xffffffff,
                                       0x100000000,
                                       0x7fffffffffffffff,
                                       0x8000000000000000,
                                       0xffffffffffffffff,
                                       0x3ff0000000000000,
                                       0x3ff8000000000000,
                                       0x7ff0000000000000,
                                       0xfff0000000000000,
                                       0x7ff8000000000000,
                                       0x7ff0000000000001,
                                       0x000fffffffffffff,
                                       0x43e0000000000000,
                                       0x41e0000000000000,
                                       0xffffffff3f800000,
                                       0xffffffff7f800001,
                                       0xffffffff7f7fffff,
                                       0xffffffff00000001,
                                       0x3f8000007fc00000,
                                       0xbf80000040490fdb,
                                       0x80008000fff8fff8,
                                       0x0102030405060708};
    uint64_t choice = next(state);
    switch (choice & 7) {
    case 0: return next(state) >> (choice >> 8 & 63);
    case 1: return 0x3ff0000000000000 + (next(state) & 0x803fffffffffffff) - 0x0010000000000000 * (choice >> 8 & 31); // near 1
    case 2: return 0xffffffff00000000 | (0x3f000000 + (next(state) & 0x80ffffff)); // a boxed single near 1
    case 3: return next(state);
    default: return corners[(choice >> 8) % (sizeof corners / sizeof *corners)];
    }
}

// ---- the guest ----------------------------------------------------------------------------------
#define X(n)                                                                                                                       \
    { "x" #n, n * 8, KIR_I64 }
#define F(n)                                                                                                                       \
    { "f" #n, 128 + n * 8, KIR_F64 }
#define V(n)                                                                                                                       \
    { "v" #n, 192 + n * 16, KIR_V128 }
static const KirGlobal globals[RANDOM_GLOBALS] = {X(0),  X(1),  X(2),  X(3),  X(4),  X(5), X(6), X(7), X(8), X(9), X(10),
                                                  X(11), X(12), X(13), X(14), X(15), F(0), F(1), F(2), F(3), F(4), F(5),
                                                  F(6),  F(7),  V(0),  V(1),  V(2),  V(3), V(4), V(5), V(6), V(7)};
#undef X
#undef F
#undef V
enum { FIRST_FLOAT = RANDOM_INT, FIRST_VECTOR = RANDOM_INT + RANDOM_FLOAT };

static uint64_t mix(void *cpu, uint64_t a, uint64_t b, uint64_t c) { return (a ^ b << 7) * 0x9e3779b97f4a7c15u + (c & 0); }
static uint64_t mix3(void *cpu, uint64_t a, uint64_t b, uint64_t c) { return (a & 0xffffffff) + 3 * (b & 0xffff) + (c & 1); }
static uint64_t read_global(void *cpu, uint64_t a, uint64_t b, uint64_t c) {
    uint64_t value;
    memcpy(&value, ((Cpu *)cpu)->guest + globals[a & 15].offset, 8);
    return value;
}
static uint64_t write_global(void *cpu, uint64_t a, uint64_t b, uint64_t c) {
    memcpy(((Cpu *)cpu)->guest + globals[a & 15].offset, &b, 8);
    return 0;
}
// Under the guest's environment: rounds as it says and raises its flags.
static uint64_t third(void *cpu, uint64_t a, uint64_t b, uint64_t c) {
    union {
        uint32_t bits;
        float value;
    } x = {(uint32_t)a}, three = {0x40400000};
    __asm__ volatile("divss %1, %0" : "+x"(x.value) : "x"(three.value));
    return (x.bits & 0x7fffffff) > 0x7f800000 ? 0x7fc00000 : x.bits;
}
// Gives up now and then.
static uint64_t refuse(void *cpu, uint64_t a, uint64_t b, uint64_t c) {
    if (a % 8 == 3) engine_raise(cpu, KIR_EXC_TRAP);
    return ~a;
}
static const KirHelper helpers[] = {
    {"mix", mix, KIR_I64, {KIR_I64, KIR_I64, KIR_VOID}, KIR_HELPER_PURE},
    {"mix3", mix3, KIR_I32, {KIR_I32, KIR_I16, KIR_I1}, 0},
    {"read_global", read_global, KIR_I64, {KIR_I64, KIR_VOID, KIR_VOID}, KIR_HELPER_READS_GLOBALS},
    {"write_global", write_global, KIR_VOID, {KIR_I64, KIR_I64, KIR_VOID}, KIR_HELPER_WRITES_GLOBALS},
    {"third", third, KIR_F32, {KIR_F32, KIR_VOID, KIR_VOID}, KIR_HELPER_FPENV},
    {"refuse", refuse, KIR_I64, {KIR_I64, KIR_VOID, KIR_VOID}, KIR_HELPER_MAY_RAISE},
    {"refuse_in_fpenv", refuse, KIR_I64, {KIR_I64, KIR_VOID, KIR_VOID}, KIR_HELPER_MAY_RAISE | KIR_HELPER_FPENV},
};
const KirWorld kir_random_world = {globals, RANDOM_GLOBALS, helpers, sizeof helpers / sizeof *helpers};

// ---- making -------------------------------------------------------------------------------------
static void keep(Random *r, KirRef value, KirType type) {
    if (type == KIR_VOID) return;
    unsigned slot = r->filled[type] < POOL ? r->filled[type]++ : below(r, POOL);
    r->pool[type][slot] = value;
}

static KirInsn make(KirOp op, KirType type, unsigned aux, uint32_t a, uint32_t b, uint32_t c) {
    KirInsn insn = {.op = (uint8_t)op, .type = (uint8_t)type, .aux = (uint16_t)aux, .a = a, .b = b, .c = c};
    const KirOpFacts *facts = &kir_op_facts[op];
    if (!facts->free_type) insn.type = facts->result;
    return insn;
}

// A value that nothing else will use.
static KirRef emit_alone(Random *r, KirOp op, KirType type, unsigned aux, uint32_t a, uint32_t b, uint32_t c) {
    if (r->making == RANDOM_RAW) return kir_append(r->block, make(op, type, aux, a, b, c));
    return kir_emit(&r->builder, op, type, aux, a, b, c);
}

static KirRef emit(Random *r, KirOp op, KirType type, unsigned aux, uint32_t a, uint32_t b, uint32_t c) {
    KirInsn insn = make(op, type, aux, a, b, c);
    KirRef value = emit_alone(r, op, type, aux, a, b, c);
    keep(r, value, kir_result_type(&insn));
    return value;
}

static KirRef constant(Random *r, KirType type, uint64_t value) {
    unsigned bits = kir_type_bits(type);
    if (r->making == RANDOM_BUILT) return kir_const(&r->builder, type, value);
    return kir_append(r->block, (KirInsn){.op = KIR_CONST, .type = (uint8_t)type, .c = KIR_NONE, .imm = kir_low_bits(value, bits)});
}

static KirRef wide_constant(Random *r, KirType type) {
    uint64_t low = corner_value(&r->state), high = corner_value(&r->state);
    return kir_constv(&r->builder, type, low, high); // does no more than append
}

static KirRef get(Random *r, unsigned global) {
    if (r->making == RANDOM_BUILT) return kir_get(&r->builder, global);
    return kir_append(r->block, (KirInsn){.op = KIR_GET, .type = globals[global].type, .a = global, .b = KIR_NONE, .c = KIR_NONE});
}

static void set(Random *r, unsigned global, KirRef value) {
    if (r->making == RANDOM_BUILT) kir_set(&r->builder, global, value);
    else kir_append(r->block, (KirInsn){.op = KIR_SET, .type = globals[global].type, .a = global, .b = value, .c = KIR_NONE});
}

static KirRef get_int(Random *r) { return get(r, below(r, RANDOM_INT)); }
static KirRef get_float(Random *r) { return get(r, FIRST_FLOAT + below(r, RANDOM_FLOAT)); }
static KirRef get_vector(Random *r) { return get(r, FIRST_VECTOR + below(r, RANDOM_VECTOR)); }

// A value of any type, made from a register.
static KirRef fresh(Random *r, KirType type) {
    switch (type) {
    case KIR_I1: {
        KirRef a = get_int(r), b = get_int(r);
        return emit(r, KIR_CMP, KIR_I64, below(r, KIR_GEU + 1), a, b, KIR_NONE);
    }
    case KIR_I8:
    case KIR_I16:
    case KIR_I32: return emit(r, KIR_TRUNC, type, 0, get_int(r), KIR_NONE, KIR_NONE);
    case KIR_F32: return emit(r, KIR_NANUNBOX, KIR_F32, 0, get_float(r), KIR_NONE, KIR_NONE);
    case KIR_F64: return get_float(r);
    case KIR_V64: return emit(r, KIR_BITCAST, KIR_V64, 0, get_int(r), KIR_NONE, KIR_NONE);
    case KIR_V128: return get_vector(r);
    case KIR_I128: {
        KirRef low = get_int(r), high = get_int(r);
        return emit(r, KIR_PAIR, KIR_I128, 0, low, high, KIR_NONE);
    }
    default: return get_int(r);
    }
}

static KirRef value(Random *r, KirType type) {
    if (one_in(r, 8)) {
        if (kir_type_bits(type) > 64 || type == KIR_V64) return wide_constant(r, type);
        return constant(r, type, corner_value(&r->state));
    }
    if (r->filled[type] && !one_in(r, 3)) return r->pool[type][below(r, r->filled[type])];
    return fresh(r, type);
}

static KirRef value_as_i64(Random *r, KirRef v, KirType type) {
    switch (type) {
    case KIR_I64: return v;
    case KIR_F64:
    case KIR_V64: return emit(r, KIR_BITCAST, KIR_I64, 0, v, KIR_NONE, KIR_NONE);
    case KIR_F32: {
        KirRef boxed = emit(r, KIR_NANBOX, KIR_F64, 0, v, KIR_NONE, KIR_NONE);
        return emit(r, KIR_BITCAST, KIR_I64, 0, boxed, KIR_NONE, KIR_NONE);
    }
    case KIR_V128:
    case KIR_I128: {
        KirRef low = emit(r, KIR_LO64, KIR_I64, 0, v, KIR_NONE, KIR_NONE),
               high = emit(r, KIR_HI64, KIR_I64, 0, v, KIR_NONE, KIR_NONE);
        return emit(r, KIR_XOR, KIR_I64, 0, low, high, KIR_NONE);
    }
    default: return emit(r, one_in(r, 2) ? KIR_ZEXT : KIR_SEXT, KIR_I64, 0, v, KIR_NONE, KIR_NONE);
    }
}

// ---- which types --------------------------------------------------------------------------------
static KirType pick_type(Random *r, unsigned mask) {
    if (r->scalar) mask &= ~(unsigned)(1 << KIR_V64 | 1 << KIR_V128 | 1 << KIR_I128);
    for (;;) {
        unsigned type = below(r, KIR_TYPE_COUNT);
        if (mask >> type & 1) return (KirType)type;
    }
}
enum {
    T_WORD = 1 << KIR_I32 | 1 << KIR_I64,
    T_NARROW = 1 << KIR_I1 | 1 << KIR_I8 | 1 << KIR_I16,
    T_FLOAT = 1 << KIR_F32 | 1 << KIR_F64,
    T_VECTOR = 1 << KIR_V64 | 1 << KIR_V128,
    T_128 = 1 << KIR_I128 | 1 << KIR_V128,
    T_ALL = T_WORD | T_NARROW | T_FLOAT | T_VECTOR | T_128,
};

static unsigned result_types(KirOp op) {
    switch (op) {
    case KIR_AND:
    case KIR_OR:
    case KIR_XOR:
    case KIR_NOT: return T_WORD | 1 << KIR_I1;
    case KIR_CMP: return T_WORD | 1 << KIR_I8 | 1 << KIR_I16;
    case KIR_SELECT: return T_ALL;
    case KIR_SEXT:
    case KIR_ZEXT: return T_WORD | 1 << KIR_I16;
    case KIR_TRUNC: return T_NARROW | 1 << KIR_I32;
    case KIR_BITCAST: return T_ALL & ~T_NARROW;
    case KIR_PAIR: return T_128;
    case KIR_FADD ... KIR_FCMP:
    case KIR_ITOF ... KIR_HTOF:
    case KIR_FROUND ... KIR_FCOPYSIGN: return T_FLOAT;
    case KIR_NANBOX: return 1 << KIR_F64;
    case KIR_NANUNBOX: return 1 << KIR_F32;
    case KIR_VGET:
    case KIR_VREDADD ... KIR_VREDMAX: return T_WORD;
    case KIR_VNARROW:
    case KIR_VSHRN:
    case KIR_VFCVTN: return 1 << KIR_V64;
    case KIR_VNARROW2:
    case KIR_VWIDEN:
    case KIR_VMULL:
    case KIR_VFCVTL:
    case KIR_AESENC ... KIR_SHA: return 1 << KIR_V128;
    case KIR_VADD ... KIR_VGET - 1:
    case KIR_VPUT ... KIR_VEXT:
    case KIR_VTBL ... KIR_VTBX:
    case KIR_VMULH ... KIR_VPADDL:
    case KIR_VFADD ... KIR_VFSTEP: return T_VECTOR;
    default: return T_WORD;
    }
}

// Operands of letter V or I: by what the operation converts.
static unsigned operand_types(KirOp op, KirType type) {
    unsigned narrower = (1u << type) - 1, bits = kir_type_bits(type);
    switch (op) {
    case KIR_SEXT:
    case KIR_ZEXT: return (T_WORD | T_NARROW) & narrower;
    case KIR_TRUNC: return (T_WORD | T_NARROW) & ~narrower & ~(1u << type);
    case KIR_BITCAST:
        return bits == 32 ? 1 << KIR_I32 | 1 << KIR_F32 : bits == 64 ? 1 << KIR_I64 | 1 << KIR_F64 | 1 << KIR_V64 : T_128;
    case KIR_LO64:
    case KIR_HI64: return T_128;
    case KIR_CRC32: return T_WORD | 1 << KIR_I8 | 1 << KIR_I16;
    case KIR_FTOI:
    case KIR_FTOH:
    case KIR_FCLASS: return T_FLOAT;
    case KIR_FTOF: return T_FLOAT & ~(1u << type);
    case KIR_NANBOX: return 1 << KIR_F32;
    case KIR_NANUNBOX: return 1 << KIR_F64;
    case KIR_VGET:
    case KIR_VREDADD ... KIR_VREDMAX: return T_VECTOR;
    case KIR_VDUP:
    case KIR_VSATURATED ... KIR_VSATURATED + 1:
    case KIR_VWIDEN:
    case KIR_VNARROW ... KIR_VMULL:
    case KIR_VFCVTL:
    case KIR_VFCVTN: return 1 << KIR_V128;
    default: return T_WORD;
    }
}

// ---- aux and immediates -------------------------------------------------------------------------
// Lane sizes an operation is used with, one bit each.
static unsigned lane_sizes(KirOp op, KirType type) {
    switch (op) {
    case KIR_VWIDEN:
    case KIR_VMULL:
    case KIR_VPADDL:
    case KIR_VREDADD ... KIR_VREDMAX:
    case KIR_VREV: return 7;
    case KIR_VPMUL: return 1;
    case KIR_VMULH: return 6;
    case KIR_VNARROW ... KIR_VSHRN: return 14;
    case KIR_VGET:
    case KIR_VSPLAT:
    case KIR_VPUT: return 15;
    case KIR_VZIP ... KIR_VTRN:
    case KIR_VPADD ... KIR_VPMAX: return type == KIR_V64 ? 7 : 15;
    case KIR_VFPADD: return type == KIR_V64 ? 4 : 12;
    case KIR_VFADD ... KIR_VFABD:
    case KIR_VFNEG ... KIR_VFROUND:
    case KIR_VFSTEP:
    case KIR_VFEST:
    case KIR_VFCVTN: return 12;
    case KIR_VFCVTL: return 6;
    default: return 15;
    }
}

static unsigned vector_aux(Random *r, KirOp op, KirType type) {
    unsigned sizes = lane_sizes(op, type), size = below(r, 4);
    while (!(sizes >> size & 1)) size = below(r, 4);
    unsigned aux = size | (one_in(r, 2) ? KIR_VEC_SIGNED : 0);
    bool is_float = op >= KIR_VFADD && op <= KIR_VFCVTN;
    if (is_float) return aux | (one_in(r, 3) ? KIR_VEC_NAN_ARM : 0) | (one_in(r, 2) ? KIR_VEC_VARIANT : 0);
    if (one_in(r, 2)) aux |= KIR_VEC_ROUND;
    if (one_in(r, 2)) aux |= KIR_VEC_SATURATE;
    if (one_in(r, 3)) aux |= KIR_VEC_MIXED;
    if (op == KIR_VMULL && one_in(r, 3)) aux = (one_in(r, 2) ? 3 : 0) | KIR_VEC_POLY;
    if (op == KIR_VQSHLI && (aux & KIR_VEC_MIXED)) aux |= KIR_VEC_SIGNED;
    return aux;
}

static unsigned float_aux(Random *r, KirOp op) {
    unsigned aux = one_in(r, 3) ? below(r, KIR_RMM + 1) : KIR_RDYN;
    if (one_in(r, 4)) aux |= KIR_FP_NAN_ARM;
    if (op == KIR_FMA) aux |= (one_in(r, 2) ? KIR_FP_NEG_PRODUCT : 0) | (one_in(r, 2) ? KIR_FP_NEG_ADDEND : 0);
    if ((op == KIR_FMIN || op == KIR_FMAX) && !one_in(r, 3)) aux |= KIR_FP_NUMBER;
    if ((op == KIR_FTOI || op == KIR_ITOF) && one_in(r, 2)) aux |= KIR_FP_UNSIGNED;
    if (op == KIR_FTOI && one_in(r, 3)) aux |= KIR_FP_NAN_ZERO;
    if (op == KIR_FROUND && one_in(r, 2)) aux |= KIR_FP_EXACT;
    return aux;
}

static unsigned pick_aux(Random *r, KirOp op, KirType type) {
    switch (kir_aux_class(op)) {
    case KIR_AUX_CRC: return below(r, 2);
    case KIR_AUX_COND: return below(r, KIR_GEU + 1);
    case KIR_AUX_FCMP: return below(r, KIR_FGE_S + 1);
    case KIR_AUX_SHA: return below(r, KIR_SHA256SU1 + 1);
    case KIR_AUX_FP: return float_aux(r, op);
    case KIR_AUX_VEC: return vector_aux(r, op, type);
    default: return 0;
    }
}

static uint32_t random_round(Random *r) { return one_in(r, 3) ? KIR_RDYN : below(r, KIR_RMM + 1); }

static uint32_t pick_immediate(Random *r, KirOp op, KirType type, unsigned aux) {
    unsigned bits = kir_type_bits(type), size = aux & KIR_VEC_LANE, lane = 8u << size;
    switch (op) {
    case KIR_BFX:
    case KIR_SBFX:
    case KIR_BFI: {
        unsigned length = 1 + below(r, bits);
        return below(r, bits - length + 1) | length << 8;
    }
    case KIR_FUNNEL: return below(r, bits);
    case KIR_VREV: return 1u << (size + 1 + below(r, 3 - size));
    case KIR_VSHLI:
    case KIR_VQSHLI:
    case KIR_VSLI: return below(r, lane);
    case KIR_VSHRI:
    case KIR_VSRI: return 1 + below(r, lane);
    case KIR_VSHRN: return 1 + below(r, lane / 2);
    case KIR_VCMP: return below(r, KIR_GEU + 1);
    case KIR_VGET:
    case KIR_VDUP: return below(r, 8u >> size ? 8u >> size : 1); // within v64 too
    case KIR_VPUT: return below(r, (bits / 8) >> size);
    case KIR_VEXT: return below(r, bits / 8);
    case KIR_VFCMP: return below(r, KIR_FGE_S + 1);
    case KIR_VFTOI:
    case KIR_VFROUND: return random_round(r);
    case KIR_VFEST: return size == 2 ? below(r, KIR_FEST_RECPX + 1) : below(r, 2) * KIR_FEST_RECPX;
    case KIR_VFSTEP: return below(r, KIR_FSTEP_MULX + 1);
    default: return below(r, 2); // halves, kinds
    }
}

// ---- operations ---------------------------------------------------------------------------------
static uint32_t operand(Random *r, char letter, KirOp op, KirType type, unsigned aux) {
    switch (letter) {
    case 'T': return value(r, type);
    case 'B': return value(r, KIR_I1);
    case 'W': return value(r, KIR_I32);
    case 'A':
    case 'L': return value(r, KIR_I64);
    case 'i': return pick_immediate(r, op, type, aux);
    case '.': return KIR_NONE;
    default: return value(r, pick_type(r, operand_types(op, type)));
    }
}

static KirRef environment_operand(Random *r, KirOp op) {
    return constant(r, KIR_I64, op == KIR_FSETROUND ? below(r, KIR_RMM + 1) : below(r, 32));
}

static void value_operation(Random *r, KirOp op) {
    KirType type = pick_type(r, result_types(op));
    unsigned aux = pick_aux(r, op, type);
    const char *letters = kir_op_info[op].operands;
    uint32_t a = op == KIR_FSETROUND || op == KIR_FSETFLAGS ? environment_operand(r, op) : operand(r, letters[0], op, type, aux);
    uint32_t b = operand(r, letters[1], op, type, aux), c = operand(r, letters[2], op, type, aux);
    emit(r, op, type, aux, a, b, c);
}

// An address in the buffer, aligned to `align`; now and then one that runs out of it.
static KirRef address(Random *r, unsigned align) {
    unsigned start = one_in(r, 60) ? RANDOM_BUFFER - 64 : 64;
    KirRef mask = constant(r, KIR_I64, (start == 64 ? RANDOM_BUFFER / 2 - 1 : 255) & ~(uint64_t)(align - 1));
    KirRef offset = emit(r, KIR_AND, KIR_I64, 0, get_int(r), mask, KIR_NONE);
    return emit(r, KIR_ADD, KIR_I64, 0, offset, constant(r, KIR_I64, (uint64_t)(uintptr_t)r->buffer + start), KIR_NONE);
}

static unsigned size_within(Random *r, KirType type) {
    unsigned largest = (unsigned)__builtin_ctz(kir_type_bits(type) / 8);
    return kir_type_bits(type) <= 64 && type <= KIR_I64 ? below(r, largest + 1) : largest;
}

static void memory_operation(Random *r, KirOp op) {
    unsigned types = op == KIR_AMO ? T_WORD : op == KIR_CAS ? T_WORD | 1 << KIR_I128 : T_ALL & ~(1u << KIR_I1);
    KirType type = pick_type(r, types);
    unsigned mem = size_within(r, type);
    bool atomic = op == KIR_CAS || op == KIR_AMO;
    bool aligned = atomic ? !one_in(r, 16) : one_in(r, 2);
    bool checked = atomic && !aligned ? true : one_in(r, aligned ? 2 : 8); // misaligned atomics are left to the tiers otherwise
    if (aligned && one_in(r, 4)) mem |= KIR_MEM_ATOMIC;
    if (checked) mem |= KIR_MEM_ALIGNED;
    if (one_in(r, 3)) mem |= below(r, 4) << 4; // acquire, release
    if (op != KIR_STORE && type <= KIR_I64 && one_in(r, 2)) mem |= KIR_MEM_SIGNED;
    KirRef at = address(r, aligned ? 16 : 1);
    int displacement = ((int)below(r, 8) - 4) * (aligned ? 16 : 3);
    KirRef x = op == KIR_LOAD ? KIR_NONE : value(r, type);
    if (op == KIR_LOAD) emit(r, op, type, mem, at, (uint32_t)displacement, KIR_NONE);
    else if (op == KIR_STORE) emit(r, op, type, mem, at, x, (uint32_t)displacement);
    else emit(r, op, type, mem, at, x, op == KIR_AMO ? below(r, KIR_AMO_CLEAR + 1) : value(r, type));
}

static void helper_call(Random *r, KirOp op) {
    unsigned number = op == KIR_CALL3 ? 1 : (unsigned[]){0, 2, 3, 4, 5, 6}[below(r, 6)];
    const KirHelper *helper = &helpers[number];
    KirRef x[3];
    for (int i = 0; i < 3; i++) x[i] = helper->operands[i] == KIR_VOID ? KIR_NONE : value(r, (KirType)helper->operands[i]);
    KirRef result;
    if (r->making == RANDOM_BUILT) result = kir_call(&r->builder, number, x[0], x[1], x[2]);
    else if (op == KIR_CALL3)
        result = kir_append(r->block,
                            (KirInsn){.op = op, .type = helper->result, .aux = (uint16_t)number, .a = x[0], .b = x[1], .c = x[2]});
    else result = kir_append(r->block, (KirInsn){.op = op, .type = helper->result, .a = number, .b = x[0], .c = x[1]});
    keep(r, result, (KirType)helper->result);
}

// Forward: a thread that is asked to stop does a backward branch's instruction again, which may do nothing else then.
static unsigned new_exit(Random *r) {
    uint64_t target = BASE_PC + 4 * r->block->guest_insns + 4 * below(r, 4096);
    if (one_in(r, 6)) return kir_exit_exception(&r->builder, (KirException)below(r, KIR_EXC_RESUME + 1), target);
    return kir_exit_direct(&r->builder, target);
}

static void append(Random *r, KirOp op, unsigned aux, uint32_t a, uint32_t b, uint32_t c) {
    kir_append(r->block, (KirInsn){.op = (uint8_t)op, .aux = (uint16_t)aux, .a = a, .b = b, .c = c});
}

static void side_exit(Random *r) {
    KirRef taken = value(r, KIR_I1), rarely = emit(r, KIR_AND, KIR_I1, 0, taken, value(r, KIR_I1), KIR_NONE);
    if (one_in(r, 3)) {
        KirRef to = value(r, KIR_I64);
        KirJumpHint hint = (KirJumpHint)below(r, KIR_JUMP_RETURN + 1);
        if (r->making == RANDOM_BUILT) kir_exit_if_ind(&r->builder, rarely, to, hint);
        else append(r, KIR_EXIT_IF_IND, hint, rarely, to, KIR_NONE);
        return;
    }
    unsigned exit = new_exit(r);
    if (r->making == RANDOM_BUILT) kir_exit_if(&r->builder, rarely, exit);
    else append(r, KIR_EXIT_IF, 0, rarely, exit, KIR_NONE);
}

static void final_exit(Random *r) {
    KirRef x = value(r, KIR_I64), cond = value(r, KIR_I1);
    unsigned kind = below(r, 3), taken = new_exit(r), other = new_exit(r);
    KirJumpHint hint = (KirJumpHint)below(r, KIR_JUMP_RETURN + 1);
    bool built = r->making == RANDOM_BUILT;
    if (kind == 0 && built) kir_exit(&r->builder, taken);
    else if (kind == 1 && built) kir_exit_cond(&r->builder, cond, taken, other);
    else if (built) kir_exit_ind(&r->builder, x, hint);
    else if (kind == 0) append(r, KIR_EXIT, 0, taken, KIR_NONE, KIR_NONE);
    else if (kind == 1) append(r, KIR_EXIT_COND, 0, cond, taken, other);
    else append(r, KIR_EXIT_IND, hint, x, KIR_NONE, KIR_NONE);
}

static void write_results(Random *r) {
    for (unsigned n = 1 + below(r, 3); n; n--) {
        switch (below(r, 5)) {
        case 0: set(r, FIRST_FLOAT + below(r, RANDOM_FLOAT), value(r, KIR_F64)); break;
        case 1:
            if (!r->scalar) set(r, FIRST_VECTOR + below(r, RANDOM_VECTOR), value(r, KIR_V128));
            break;
        default: {
            KirType type = pick_type(r, T_ALL);
            set(r, below(r, RANDOM_INT), value_as_i64(r, value(r, type), type));
        }
        }
    }
}

// Comparisons between reading and writing the flags, as compilers make them to compare without raising any; the flags also go to a
// register, which is mostly written again soon.
static void quiet_comparison(Random *r) {
    KirRef flags = (one_in(r, 4) ? emit : emit_alone)(r, KIR_FGETFLAGS, KIR_I64, 0, KIR_NONE, KIR_NONE, KIR_NONE);
    unsigned global = below(r, RANDOM_INT);
    if (!one_in(r, 3)) set(r, global, flags);
    if (one_in(r, 8)) side_exit(r);
    for (unsigned n = 1 + below(r, 2); n; n--) value_operation(r, one_in(r, 10) ? KIR_FADD : KIR_FCMP);
    emit_alone(r, KIR_FSETFLAGS, KIR_I64, 0, flags, KIR_NONE, KIR_NONE);
    if (one_in(r, 3)) side_exit(r);
    if (!one_in(r, 3)) set(r, global, value(r, KIR_I64));
}

// Classes, put together and tested, in a register too.
static void test_classes(Random *r) {
    KirRef classes = emit_alone(r, KIR_FCLASS, KIR_I64, 0, value(r, one_in(r, 2) ? KIR_F32 : KIR_F64), KIR_NONE, KIR_NONE);
    unsigned global = below(r, RANDOM_INT);
    if (!one_in(r, 3)) set(r, global, classes);
    if (one_in(r, 2)) {
        KirRef others = emit_alone(r, KIR_FCLASS, KIR_I64, 0, value(r, KIR_F64), KIR_NONE, KIR_NONE);
        classes = emit_alone(r, KIR_OR, KIR_I64, 0, classes, others, KIR_NONE);
    }
    emit(r, KIR_AND, KIR_I64, 0, classes, constant(r, KIR_I64, 1u << below(r, 10) | 1u << below(r, 12)), KIR_NONE);
    if (one_in(r, 3)) side_exit(r);
    if (!one_in(r, 3)) set(r, global, value(r, KIR_I64));
}

static KirCount count; // nobody looks at it

static void any_operation(Random *r) {
    switch (below(r, 24)) {
    case 0:
    case 1:
    case 2: memory_operation(r, (KirOp)(KIR_LOAD + below(r, 4))); return;
    case 3: side_exit(r); return;
    case 4: helper_call(r, one_in(r, 3) ? KIR_CALL3 : KIR_CALL); return;
    case 5:
        if (one_in(r, 2)) emit(r, KIR_FENCE, KIR_VOID, below(r, 32), KIR_NONE, KIR_NONE, KIR_NONE);
        else if (one_in(r, 2)) append(r, KIR_POLL, 0, new_exit(r), KIR_NONE, KIR_NONE);
        else if (one_in(r, 3)) kir_append(r->block, (KirInsn){.op = KIR_COUNT, .c = KIR_NONE, .imm = (uintptr_t)&count});
        else if (one_in(r, 2)) append(r, KIR_NOP, 0, KIR_NONE, KIR_NONE, KIR_NONE);
        else if (one_in(r, 2)) quiet_comparison(r);
        else test_classes(r);
        return;
    default: break;
    }
    KirOp op;
    do op = (KirOp)(KIR_ADD + below(r, (r->scalar ? KIR_FSETROUND + 1 : KIR_EXIT_IF) - KIR_ADD));
    while (kir_op_info[op].flags & ~(KIR_FLAG_PURE | KIR_FLAG_FPENV) || (r->scalar && op >= KIR_PAIR && op <= KIR_HI64));
    value_operation(r, op);
}

KirBlock *kir_random_block(Arena *arena, RandomMaking making, uint64_t seed, unsigned size, const uint8_t *buffer) {
    Random r = {.making = making, .scalar = kir_random_is_scalar(seed), .state = seed * 2 + 1, .buffer = buffer};
    for (int i = 0; i < 8; i++) next(&r.state);
    r.block = kir_block_new(arena, &kir_random_world, BASE_PC, 0);
    r.block->guest_insns = size;
    r.block->guest_bytes = 4 * size;
    kir_builder_init(&r.builder, r.block);
    if (making == RANDOM_RAW) r.block->folded = false;
    for (unsigned i = 0; i < size; i++) {
        kir_insn_start(&r.builder, BASE_PC + 4 * i, 4);
        for (unsigned n = 1 + below(&r, 4); n; n--) any_operation(&r);
        write_results(&r);
    }
    final_exit(&r);
    return r.block;
}

void kir_random_state(Cpu *cpu, uint64_t seed, uint8_t *buffer) {
    uint64_t state = seed * 2 + 1;
    for (int i = 0; i < 8; i++) next(&state);
    memset(cpu->guest, 0, sizeof cpu->guest);
    for (unsigned i = 0; i < 40; i++) { // all of the globals lie in the first 320 bytes
        uint64_t x = corner_value(&state);
        memcpy(cpu->guest + 8 * i, &x, 8);
    }
    for (unsigned i = 0; i < RANDOM_BUFFER; i += 8) {
        uint64_t x = corner_value(&state);
        memcpy(buffer + i, &x, 8);
    }
    cpu->poll = (next(&state) >> 40 & 15) == 0;
    cpu->host_mxcsr = 0x1f80;
    cpu->guest_mxcsr = 0x1f80 | (uint32_t)(next(&state) >> 40 & 3) << 13 | (uint32_t)(next(&state) >> 40 & 0x3d);
    cpu->pc = BASE_PC;
    cpu->fault = (CpuFault){0};
}
