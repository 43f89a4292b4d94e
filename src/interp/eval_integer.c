// SPDX-License-Identifier: MIT
//
// Scalar integer operations. Operands are zero above the width, so unsigned operations take them as they
// stand and signed ones go through sx() and sy(); results are cut by the caller.
#include "interp/eval.h"

static int64_t sx(const Eval *v) { return sign64(v->a.i, v->bits); }
static int64_t sy(const Eval *v) { return sign64(v->b.i, v->bits); }
static unsigned amount(const Eval *v) { return (unsigned)v->b.i & (v->bits - 1); }
static KirValue is(bool truth) { return kir_value(truth); }

// ---- sums and products --------------------------------------------------------------------------
KirValue kir_eval_ADD(const Eval *v) { return kir_value(v->a.i + v->b.i); }
KirValue kir_eval_SUB(const Eval *v) { return kir_value(v->a.i - v->b.i); }
KirValue kir_eval_MUL(const Eval *v) { return kir_value(v->a.i * v->b.i); }
KirValue kir_eval_MULHU(const Eval *v) { return kir_value((uint64_t)((U128)v->a.i * v->b.i >> v->bits)); }
KirValue kir_eval_MULHS(const Eval *v) { return kir_value((uint64_t)((S128)sx(v) * sy(v) >> v->bits)); }
KirValue kir_eval_MULHSU(const Eval *v) { return kir_value((uint64_t)((S128)sx(v) * (S128)v->b.i >> v->bits)); }
KirValue kir_eval_NEG(const Eval *v) { return kir_value(-v->a.i); }
KirValue kir_eval_ADC(const Eval *v) { return kir_value(v->a.i + v->b.i + v->c.i); }
KirValue kir_eval_ADC_C(const Eval *v) { return is(((U128)v->a.i + v->b.i + v->c.i) >> v->bits & 1); }
KirValue kir_eval_ADC_V(const Eval *v) {
    S128 sum = (S128)sx(v) + sy(v) + (S128)v->c.i;
    return is(sum != sign64((uint64_t)sum, v->bits));
}

KirValue kir_eval_DIVU(const Eval *v) { return kir_value(v->b.i ? v->a.i / v->b.i : ~(uint64_t)0); }
KirValue kir_eval_REMU(const Eval *v) { return kir_value(v->b.i ? v->a.i % v->b.i : v->a.i); }
// Division by -1 is negation: the host would trap on the smallest number.
KirValue kir_eval_DIVS(const Eval *v) {
    if (!v->b.i) return kir_value(~(uint64_t)0);
    return kir_value(sy(v) == -1 ? -v->a.i : (uint64_t)(sx(v) / sy(v)));
}
KirValue kir_eval_REMS(const Eval *v) {
    if (!v->b.i) return v->a;
    return kir_value(sy(v) == -1 ? 0 : (uint64_t)(sx(v) % sy(v)));
}

// ---- bits ---------------------------------------------------------------------------------------
KirValue kir_eval_AND(const Eval *v) { return kir_value(v->a.i & v->b.i); }
KirValue kir_eval_OR(const Eval *v) { return kir_value(v->a.i | v->b.i); }
KirValue kir_eval_XOR(const Eval *v) { return kir_value(v->a.i ^ v->b.i); }
KirValue kir_eval_NOT(const Eval *v) { return kir_value(~v->a.i); }
KirValue kir_eval_SHL(const Eval *v) { return kir_value(v->a.i << amount(v)); }
KirValue kir_eval_SHR(const Eval *v) { return kir_value(v->a.i >> amount(v)); }
KirValue kir_eval_SAR(const Eval *v) { return kir_value((uint64_t)(sx(v) >> amount(v))); }
KirValue kir_eval_ROTR(const Eval *v) {
    unsigned n = amount(v);
    return n ? kir_value(v->a.i >> n | v->a.i << (v->bits - n)) : v->a;
}
KirValue kir_eval_CLZ(const Eval *v) {
    unsigned n = 0;
    while (n < v->bits && !(v->a.i >> (v->bits - 1 - n) & 1)) n++;
    return kir_value(n);
}
KirValue kir_eval_CTZ(const Eval *v) {
    unsigned n = 0;
    while (n < v->bits && !(v->a.i >> n & 1)) n++;
    return kir_value(n);
}
KirValue kir_eval_POPCNT(const Eval *v) { return kir_value((uint64_t)__builtin_popcountll(v->a.i)); }
KirValue kir_eval_BSWAP(const Eval *v) { return kir_value(__builtin_bswap64(v->a.i) >> (64 - v->bits)); }
KirValue kir_eval_BITREV(const Eval *v) {
    uint64_t result = 0;
    for (unsigned i = 0; i < v->bits; i++) result |= (v->a.i >> i & 1) << (v->bits - 1 - i);
    return kir_value(result);
}
KirValue kir_eval_ORCB(const Eval *v) {
    KirValue result = kir_value(0);
    for (unsigned i = 0; i < v->bits / 8; i++) result.u8[i] = v->a.u8[i] ? 0xff : 0;
    return result;
}

