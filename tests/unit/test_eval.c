// SPDX-License-Identifier: MIT
//
// The evaluator's integer, vector and cryptographic operations: against the constant folder's arithmetic,
// against plain C on lanes of fixed types, and against published test vectors.
#include <string.h>
#include "eval_check.h"
#include "ir/fold.h"

unsigned checks_passed, checks_failed;
static uint64_t seed = 0x9e3779b97f4a7c15;

static uint64_t corner(void) {
    static const uint64_t corners[] = {0,
                                       1,
                                       2,
                                       0x7f,
                                       0x80,
                                       0xff,
                                       0x7fff,
                                       0x8000,
                                       0x7fffffff,
                                       0x80000000,
                                       0xffffffff,
                                       0x100000000,
                                       0x7fffffffffffffff,
                                       0x8000000000000000,
                                       ~(uint64_t)0};
    uint64_t r = next_random(&seed);
    return r & 7 ? next_random(&seed) : corners[(r >> 8) % (sizeof corners / sizeof *corners)];
}

// ---- integers -----------------------------------------------------------------------------------
static uint64_t integer(KirOp op, KirType type, uint64_t a, uint64_t b) {
    Run r = {.insn = {.op = op, .type = type}, .types = {type, type}, .a = scalar(a), .b = scalar(b)};
    return run(&r).i;
}

static void test_integer_values(void) {
    const uint64_t min32 = 0x80000000, min64 = (uint64_t)1 << 63, ones = ~(uint64_t)0;
    CHECK(integer(KIR_ADD, KIR_I32, 0xffffffff, 1) == 0, "i32 wraps");
    CHECK(integer(KIR_ADD, KIR_I32, 0xdead00000000 | 1, 1) == 2, "bits above the type are ignored");
    CHECK(integer(KIR_DIVS, KIR_I32, min32, 0xffffffff) == min32, "MIN / -1");
    CHECK(integer(KIR_DIVS, KIR_I64, min64, ones) == min64, "MIN / -1");
    CHECK(integer(KIR_REMS, KIR_I64, min64, ones) == 0, "MIN %% -1");
    CHECK(integer(KIR_DIVS, KIR_I64, 7, 0) == ones, "x / 0");
    CHECK(integer(KIR_DIVU, KIR_I32, 7, 0) == 0xffffffff, "x / 0 unsigned");
    CHECK(integer(KIR_REMU, KIR_I32, 7, 0) == 7 && integer(KIR_REMS, KIR_I64, (uint64_t)-7, 0) == (uint64_t)-7, "x %% 0");
    CHECK(integer(KIR_DIVS, KIR_I32, (uint32_t)-7, 2) == (uint32_t)-3, "towards zero");
    CHECK(integer(KIR_MULHU, KIR_I64, ones, ones) == ones - 1, "mulhu");
    CHECK(integer(KIR_MULHS, KIR_I64, min64, min64) == (uint64_t)1 << 62, "mulhs");
    CHECK(integer(KIR_MULHSU, KIR_I64, ones, ones) == ones, "mulhsu: -1 * (2^64 - 1)");
    CHECK(integer(KIR_SHL, KIR_I32, 1, 33) == 2 && integer(KIR_SAR, KIR_I32, min32, 31) == 0xffffffff, "amount modulo 32");
    CHECK(integer(KIR_CLZ, KIR_I32, 0, 0) == 32 && integer(KIR_CTZ, KIR_I64, 0, 0) == 64, "counts of zero");
    CHECK(integer(KIR_ORCB, KIR_I64, 0x0100002000000080, 0) == 0xff0000ff000000ff, "orcb");
    CHECK(integer(KIR_NOT, KIR_I1, 1, 0) == 0 && integer(KIR_NOT, KIR_I1, 0, 0) == 1, "not i1");
    CHECK(integer(KIR_BITREV, KIR_I32, 1, 0) == min32, "bitrev");
}

static void test_crc(void) {
    uint64_t crc[2] = {0xffffffff, 0xffffffff};
    for (const char *p = "123456789"; *p; p++) {
        for (unsigned kind = 0; kind < 2; kind++) {
            Run r = {.insn = {.op = KIR_CRC32, .type = KIR_I32, .aux = (uint16_t)kind},
                     .types = {KIR_I32, KIR_I8},
                     .a = scalar(crc[kind]),
                     .b = scalar((uint8_t)*p)};
            crc[kind] = run(&r).i;
        }
    }
    CHECK((crc[0] ^ 0xffffffff) == 0xcbf43926, "crc-32 of the check string");
    CHECK((crc[1] ^ 0xffffffff) == 0xe3069283, "crc-32c of the check string");
}

