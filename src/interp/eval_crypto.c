// SPDX-License-Identifier: MIT
//
// AES rounds and SHA-1 / SHA-256 steps, as FIPS 197 and FIPS 180-4 define them, split the way Arm's
// instructions are. The AES substitution is computed from its definition at first use instead of standing
// here as numbers.
#include "interp/eval.h"

// ---- AES ----------------------------------------------------------------------------------------
static uint8_t times_x(uint8_t a) { return (uint8_t)(a << 1 ^ (a & 0x80 ? 0x1b : 0)); }
static uint8_t field_product(uint8_t a, uint8_t b) {
    uint8_t product = 0;
    for (; b; b >>= 1, a = times_x(a))
        if (b & 1) product ^= a;
    return product;
}

static uint8_t rotate8(uint8_t a, unsigned n) { return (uint8_t)(a << n | a >> (8 - n)); }
static uint8_t substitute(uint8_t a) {
    uint8_t inverse = a; // a^254, by squaring and multiplying; 0 stays 0
    for (int i = 0; i < 6; i++) inverse = field_product(field_product(inverse, inverse), a);
    inverse = field_product(inverse, inverse);
    return inverse ^ rotate8(inverse, 1) ^ rotate8(inverse, 2) ^ rotate8(inverse, 3) ^ rotate8(inverse, 4) ^ 0x63;
}

typedef struct Substitution {
    uint8_t forward[256], backward[256];
} Substitution;

// Threads that meet here write the same bytes.
static const Substitution *substitution(void) {
    static Substitution table;
    static bool made;
    if (!__atomic_load_n(&made, __ATOMIC_ACQUIRE)) {
        for (unsigned i = 0; i < 256; i++) {
            uint8_t image = substitute((uint8_t)i);
            __atomic_store_n(&table.forward[i], image, __ATOMIC_RELAXED);
            __atomic_store_n(&table.backward[image], (uint8_t)i, __ATOMIC_RELAXED);
        }
        __atomic_store_n(&made, true, __ATOMIC_RELEASE);
    }
    return &table;
}

// Byte 4c + r is row r of column c; row r moves r columns to the left when enciphering.
KirValue kir_eval_AESENC(const Eval *v) {
    const Substitution *table = substitution();
    KirValue result;
    bool decipher = v->insn->c & 1;
    for (unsigned i = 0; i < 16; i++) {
        unsigned from = (decipher ? i - 4 * (i & 3) : i + 4 * (i & 3)) & 15;
        uint8_t byte = v->a.u8[from] ^ v->b.u8[from];
        result.u8[i] = decipher ? table->backward[byte] : table->forward[byte];
    }
    return result;
}

KirValue kir_eval_AESMC(const Eval *v) {
    static const uint8_t factors[2][4] = {{2, 3, 1, 1}, {14, 11, 13, 9}};
    const uint8_t *factor = factors[v->insn->b & 1];
    KirValue result;
    for (unsigned i = 0; i < 16; i++) {
        const uint8_t *column = v->a.u8 + (i & ~3u);
        result.u8[i] = 0;
        for (unsigned k = 0; k < 4; k++) result.u8[i] ^= field_product(column[(i + k) & 3], factor[k]);
    }
    return result;
}

// ---- SHA: lane 0 is the first word --------------------------------------------------------------
static uint32_t right(uint32_t x, unsigned n) { return x >> n | x << (32 - n); }
static uint32_t choose(uint32_t x, uint32_t y, uint32_t z) { return ((y ^ z) & x) ^ z; }
static uint32_t majority(uint32_t x, uint32_t y, uint32_t z) { return (x & y) | ((x | y) & z); }
static uint32_t parity(uint32_t x, uint32_t y, uint32_t z) { return x ^ y ^ z; }