static U128 carryless_product(uint64_t x, uint64_t y) {
    U128 product = 0;
    for (unsigned i = 0; i < 64; i++)
        if (y >> i & 1) product ^= (U128)x << i;
    return product;
}
KirValue kir_eval_CLMUL(const Eval *v) { return kir_value((uint64_t)carryless_product(v->a.i, v->b.i)); }
KirValue kir_eval_CLMULH(const Eval *v) { return kir_value((uint64_t)(carryless_product(v->a.i, v->b.i) >> v->bits)); }

KirValue kir_eval_CRC32(const Eval *v) {
    uint32_t polynomial = v->insn->aux & 1 ? 0x82f63b78u : 0xedb88320u, crc = v->a.u32[0];
    unsigned width = kir_type_bits((KirType)v->types[1]);
    for (unsigned i = 0; i < width; i++) {
        uint32_t bit = (crc ^ (uint32_t)(v->b.i >> i)) & 1;
        crc = crc >> 1 ^ (bit ? polynomial : 0);
    }
    return kir_value(crc);
}

// ---- fields: lsb in the low byte of the immediate, length (1 to 64) in the next -----------------
static unsigned field_lsb(uint32_t field) { return field & 63; }
static unsigned field_length(uint32_t field) { return (((field >> 8) - 1) & 63) + 1; }

KirValue kir_eval_BFX(const Eval *v) { return kir_value(cut64(v->a.i >> field_lsb(v->insn->b), field_length(v->insn->b))); }
KirValue kir_eval_SBFX(const Eval *v) {
    return kir_value((uint64_t)sign64(v->a.i >> field_lsb(v->insn->b), field_length(v->insn->b)));
}
KirValue kir_eval_BFI(const Eval *v) {
    unsigned lsb = field_lsb(v->insn->c);
    uint64_t mask = cut64(~(uint64_t)0, field_length(v->insn->c)) << lsb;
    return kir_value((v->a.i & ~mask) | (v->b.i << lsb & mask));
}
KirValue kir_eval_FUNNEL(const Eval *v) {
    unsigned n = v->insn->c & (v->bits - 1);
    return n ? kir_value(v->b.i >> n | v->a.i << (v->bits - n)) : v->b;
}

// ---- comparison and width -----------------------------------------------------------------------
KirValue kir_eval_CMP(const Eval *v) {
    switch ((KirCond)v->insn->aux) {
    case KIR_EQ: return is(v->a.i == v->b.i);
    case KIR_NE: return is(v->a.i != v->b.i);
    case KIR_LTS: return is(sx(v) < sy(v));
    case KIR_LES: return is(sx(v) <= sy(v));
    case KIR_GTS: return is(sx(v) > sy(v));
    case KIR_GES: return is(sx(v) >= sy(v));
    case KIR_LTU: return is(v->a.i < v->b.i);
    case KIR_LEU: return is(v->a.i <= v->b.i);
    case KIR_GTU: return is(v->a.i > v->b.i);
    case KIR_GEU: return is(v->a.i >= v->b.i);
    }
    return is(false);
}

KirValue kir_eval_SEXT(const Eval *v) { return kir_value((uint64_t)sign64(v->a.i, kir_type_bits((KirType)v->types[0]))); }
KirValue kir_eval_ZEXT(const Eval *v) { return v->a; }
KirValue kir_eval_TRUNC(const Eval *v) { return v->a; }