// Every integer operation against ir/eval_int.c, which was written apart from it.
static void test_integers_against_folder(void) {
    static const KirType types[] = {KIR_I32, KIR_I64};
    for (unsigned n = 0; n < 200000; n++) {
        KirOp op = (KirOp)(KIR_ADD + n % (KIR_TRUNC + 1 - KIR_ADD));
        if (op == KIR_SELECT) continue;
        KirType type = types[n & 1], source = type;
        unsigned bits = kir_type_bits(type), length = 1 + (unsigned)(next_random(&seed) % bits);
        uint32_t field = (uint32_t)(next_random(&seed) % (bits - length + 1)) | length << 8;
        uint64_t x = kir_low_bits(corner(), bits), y = kir_low_bits(corner(), bits), z = next_random(&seed) & 1;
        Run r = {.insn = {.op = op, .type = type}, .types = {type, type, KIR_I1}};
        if (op == KIR_CRC32) {
            source = (KirType)(KIR_I8 + n / 7 % 4);
            r.insn.type = KIR_I32, bits = 32, r.types[0] = KIR_I32, r.types[1] = source;
            x = kir_low_bits(x, 32), y = kir_low_bits(y, kir_type_bits(source)), r.insn.aux = n >> 5 & 1;
        } else if (op == KIR_BFX || op == KIR_SBFX) {
            r.insn.b = field, y = field, r.types[1] = KIR_VOID;
        } else if (op == KIR_BFI) {
            r.insn.c = field, z = field, r.types[2] = KIR_VOID;
        } else if (op == KIR_FUNNEL) {
            z = next_random(&seed) % bits, r.insn.c = (uint32_t)z, r.types[2] = KIR_VOID;
        } else if (op == KIR_CMP) {
            r.insn.aux = (uint16_t)(n / 3 % (KIR_GEU + 1));
            if (n & 64) y = x;
        } else if (op == KIR_SEXT || op == KIR_ZEXT || op == KIR_TRUNC) {
            KirType narrow = (KirType)(KIR_I1 + n / 5 % 3);
            r.types[0] = source = op == KIR_TRUNC ? type : narrow;
            if (op == KIR_TRUNC) r.insn.type = narrow, bits = kir_type_bits(narrow);
            else x = kir_low_bits(x, kir_type_bits(narrow));
        }
        r.a = scalar(x), r.b = scalar(y), r.c = scalar(z);
        uint64_t expected = kir_eval_int(op, bits, r.insn.aux, x, y, z, kir_type_bits(source)), got = run(&r).i;
        CHECK(got == expected, "%s of %#lx, %#lx, %#lx (%u bits, aux %u): %#lx, the folder says %#lx", kir_op_info[op].name, x, y,
              z, bits, r.insn.aux, got, expected);
    }
}

// ---- vectors ------------------------------------------------------------------------------------
static KirValue random_vector(void) { return (KirValue){.u64 = {corner(), corner()}}; }

static KirValue vector(KirOp op, unsigned aux, KirValue a, KirValue b, uint32_t immediate) {
    Run r = {.insn = {.op = op, .type = KIR_V128, .aux = (uint16_t)aux}, .types = {KIR_V128}, .a = a, .b = b};
    const char *letters = kir_op_info[op].operands;
    if (letters[1] == 'i') r.insn.b = immediate;
    else r.types[1] = KIR_V128;
    if (letters[2] == 'i') r.insn.c = immediate;
    return run(&r);
}
static bool same(KirValue a, KirValue b) { return a.u64[0] == b.u64[0] && a.u64[1] == b.u64[1]; }

// The straightforward reference for bytes and 16-bit lanes, signed and unsigned: int is wide enough for
// everything.
static int clamp(int x, int low, int high) { return x < low ? low : x > high ? high : x; }
static int reference(KirOp op, int x, int y, int low, int high) {
    switch (op) {
    case KIR_VADD: return x + y;
    case KIR_VSUB: return x - y;
    case KIR_VMUL: return (int)((unsigned)x * (unsigned)y);
    case KIR_VQADD: return clamp(x + y, low, high);
    case KIR_VQSUB: return clamp(x - y, low, high);
    case KIR_VAVG: return (x + y) >> 1;
    case KIR_VHSUB: return (x - y) >> 1;
    case KIR_VABD: return x > y ? x - y : y - x;
    case KIR_VMIN: return x < y ? x : y;
    case KIR_VMAX: return x > y ? x : y;
    default: return x & y ? -1 : 0; // VTST
    }
}

