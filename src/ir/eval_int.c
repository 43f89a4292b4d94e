// SPDX-License-Identifier: MIT
//
// Integer operations on constants, in plain C arithmetic. Operands come cut to their type (upper bits zero),
// results go out the same way. interp/eval.c means the same for every tier; this file exists so that folding
// needs no KirValue and no floating-point environment, and the unit tests compare the two.
#include "ir/fold.h"

typedef unsigned __int128 U128;
typedef __int128 S128;

static inline int64_t sign_extend(uint64_t value, unsigned bits) { return (int64_t)(value << (64 - bits)) >> (64 - bits); }
static inline uint64_t mask_of(unsigned bits) { return ~(uint64_t)0 >> (64 - bits); }

bool kir_eval_cond(KirCond cond, unsigned bits, uint64_t x, uint64_t y) {
    int64_t sx = sign_extend(x, bits), sy = sign_extend(y, bits);
    switch (cond) {
    case KIR_EQ: return x == y;
    case KIR_NE: return x != y;
    case KIR_LTS: return sx < sy;
    case KIR_LES: return sx <= sy;
    case KIR_GTS: return sx > sy;
    case KIR_GES: return sx >= sy;
    case KIR_LTU: return x < y;
    case KIR_LEU: return x <= y;
    case KIR_GTU: return x > y;
    case KIR_GEU: return x >= y;
    }
    return false;
}

static uint64_t divide(KirOp op, unsigned bits, uint64_t x, uint64_t y) {
    int64_t sx = sign_extend(x, bits), sy = sign_extend(y, bits);
    bool is_signed = op == KIR_DIVS || op == KIR_REMS, remainder = op == KIR_REMU || op == KIR_REMS;
    if (y == 0) return remainder ? x : ~(uint64_t)0;
    if (!is_signed) return remainder ? x % y : x / y;
    if (sy == -1) return remainder ? 0 : -(uint64_t)sx; // also MIN / -1 = MIN
    return (uint64_t)(remainder ? sx % sy : sx / sy);
}

static uint64_t reverse_bits(uint64_t x) {
    x = (x >> 1 & 0x5555555555555555u) | (x & 0x5555555555555555u) << 1;
    x = (x >> 2 & 0x3333333333333333u) | (x & 0x3333333333333333u) << 2;
    x = (x >> 4 & 0x0f0f0f0f0f0f0f0fu) | (x & 0x0f0f0f0f0f0f0f0fu) << 4;
    return __builtin_bswap64(x);
}

static uint64_t or_combine_bytes(uint64_t x) {
    uint64_t result = 0;
    for (unsigned shift = 0; shift < 64; shift += 8)
        if (x >> shift & 0xff) result |= (uint64_t)0xff << shift;
    return result;
}

static U128 carryless_product(uint64_t x, uint64_t y) {
    U128 product = 0;
    for (unsigned i = 0; i < 64; i++)
        if (y >> i & 1) product ^= (U128)x << i;
    return product;
}

static uint32_t crc_step(uint32_t crc, uint64_t value, unsigned bits, bool castagnoli) {
    uint32_t polynomial = castagnoli ? 0x82f63b78u : 0xedb88320u;
    for (unsigned i = 0; i < bits; i++) {
        uint32_t bit = (crc ^ (uint32_t)(value >> i)) & 1;
        crc = crc >> 1 ^ (polynomial & -bit);
    }
    return crc;
}

static uint64_t high_product(KirOp op, unsigned bits, uint64_t x, uint64_t y) {
    S128 sx = sign_extend(x, bits), sy = sign_extend(y, bits);
    if (op == KIR_MULHU) return (uint64_t)((U128)x * y >> bits);
    if (op == KIR_MULHS) return (uint64_t)(sx * sy >> bits);
    return (uint64_t)(sx * (S128)y >> bits);
}