// Four rounds: a = A B C D, lane 0 of b = E, c = schedule words plus constants.
static KirValue sha1_rounds(const Eval *v, uint32_t (*function)(uint32_t, uint32_t, uint32_t)) {
    KirValue s = v->a;
    uint32_t e = v->b.u32[0];
    for (unsigned i = 0; i < 4; i++) {
        uint32_t next = right(s.u32[0], 27) + function(s.u32[1], s.u32[2], s.u32[3]) + e + v->c.u32[i];
        e = s.u32[3];
        s = (KirValue){.u32 = {next, s.u32[0], right(s.u32[1], 2), s.u32[2]}};
    }
    return s;
}

static KirValue sha1_schedule0(const Eval *v) {
    KirValue result;
    for (unsigned i = 0; i < 4; i++) result.u32[i] = v->a.u32[i] ^ (i < 2 ? v->a.u32[i + 2] : v->b.u32[i - 2]) ^ v->c.u32[i];
    return result;
}

static KirValue sha1_schedule1(const Eval *v) {
    KirValue result;
    for (unsigned i = 0; i < 4; i++) result.u32[i] = right(v->a.u32[i] ^ (i < 3 ? v->b.u32[i + 1] : 0), 31);
    result.u32[3] ^= right(result.u32[0], 31); // the word that was not known yet is the new first one
    return result;
}

// Four rounds on x = A B C D and y = E F G H; which of the two is wanted depends on the instruction.
static KirValue sha256_rounds(KirValue x, KirValue y, KirValue words, bool first_half) {
    for (unsigned i = 0; i < 4; i++) {
        uint32_t sum0 = right(x.u32[0], 2) ^ right(x.u32[0], 13) ^ right(x.u32[0], 22);
        uint32_t sum1 = right(y.u32[0], 6) ^ right(y.u32[0], 11) ^ right(y.u32[0], 25);
        uint32_t t = y.u32[3] + sum1 + choose(y.u32[0], y.u32[1], y.u32[2]) + words.u32[i];
        uint32_t a = t + sum0 + majority(x.u32[0], x.u32[1], x.u32[2]), e = x.u32[3] + t;
        x = (KirValue){.u32 = {a, x.u32[0], x.u32[1], x.u32[2]}};
        y = (KirValue){.u32 = {e, y.u32[0], y.u32[1], y.u32[2]}};
    }
    return first_half ? x : y;
}

static uint32_t sigma0(uint32_t x) { return right(x, 7) ^ right(x, 18) ^ x >> 3; }
static uint32_t sigma1(uint32_t x) { return right(x, 17) ^ right(x, 19) ^ x >> 10; }

static KirValue sha256_schedule0(const Eval *v) {
    KirValue result;
    for (unsigned i = 0; i < 4; i++) result.u32[i] = v->a.u32[i] + sigma0(i < 3 ? v->a.u32[i + 1] : v->b.u32[0]);
    return result;
}

static KirValue sha256_schedule1(const Eval *v) {
    KirValue result;
    for (unsigned i = 0; i < 4; i++) {
        uint32_t two_back = i < 2 ? v->c.u32[i + 2] : result.u32[i - 2];
        uint32_t seven_back = i < 3 ? v->b.u32[i + 1] : v->c.u32[0];
        result.u32[i] = v->a.u32[i] + sigma1(two_back) + seven_back;
    }
    return result;
}

KirValue kir_eval_SHA(const Eval *v) {
    switch ((KirSha)v->insn->aux) {
    case KIR_SHA1C: return sha1_rounds(v, choose);
    case KIR_SHA1P: return sha1_rounds(v, parity);
    case KIR_SHA1M: return sha1_rounds(v, majority);
    case KIR_SHA1H: return kir_value(right(v->a.u32[0], 2));
    case KIR_SHA1SU0: return sha1_schedule0(v);
    case KIR_SHA1SU1: return sha1_schedule1(v);
    case KIR_SHA256H: return sha256_rounds(v->a, v->b, v->c, true);
    case KIR_SHA256H2: return sha256_rounds(v->b, v->a, v->c, false);
    case KIR_SHA256SU0: return sha256_schedule0(v);
    case KIR_SHA256SU1: return sha256_schedule1(v);
    }
    return kir_value(0);
}