static void test_lanes_against_reference(void) {
    static const KirOp ops[] = {KIR_VADD,  KIR_VSUB, KIR_VMUL, KIR_VQADD, KIR_VQSUB, KIR_VAVG,
                                KIR_VHSUB, KIR_VABD, KIR_VMIN, KIR_VMAX,  KIR_VTST};
    for (unsigned n = 0; n < 20000; n++) {
        KirOp op = ops[n % (sizeof ops / sizeof *ops)];
        unsigned lane = n >> 3 & 1, is_signed = n >> 4 & 1;
        int bits = 8 << lane, low = is_signed ? -(1 << (bits - 1)) : 0, high = is_signed ? (1 << (bits - 1)) - 1 : (1 << bits) - 1;
        KirValue a = random_vector(), b = random_vector(), expected;
        for (unsigned i = 0; i < 16u >> lane; i++) {
            int x = lane ? (is_signed ? (int16_t)a.u16[i] : a.u16[i]) : is_signed ? (int8_t)a.u8[i] : a.u8[i];
            int y = lane ? (is_signed ? (int16_t)b.u16[i] : b.u16[i]) : is_signed ? (int8_t)b.u8[i] : b.u8[i];
            int z = reference(op, x, y, low, high);
            if (lane) expected.u16[i] = (uint16_t)z;
            else expected.u8[i] = (uint8_t)z;
        }
        KirValue got = vector(op, lane | (is_signed ? KIR_VEC_SIGNED : 0), a, b, 0);
        CHECK(same(got, expected), "%s lane %u signed %u: %016lx %016lx", kir_op_info[op].name, lane, is_signed, got.u64[1],
              got.u64[0]);
    }
}

static KirValue bytes(uint64_t low, uint64_t high) { return (KirValue){.u64 = {low, high}}; }

static void test_shifts(void) {
    KirValue x = bytes(0x80ff7f0140c00810, 0);
    CHECK(vector(KIR_VSHRI, 0 | KIR_VEC_SIGNED, x, x, 8).u64[0] == 0xffff000000ff0000, "sshr #8");
    CHECK(vector(KIR_VSHRI, 0 | KIR_VEC_ROUND, x, x, 8).u64[0] == 0x0101000000010000, "urshr #8");
    CHECK(vector(KIR_VSHRI, 0 | KIR_VEC_ROUND | KIR_VEC_SIGNED, x, x, 8).u64[0] == 0, "srshr #8");
    CHECK(vector(KIR_VQSHLI, 0 | KIR_VEC_SIGNED, x, x, 1).u64[0] == 0x80fe7f027f801020, "sqshl #1");
    CHECK(vector(KIR_VQSHLI, 0 | KIR_VEC_SIGNED | KIR_VEC_MIXED, x, x, 1).u64[0] == 0x0000fe0280001020, "sqshlu #1");
    CHECK(vector(KIR_VQSHLI, 0, x, x, 1).u64[0] == 0xfffffe0280ff1020, "uqshl #1");
    CHECK(vector(KIR_VSLI, 0, bytes(0x0f0f0f0f0f0f0f0f, 0), x, 4).u64[0] == 0x0fffff1f0f0f8f0f, "sli #4");
    CHECK(vector(KIR_VSRI, 0, bytes(0xf0f0f0f0f0f0f0f0, 0), x, 4).u64[0] == 0xf8fff7f0f4fcf0f1, "sri #4");
    KirValue amounts = bytes(0x0001ff80f8087f40, 0);
    CHECK(vector(KIR_VSHL, 3 | KIR_VEC_SIGNED, bytes((uint64_t)-5, 5), bytes(0xff, 0x80), 0).u64[0] == (uint64_t)-3, "sshl by -1");
    CHECK(vector(KIR_VSHL, 3 | KIR_VEC_SIGNED | KIR_VEC_ROUND, bytes((uint64_t)-5, 5), bytes(0xff, 0x80), 0).u64[0] == (uint64_t)-2,
          "srshl by -1");
    CHECK(vector(KIR_VSHL, 3 | KIR_VEC_ROUND, bytes(~(uint64_t)0, 0), bytes(0xc0, 0), 0).u64[0] == 1, "urshl by -64");
    CHECK(vector(KIR_VSHL, 0, x, amounts, 0).u64[0] == 0x80fe3f0000000000, "ushl of bytes");
    CHECK(vector(KIR_VSHL, 0 | KIR_VEC_SIGNED | KIR_VEC_SATURATE, x, amounts, 0).u64[0] == 0x80fe3f0000807f7f, "sqshl of bytes");
    CHECK(vector(KIR_VSHL, 3 | KIR_VEC_SATURATE, bytes(1, 0), bytes(64, 127), 0).u64[0] == ~(uint64_t)0, "uqshl by 64");
    CHECK(vector(KIR_VSHRN, 1 | KIR_VEC_SIGNED | KIR_VEC_SATURATE | KIR_VEC_ROUND, bytes(0x7fff800000ff0080, 0), x, 1).u64[0] ==
              0x7f807f40,
          "sqrshrn");
    CHECK(vector(KIR_VSHRN, 1 | KIR_VEC_SATURATE | KIR_VEC_MIXED, bytes(0x7fff800001fe0080, 0), x, 1).u64[0] == 0xff00ff40,
          "sqshrun");
    CHECK(vector(KIR_VMULH, 1, bytes(0x8000800040004000, 0), bytes(0x80007fff20004000, 0), 0).u64[0] == 0x7fff800110002000,
          "sqdmulh");
    CHECK(vector(KIR_VQADD, 0 | KIR_VEC_SIGNED | KIR_VEC_MIXED, bytes(0x80807f00, 0), bytes(0xff01ff80, 0), 0).u64[0] == 0x7f817f7f,
          "suqadd");
    CHECK(vector(KIR_VQADD, 0 | KIR_VEC_MIXED, bytes(0x0080ff10, 0), bytes(0xff017f80, 0), 0).u64[0] == 0x0081ff00, "usqadd");
}