static uint64_t shift(KirOp op, unsigned bits, uint64_t x, uint64_t amount) {
    unsigned n = amount & (bits - 1);
    switch (op) {
    case KIR_SHL: return x << n;
    case KIR_SHR: return x >> n;
    case KIR_SAR: return (uint64_t)(sign_extend(x, bits) >> n);
    default: return n ? x >> n | x << (bits - n) : x; // ROTR
    }
}

// Fields: lsb in the low byte of the immediate, length in the next.
static uint64_t field(KirOp op, uint64_t x, uint64_t y, uint64_t z) {
    uint64_t imm = op == KIR_BFI ? z : y;
    unsigned lsb = imm & 63, length = imm >> 8 & 0x7f;
    if (length == 0 || length > 64) return op == KIR_BFI ? x : 0;
    if (op == KIR_BFX) return x >> lsb & mask_of(length);
    if (op == KIR_SBFX) return (uint64_t)sign_extend(x >> lsb & mask_of(length), length);
    uint64_t mask = mask_of(length) << lsb;
    return (x & ~mask) | (y << lsb & mask);
}

static uint64_t add_carry(KirOp op, unsigned bits, uint64_t x, uint64_t y, uint64_t carry) {
    S128 sum = (S128)sign_extend(x, bits) + sign_extend(y, bits) + (S128)carry;
    if (op == KIR_ADC_C) return (uint64_t)(((U128)x + y + carry) >> bits) & 1;
    if (op == KIR_ADC_V) return sum != sign_extend((uint64_t)sum & mask_of(bits), bits);
    return x + y + carry;
}

static uint64_t evaluate(KirOp op, unsigned bits, unsigned aux, uint64_t x, uint64_t y, uint64_t z, unsigned source_bits) {
    switch (op) {
    case KIR_ADD: return x + y;
    case KIR_SUB: return x - y;
    case KIR_MUL: return x * y;
    case KIR_MULHU ... KIR_MULHSU: return high_product(op, bits, x, y);
    case KIR_DIVU ... KIR_REMS: return divide(op, bits, x, y);
    case KIR_AND: return x & y;
    case KIR_OR: return x | y;
    case KIR_XOR: return x ^ y;
    case KIR_NOT: return ~x;
    case KIR_NEG: return -x;
    case KIR_SHL ... KIR_ROTR: return shift(op, bits, x, y);
    case KIR_CLZ: return x ? (unsigned)__builtin_clzll(x) - (64 - bits) : bits;
    case KIR_CTZ: return x ? (unsigned)__builtin_ctzll(x) : bits;
    case KIR_POPCNT: return (unsigned)__builtin_popcountll(x);
    case KIR_BSWAP: return __builtin_bswap64(x) >> (64 - bits);
    case KIR_BITREV: return reverse_bits(x) >> (64 - bits);
    case KIR_ORCB: return or_combine_bytes(x);
    case KIR_CLMUL: return (uint64_t)carryless_product(x, y);
    case KIR_CLMULH: return (uint64_t)(carryless_product(x, y) >> bits);
    case KIR_CRC32: return crc_step((uint32_t)x, y, source_bits, aux & 1);
    case KIR_BFX ... KIR_BFI: return field(op, x, y, z);
    case KIR_FUNNEL: return z ? y >> z | x << (bits - z) : y;
    case KIR_ADC ... KIR_ADC_V: return add_carry(op, bits, x, y, z);
    case KIR_CMP: return kir_eval_cond((KirCond)aux, bits, x, y);
    case KIR_SEXT: return (uint64_t)sign_extend(x, source_bits);
    case KIR_ZEXT:
    case KIR_TRUNC: return x;
    default: __builtin_unreachable();
    }
}

uint64_t kir_eval_int(KirOp op, unsigned bits, unsigned aux, uint64_t x, uint64_t y, uint64_t z, unsigned source_bits) {
    uint64_t result = evaluate(op, bits, aux, x, y, z, source_bits);
    bool is_bit = op == KIR_CMP || op == KIR_ADC_C || op == KIR_ADC_V;
    return kir_low_bits(result, is_bit ? 1 : bits);
}