static void test_moves(void) {
    KirValue a = bytes(0x0706050403020100, 0x0f0e0d0c0b0a0908), b = bytes(0x1716151413121110, 0x1f1e1d1c1b1a1918);
    CHECK(same(vector(KIR_VZIP, 0, a, b, 0), bytes(0x1303120211011000, 0x1707160615051404)), "zip1");
    CHECK(same(vector(KIR_VZIP, 2, a, b, 1), bytes(0x1b1a19180b0a0908, 0x1f1e1d1c0f0e0d0c)), "zip2");
    CHECK(same(vector(KIR_VUZP, 0, a, b, 0), bytes(0x0e0c0a0806040200, 0x1e1c1a1816141210)), "uzp1");
    CHECK(same(vector(KIR_VUZP, 3, a, b, 1), bytes(a.u64[1], b.u64[1])), "uzp2");
    CHECK(same(vector(KIR_VTRN, 0, a, b, 1), bytes(0x1707150513031101, 0x1f0f1d0d1b0b1909)), "trn2");
    CHECK(same(vector(KIR_VREV, 0, a, b, 4), bytes(0x0405060700010203, 0x0c0d0e0f08090a0b)), "rev32");
    CHECK(same(vector(KIR_VEXT, 0, a, b, 3), bytes(0x0a09080706050403, 0x1211100f0e0d0c0b)), "ext");
    CHECK(same(vector(KIR_VTBL, 0, a, bytes(0xff100f000102030a, 0), 0), bytes(0x00000f000102030a, 0)), "tbl");
    CHECK(same(vector(KIR_VDUP, 1, a, b, 5), bytes(0x0b0a0b0a0b0a0b0a, 0x0b0a0b0a0b0a0b0a)), "dup");
    CHECK(same(vector(KIR_VWIDEN, 0 | KIR_VEC_SIGNED, bytes(0, 0x807f), b, 1), bytes(0xff80007f, 0)), "sxtl2");
    CHECK(vector(KIR_VNARROW, 1 | KIR_VEC_SATURATE | KIR_VEC_SIGNED, bytes(0x7fff8000007fff80, 0), b, 0).u64[0] == 0x7f807f80,
          "sqxtn");
    CHECK(same(vector(KIR_VMULL, 3 | KIR_VEC_POLY, bytes(3, 1), bytes(3, (uint64_t)1 << 63), 0), bytes(5, 0)), "pmull");
    CHECK(same(vector(KIR_VMULL, 3 | KIR_VEC_POLY, bytes(3, 6), bytes(3, (uint64_t)1 << 63), 1), bytes(0, 3)), "pmull2");
    CHECK(same(vector(KIR_VPADD, 3, bytes(1, 2), bytes(3, 4), 0), bytes(3, 7)), "addp");
    CHECK(same(vector(KIR_VCMP, 1, bytes(0x8000000100000000, 0), bytes(0, 0), KIR_LTS), bytes(0xffff000000000000, 0)), "cmlt");
    CHECK(vector(KIR_VCLS, 2, bytes(0xfff0000000000000, 0), b, 0).u64[0] == 0x0000000b0000001f, "cls");
    Run r = {.insn = {.op = KIR_VREDADD, .type = KIR_I32}, .types = {KIR_V64}, .a = bytes(0x8080808080808080, ~(uint64_t)0)};
    CHECK(run(&r).i == 0, "addv of bytes is cut to a byte");
    r.insn.op = KIR_VREDADDL;
    CHECK(run(&r).i == 0x400, "uaddlv of 8 bytes, bits above v64 ignored");
    r.insn.aux = KIR_VEC_SIGNED;
    CHECK(run(&r).i == 0xfffffc00, "saddlv of 8 bytes");
    r = (Run){.insn = {.op = KIR_VGET, .type = KIR_I64, .aux = 1 | KIR_VEC_SIGNED, .b = 3},
              .types = {KIR_V64},
              .a = bytes(0x8001000000000000, 0)};
    CHECK(run(&r).i == 0xffffffffffff8001, "smov");
}

// ---- cryptography -------------------------------------------------------------------------------
static KirValue from_bytes(const uint8_t *p) {
    KirValue v;
    memcpy(&v, p, sizeof v);
    return v;
}

// The example of FIPS 197, appendix B, with its key schedule made here.
static void test_aes(void) {
    static const uint8_t key[16] = {0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c};
    static const uint8_t plain[16] = {0x32, 0x43, 0xf6, 0xa8, 0x88, 0x5a, 0x30, 0x8d,
                                      0x31, 0x31, 0x98, 0xa2, 0xe0, 0x37, 0x07, 0x34};
    static const uint8_t cipher[16] = {0x39, 0x25, 0x84, 0x1d, 0x02, 0xdc, 0x09, 0xfb,
                                       0xdc, 0x11, 0x85, 0x97, 0x19, 0x6a, 0x0b, 0x32};
    KirValue keys[11] = {from_bytes(key)}, zero = bytes(0, 0);
    uint8_t constant = 1;
    for (int i = 1; i <= 10; i++, constant = (uint8_t)(constant << 1 ^ (constant & 0x80 ? 0x1b : 0))) {
        KirValue last = keys[i - 1], rotated;
        for (int k = 0; k < 4; k++) rotated.u32[k] = last.u32[3] >> 8 | last.u32[3] << 24; // equal columns: rows may shift
        uint32_t word = vector(KIR_AESENC, 0, rotated, zero, 0).u32[0] ^ constant;
        for (int k = 0; k < 4; k++) keys[i].u32[k] = word ^= last.u32[k];
    }
    KirValue x = from_bytes(plain);
    for (int i = 0; i < 9; i++) x = vector(KIR_AESMC, 0, vector(KIR_AESENC, 0, x, keys[i], 0), zero, 0);
    x = vector(KIR_AESENC, 0, x, keys[9], 0);
    x = vector(KIR_VXOR, 0, x, keys[10], 0);
    CHECK(same(x, from_bytes(cipher)), "aes-128 enciphers");
    x = vector(KIR_AESENC, 0, x, keys[10], 1);
    for (int i = 9; i > 0; i--) {
        x = vector(KIR_VXOR, 0, x, keys[i], 0);
        x = vector(KIR_AESENC, 0, vector(KIR_AESMC, 0, x, zero, 1), zero, 1);
    }
    CHECK(same(vector(KIR_VXOR, 0, x, keys[0], 0), from_bytes(plain)), "aes-128 deciphers");
}

static KirValue sha(KirSha kind, KirValue a, KirValue b, KirValue c) {
    Run r = {.insn = {.op = KIR_SHA, .type = KIR_V128, .aux = (uint16_t)kind},
             .types = {KIR_V128, KIR_V128, KIR_V128},
             .a = a,
             .b = b,
             .c = c};
    return run(&r);
}

// The one padded block of the message "abc", as words.
static const uint32_t abc_block[16] = {0x61626380, [15] = 24};
static KirValue words(const uint32_t *p) { return (KirValue){.u32 = {p[0], p[1], p[2], p[3]}}; }
static KirValue plus(KirValue x, uint32_t constant) {
    return (KirValue){.u32 = {x.u32[0] + constant, x.u32[1] + constant, x.u32[2] + constant, x.u32[3] + constant}};
}

static void test_sha1(void) {
    static const uint32_t constants[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
    static const KirSha kinds[4] = {KIR_SHA1C, KIR_SHA1P, KIR_SHA1M, KIR_SHA1P};
    KirValue state = {.u32 = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}}, e = {.u32 = {0xc3d2e1f0}}, w[20];
    for (int i = 0; i < 4; i++) w[i] = words(abc_block + 4 * i);
    for (int i = 4; i < 20; i++) w[i] = sha(KIR_SHA1SU1, sha(KIR_SHA1SU0, w[i - 4], w[i - 3], w[i - 2]), w[i - 1], e);
    for (int i = 0; i < 20; i++) {
        KirValue next = sha(KIR_SHA1H, state, e, e);
        state = sha(kinds[i / 5], state, e, plus(w[i], constants[i / 5]));
        e = next;
    }
    CHECK(state.u32[0] + 0x67452301 == 0xa9993e36 && state.u32[3] + 0x10325476 == 0x7850c26c && e.u32[0] + 0xc3d2e1f0 == 0x9cd0d89d,
          "sha-1 of abc");
}

static void test_sha256(void) {
    static const uint32_t k[64] = {0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
                                   0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
                                   0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
                                   0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
                                   0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
                                   0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
                                   0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
                                   0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
    KirValue x = {.u32 = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a}},
             y = {.u32 = {0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}}, w[16];
    for (int i = 0; i < 4; i++) w[i] = words(abc_block + 4 * i);
    for (int i = 4; i < 16; i++) w[i] = sha(KIR_SHA256SU1, sha(KIR_SHA256SU0, w[i - 4], w[i - 3], x), w[i - 2], w[i - 1]);
    for (int i = 0; i < 16; i++) {
        KirValue wk = vector(KIR_VADD, 2, w[i], words(k + 4 * i), 0), next = sha(KIR_SHA256H, x, y, wk);
        y = sha(KIR_SHA256H2, y, x, wk);
        x = next;
    }
    CHECK(x.u32[0] + 0x6a09e667 == 0xba7816bf && x.u32[3] + 0xa54ff53a == 0x5dae2223 && y.u32[0] + 0x510e527f == 0xb00361a3 &&
              y.u32[3] + 0x5be0cd19 == 0xf20015ad,
          "sha-256 of abc");
}

// Whatever stands in aux and in immediates, the evaluator returns (the sanitizers watch how) and cuts its
// result.
static void test_anything(void) {
    for (unsigned n = 0; n < 200000; n++) {
        uint64_t r = next_random(&seed);
        KirOp op = (KirOp)(KIR_ADD + r % (KIR_EXIT_IF - KIR_ADD));
        if (kir_op_info[op].flags & ~(KIR_FLAG_PURE | KIR_FLAG_FPENV)) continue;
        Run any = {.insn = {.op = (uint8_t)op, .aux = (uint16_t)(r >> 16)},
                   .a = random_vector(),
                   .b = random_vector(),
                   .c = random_vector()};
        KirType narrow = op >= KIR_VADD ? KIR_V64 : op >= KIR_FADD ? KIR_F32 : KIR_I32;
        any.insn.type = (uint8_t)(narrow + (r >> 8 & 1));
        any.insn.imm = next_random(&seed) & 0x0000ffff0000ffff;
        any.insn.c = (uint32_t)(r >> 40) & 0xffff;
        for (int i = 0; i < 3; i++) {
            bool same_type = kir_op_info[op].operands[i] == 'T';
            any.types[i] = same_type ? any.insn.type : (uint8_t)(narrow + (next_random(&seed) >> 40 & 1));
        }
        KirValue result = run(&any);
        unsigned bits = kir_type_bits(kir_result_type(&any.insn));
        bool fits = bits == 128 || (!result.u64[1] && (bits == 64 || result.i >> bits == 0));
        CHECK(fits, "%s leaves bits above its result", kir_op_info[op].name);
    }
}

int main(void) {
    test_anything();
    test_integer_values();
    test_crc();
    test_integers_against_folder();
    test_lanes_against_reference();
    test_shifts();
    test_moves();
    test_aes();
    test_sha1();
    test_sha256();
    printf("%u passed, %u failed\n", checks_passed, checks_failed);
    return checks_failed != 0;
}
