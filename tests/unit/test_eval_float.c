// SPDX-License-Identifier: MIT
//
// The evaluator's floating point: chosen cases with their flags; the exact integer arithmetic against the
// host's instructions in all four rounding modes; nearest with ties away against quadruple precision, where
// sums and products below are exact.
#include <cpuid.h>
#include <immintrin.h>
#include <math.h>
#include <string.h>
#include "eval_check.h"
#include "interp/eval.h"

unsigned checks_passed, checks_failed;
static uint64_t seed = 0xd1b54a32d192ed03;

enum { NX = KIR_FFLAG_NX, UF = KIR_FFLAG_UF, OF = KIR_FFLAG_OF, DZ = KIR_FFLAG_DZ, NV = KIR_FFLAG_NV };
static const uint32_t modes[4] = {MXCSR_NEAREST, MXCSR_DOWN, MXCSR_UP, MXCSR_ZERO};

// Binary32 and binary64 numbers that tests name.
enum {
    S_ONE = 0x3f800000,
    S_INF = 0x7f800000,
    S_NAN = 0x7fc00000,
    S_SNAN = 0x7f800001,
    S_MAX = 0x7f7fffff,
    S_MIN = 0x00800000,
    S_MINUS = (int)0x80000000
};
static const uint64_t d_one = 0x3ff0000000000000, d_inf = 0x7ff0000000000000, d_nan = 0x7ff8000000000000,
                      d_snan = 0x7ff0000000000001;

static uint64_t random_float(FloatFormat format) {
    static const uint64_t singles[] = {0,          1,     0x007fffff, S_MIN, 0x3f7fffff, S_ONE,      0x3f800001, 0x4b7fffff,
                                       0x4b800000, S_MAX, S_INF,      S_NAN, S_SNAN,     0x7fffffff, 0x4f000000, 0x5f000000};
    static const uint64_t doubles[] = {0,
                                       1,
                                       0x000fffffffffffff,
                                       0x0010000000000000,
                                       0x3fefffffffffffff,
                                       0x3ff0000000000000,
                                       0x3ff0000000000001,
                                       0x433fffffffffffff,
                                       0x4340000000000000,
                                       0x7fefffffffffffff,
                                       0x7ff0000000000000,
                                       0x7ff8000000000000,
                                       0x7ff0000000000001,
                                       0x7fffffffffffffff,
                                       0x41e0000000000000,
                                       0x43e0000000000000};
    uint64_t r = next_random(&seed), bits = next_random(&seed);
    uint64_t sign = r & 0x100 ? float_sign_bit(format) : 0;
    unsigned fraction = format == FORMAT_DOUBLE ? 52 : 23;
    if ((r & 7) == 0) return sign | (format == FORMAT_DOUBLE ? doubles : singles)[r >> 9 & 15];
    if ((r & 7) == 1) bits &= ~(uint64_t)0 << (fraction - 6);      // few bits: ties, exact results
    if ((r & 7) == 2) bits |= ((uint64_t)1 << (fraction - 6)) - 1; // carries
    if ((r & 7) <= 5) {                                            // exponents near each other
        uint64_t bias = format == FORMAT_DOUBLE ? 1023 : 127, exponent = bias - 16 + (r >> 20) % 33;
        bits = (bits & (((uint64_t)1 << fraction) - 1)) | exponent << fraction;
    } else if ((r & 7) == 6) { // around the smallest normal number
        bits = (bits & (((uint64_t)1 << fraction) - 1)) | ((r >> 20) % 3) << fraction;
    }
    return sign | cut64(bits, format == FORMAT_DOUBLE ? 63 : 31);
}

// ---- chosen cases -------------------------------------------------------------------------------
static void expect(const char *what, KirOp op, KirType type, KirType from, unsigned aux, uint64_t a, uint64_t b, uint64_t c,
                   uint64_t result, unsigned flags) {
    Run r = {.insn = {.op = op, .type = type, .aux = (uint16_t)aux},
             .types = {from, from, from},
             .a = scalar(a),
             .b = scalar(b),
             .c = scalar(c)};
    for (unsigned soft = 0; soft < 2; soft++) {
        kir_eval_never_hard = soft;
        uint64_t got = run(&r).i;
        CHECK(got == result && r.flags == flags, "%s: %s = %#lx flags %#x, expected %#lx flags %#x", what, kir_op_info[op].name,
              got, r.flags, result, flags);
    }
    kir_eval_never_hard = false;
}
static void single(const char *what, KirOp op, unsigned aux, uint32_t a, uint32_t b, uint32_t c, uint32_t result, unsigned flags) {
    expect(what, op, KIR_F32, KIR_F32, aux, a, b, c, result, flags);
}

static void test_arithmetic_cases(void) {
    unsigned dyn = KIR_RDYN, arm = KIR_RDYN | KIR_FP_NAN_ARM;
    single("1/0", KIR_FDIV, dyn, S_ONE, 0, 0, S_INF, DZ);
    single("0/0", KIR_FDIV, dyn, 0, 0, 0, S_NAN, NV);
    single("quiet NaN is canonical", KIR_FADD, dyn, 0xffc12345, S_ONE, 0, S_NAN, 0);
    single("signalling NaN", KIR_FADD, dyn, S_SNAN, S_ONE, 0, S_NAN, NV);
    single("Arm keeps a payload", KIR_FADD, arm, 0xffc12345, 0x7fc00001, 0, 0xffc12345, 0);
    single("Arm: signalling first", KIR_FADD, arm, 0xffc12345, 0x7f800001, 0, 0x7fc00001, NV);
    single("Arm default NaN", KIR_FSUB, arm, S_INF, S_INF, 0, S_NAN, NV);
    single("sqrt -1", KIR_FSQRT, dyn, 0xbf800000, 0, 0, S_NAN, NV);
    single("sqrt -0", KIR_FSQRT, dyn, 0x80000000, 0, 0, 0x80000000, 0);
    single("overflow", KIR_FMUL, dyn, S_MAX, 0x40000000, 0, S_INF, OF | NX);
    single("overflow towards zero", KIR_FMUL, KIR_RTZ, S_MAX, 0x40000000, 0, S_MAX, OF | NX);
    single("overflow up, negative", KIR_FMUL, KIR_RUP, S_MAX, 0xc0000000, 0, 0xff7fffff, OF | NX);
    single("exact subnormal", KIR_FMUL, dyn, S_MIN, 0x3f000000, 0, 0x00400000, 0);
    // (1 - 2^-23) * 2^-126 * (1 + 2^-23) has 24 bits left when it rounds to the smallest normal number.
    single("not tiny after rounding", KIR_FMA, dyn, 0x007fffff, 0x3f800001, 0, 0x00800000, NX);
    single("tiny before rounding", KIR_FMA, arm, 0x007fffff, 0x3f800001, 0, 0x00800000, UF | NX);
    single("underflow on Arm", KIR_FMUL, arm, 0x00800001, 0x3f7ffffe, 0, 0x00800000, UF | NX);
    single("x - x", KIR_FSUB, dyn, S_ONE, S_ONE, 0, 0, 0);
    single("x - x downwards", KIR_FSUB, KIR_RDN, S_ONE, S_ONE, 0, 0x80000000, 0);
    single("inf * 0 + NaN", KIR_FMA, dyn, S_INF, 0, S_NAN, S_NAN, NV);
    single("NaN * 0 + inf", KIR_FMA, dyn, S_NAN, 0, S_INF, S_NAN, 0);
    single("Arm: inf * 0 + NaN", KIR_FMA, arm, S_INF, 0, 0xffc12345, S_NAN, NV);
    single("Arm: addend first", KIR_FMA, arm, 0x7fc00001, 0x7fc00002, 0x7fc00003, 0x7fc00003, 0);
    single("Arm: negated NaN", KIR_FMA, arm | KIR_FP_NEG_PRODUCT, 0x7fc00001, S_ONE, S_ONE, 0xffc00001, 0);
    single("-(a*b)+c", KIR_FMA, dyn | KIR_FP_NEG_PRODUCT, 0x40000000, 0x40400000, S_ONE, 0xc0a00000, 0);
    single("-(a*b)-c", KIR_FMA, dyn | KIR_FP_NEG_PRODUCT | KIR_FP_NEG_ADDEND, 0x40000000, 0x40400000, S_ONE, 0xc0e00000, 0);
    single("tie away", KIR_FADD, KIR_RMM, S_ONE, 0x33800000, 0, 0x3f800001, NX);
    single("tie to even", KIR_FADD, KIR_RNE, S_ONE, 0x33800000, 0, S_ONE, NX);
}

static void test_min_max_cases(void) {
    unsigned number = KIR_FP_NUMBER, arm = KIR_FP_NAN_ARM;
    single("-0 < +0", KIR_FMIN, number, 0, 0x80000000, 0, 0x80000000, 0);
    single("-0 < +0", KIR_FMAX, number, 0x80000000, 0, 0, 0, 0);
    single("quiet NaN loses", KIR_FMIN, number, S_NAN, S_ONE, 0, S_ONE, 0);
    single("signalling NaN loses, invalid", KIR_FMAX, number, S_ONE, S_SNAN, 0, S_ONE, NV);
    single("two NaN", KIR_FMAX, number, 0xffc00001, 0x7fc00002, 0, S_NAN, 0);
    single("two NaN, one signalling", KIR_FMAX, number, 0xffc00001, S_SNAN, 0, S_NAN, NV);
    single("NaN wins", KIR_FMIN, 0, S_NAN, S_ONE, 0, S_NAN, 0);
    single("Arm number: signalling wins", KIR_FMIN, number | arm, S_ONE, 0xff800001, 0, 0xffc00001, NV);
    single("Arm number: quiet loses", KIR_FMIN, number | arm, S_ONE, 0xffc00001, 0, S_ONE, 0);
    single("min", KIR_FMIN, 0, 0xbf800000, 0xc0000000, 0, 0xc0000000, 0);
    single("max", KIR_FMAX, 0, 0xbf800000, 0xc0000000, 0, 0xbf800000, 0);
}

static void compare_case(KirFcmp kind, uint64_t a, uint64_t b, bool result, unsigned flags) {
    Run r = {.insn = {.op = KIR_FCMP, .type = KIR_F64, .aux = kind}, .types = {KIR_F64, KIR_F64}, .a = scalar(a), .b = scalar(b)};
    uint64_t got = run(&r).i;
    CHECK(got == result && r.flags == flags, "fcmp kind %d of %#lx, %#lx: %lu flags %#x", kind, a, b, got, r.flags);
}

static void test_compare_cases(void) {
    uint64_t two = 0x4000000000000000, minus = (uint64_t)1 << 63;
    for (KirFcmp kind = KIR_FEQ; kind <= KIR_FGE_S; kind++) {
        bool signals = (kind >= KIR_FEQ_S && kind <= KIR_FLE_S) || kind >= KIR_FGT_S;
        compare_case(kind, d_nan, d_one, kind == KIR_FUNORD, signals ? NV : 0);
        compare_case(kind, d_one, d_snan, kind == KIR_FUNORD, NV);
        bool less = kind == KIR_FLT || kind == KIR_FLE || kind == KIR_FLT_S || kind == KIR_FLE_S;
        bool greater = kind == KIR_FGT || kind == KIR_FGE || kind == KIR_FGT_S || kind == KIR_FGE_S;
        bool equal =
            kind == KIR_FEQ || kind == KIR_FEQ_S || kind == KIR_FLE || kind == KIR_FLE_S || kind == KIR_FGE || kind == KIR_FGE_S;
        compare_case(kind, d_one, two, less, 0);
        compare_case(kind, d_one | minus, two | minus, greater, 0);
        compare_case(kind, 0, minus, equal, 0);
        compare_case(kind, d_inf | minus, d_inf, less, 0);
    }
}

static void to_int(const char *what, KirType type, unsigned aux, double value, uint64_t result, unsigned flags) {
    uint64_t bits;
    memcpy(&bits, &value, 8);
    expect(what, KIR_FTOI, type, KIR_F64, aux, bits, 0, 0, result, flags);
}

static void test_conversion_cases(void) {
    unsigned u = KIR_FP_UNSIGNED;
    to_int("1.5", KIR_I32, KIR_RTZ, 1.5, 1, NX);
    to_int("1.5 nearest", KIR_I32, KIR_RNE, 1.5, 2, NX);
    to_int("2.5 nearest", KIR_I32, KIR_RNE, 2.5, 2, NX);
    to_int("2.5 away", KIR_I64, KIR_RMM, 2.5, 3, NX);
    to_int("-2.5 away", KIR_I64, KIR_RMM, -2.5, (uint64_t)-3, NX);
    to_int("exact", KIR_I32, KIR_RTZ, -2147483648.0, 0x80000000, 0);
    to_int("just below", KIR_I32, KIR_RTZ, -2147483648.5, 0x80000000, NX);
    to_int("too small", KIR_I32, KIR_RTZ, -2147483649.0, 0x80000000, NV);
    to_int("rounds out of range", KIR_I32, KIR_RNE, 2147483647.5, 0x7fffffff, NV);
    to_int("cut into range", KIR_I32, KIR_RTZ, 2147483647.5, 0x7fffffff, NX);
    to_int("2^63", KIR_I64, KIR_RTZ, 0x1p63, 0x7fffffffffffffff, NV);
    to_int("-2^63", KIR_I64, KIR_RTZ, -0x1p63, (uint64_t)1 << 63, 0);
    to_int("2^63 unsigned", KIR_I64, KIR_RTZ | u, 0x1p63, (uint64_t)1 << 63, 0);
    to_int("2^64 unsigned", KIR_I64, KIR_RTZ | u, 0x1p64, ~(uint64_t)0, NV);
    to_int("2^200", KIR_I64, KIR_RTZ, 0x1p200, 0x7fffffffffffffff, NV);
    to_int("-0.5 unsigned", KIR_I32, KIR_RTZ | u, -0.5, 0, NX);
    to_int("-0.5 unsigned down", KIR_I32, KIR_RDN | u, -0.5, 0, NV);
    to_int("-1 unsigned", KIR_I32, KIR_RTZ | u, -1.0, 0, NV);
    to_int("-0", KIR_I32, KIR_RTZ | u, -0.0, 0, 0);
    to_int("4294967295", KIR_I32, KIR_RTZ | u, 4294967295.0, 0xffffffff, 0);
    to_int("NaN", KIR_I32, KIR_RTZ, NAN, 0x7fffffff, NV);
    to_int("-NaN", KIR_I64, KIR_RTZ | u, -NAN, ~(uint64_t)0, NV);
    to_int("NaN to 0", KIR_I64, KIR_RTZ | KIR_FP_NAN_ZERO, NAN, 0, NV);
    to_int("infinity", KIR_I32, KIR_RTZ, INFINITY, 0x7fffffff, NV);
    to_int("-infinity", KIR_I32, KIR_RTZ, -INFINITY, 0x80000000, NV);
    to_int("tiny upwards", KIR_I32, KIR_RUP, 0x1p-1074, 1, NX);
    to_int("tiny", KIR_I32, KIR_RNE, 0x1p-1074, 0, NX);
    expect("2^64 - 1", KIR_ITOF, KIR_F64, KIR_I64, KIR_RDYN | u, ~(uint64_t)0, 0, 0, 0x43f0000000000000, NX);
    expect("-1", KIR_ITOF, KIR_F32, KIR_I32, KIR_RDYN, 0xffffffff, 0, 0, 0xbf800000, 0);
    expect("2^32 - 1", KIR_ITOF, KIR_F64, KIR_I32, KIR_RDYN | u, 0xffffffff, 0, 0, 0x41efffffffe00000, 0);
    expect("0", KIR_ITOF, KIR_F32, KIR_I32, KIR_RDN, 0, 0, 0, 0, 0);
    expect("signalling", KIR_FTOF, KIR_F64, KIR_F32, KIR_RDYN, S_SNAN, 0, 0, d_nan, NV);
    expect("Arm payload", KIR_FTOF, KIR_F64, KIR_F32, KIR_RDYN | KIR_FP_NAN_ARM, 0xff800001, 0, 0, 0xfff8000020000000, NV);
    expect("Arm payload, narrow", KIR_FTOF, KIR_F32, KIR_F64, KIR_RDYN | KIR_FP_NAN_ARM, 0xfff8000020000001, 0, 0, 0xffc00001, 0);
    expect("largest half", KIR_FTOH, KIR_I32, KIR_F32, KIR_RNE, 0x477fe000, 0, 0, 0x7bff, 0);
    expect("half overflow", KIR_FTOH, KIR_I32, KIR_F32, KIR_RNE, 0x477ff000, 0, 0, 0x7c00, OF | NX);
    expect("half, rounded once", KIR_FTOH, KIR_I32, KIR_F64, KIR_RNE, 0x3ff0020000000001, 0, 0, 0x3c01, NX);
    expect("subnormal half", KIR_HTOF, KIR_F32, KIR_I32, KIR_RDYN, 0xffff0001, 0, 0, 0x33800000, 0);
    expect("half signalling", KIR_HTOF, KIR_F32, KIR_I32, KIR_RDYN | KIR_FP_NAN_ARM, 0xfc01, 0, 0, 0xffc02000, NV);
    single("2.5 to integral", KIR_FROUND, KIR_RNE, 0x40200000, 0, 0, 0x40000000, 0);
    single("2.5, exact asked", KIR_FROUND, KIR_RUP | KIR_FP_EXACT, 0x40200000, 0, 0, 0x40400000, NX);
    single("-0.4", KIR_FROUND, KIR_RMM, 0xbecccccd, 0, 0, 0x80000000, 0);
    expect("boxed", KIR_NANUNBOX, KIR_F32, KIR_F64, 0, 0xffffffff3f800000, 0, 0, S_ONE, 0);
    expect("not boxed", KIR_NANUNBOX, KIR_F32, KIR_F64, 0, 0xfffffffe3f800000, 0, 0, S_NAN, 0);
}

static void test_classes(void) {
    static const uint64_t numbers[10] = {0xff800000, 0xbf800000, 0x80000001, 0x80000000, 0, 1, S_ONE, S_INF, S_SNAN, S_NAN};
    for (unsigned i = 0; i < 10; i++) { expect("class", KIR_FCLASS, KIR_I64, KIR_F32, 0, numbers[i], 0, 0, (uint64_t)1 << i, 0); }
}

static void test_environment(void) {
    Run r = {.insn = {.op = KIR_FSETFLAGS, .type = KIR_VOID}, .types = {KIR_I64}, .a = scalar(NV | UF), .mxcsr = MXCSR_UP | 0x2e};
    run(&r);
    CHECK(r.flags == (NV | UF), "fsetflags replaces all flags: %#x", r.flags);
    r = (Run){.insn = {.op = KIR_FGETFLAGS, .type = KIR_I64}, .mxcsr = MXCSR_UP | 0x2c};
    CHECK(run(&r).i == (DZ | OF | NX), "fgetflags");
    static const uint32_t expected[5] = {MXCSR_NEAREST, MXCSR_ZERO, MXCSR_DOWN, MXCSR_UP, MXCSR_NEAREST};
    for (unsigned round = 0; round < 5; round++) {
        KirInsn insn = {.op = KIR_FSETROUND};
        write_mxcsr(MXCSR_DOWN);
        kir_eval(&insn, (const uint8_t[3]){KIR_I64}, scalar(round), scalar(0), scalar(0));
        uint32_t mxcsr = read_mxcsr();
        write_mxcsr(MXCSR_NEAREST);
        CHECK(mxcsr == expected[round], "fsetround %u: %#x", round, mxcsr);
    }
    r = (Run){.insn = {.op = KIR_FADD, .type = KIR_F64, .aux = KIR_RUP},
              .types = {KIR_F64, KIR_F64},
              .a = scalar(d_one),
              .b = scalar(1),
              .mxcsr = MXCSR_DOWN | 4};
    CHECK(run(&r).i == d_one + 1 && r.flags == (DZ | NX), "static rounding leaves other flags alone");
}

static void test_estimates(void) {
    FloatContext context = {0};
    CHECK(float_estimate(&context, FORMAT_SINGLE, KIR_FEST_RECP, S_ONE) == 0x3f7f8000, "frecpe 1");
    CHECK(float_estimate(&context, FORMAT_SINGLE, KIR_FEST_RSQRT, S_ONE) == 0x3f7f8000, "frsqrte 1");
    CHECK(float_estimate(&context, FORMAT_DOUBLE, KIR_FEST_RSQRT, 0x4010000000000000) == 0x3fdff00000000000, "frsqrte 4");
    CHECK(float_estimate(&context, FORMAT_SINGLE, KIR_FEST_URECP, 0x80000000) == 0xff800000, "urecpe 0.5");
    CHECK(float_estimate(&context, FORMAT_SINGLE, KIR_FEST_RECPX, 0x40000000) == 0x3f800000, "frecpx 2");
    for (unsigned n = 0; n < 20000; n++) { // within 2^-8 of the truth, both kinds, normal results
        double x = ldexp(1.0 + (double)(next_random(&seed) >> 12) * 0x1p-52, (int)(next_random(&seed) % 2000) - 1000), estimate;
        uint64_t bits;
        memcpy(&bits, &x, 8);
        bits = float_estimate(&context, FORMAT_DOUBLE, n & 1 ? KIR_FEST_RECP : KIR_FEST_RSQRT, bits);
        memcpy(&estimate, &bits, 8);
        double error = n & 1 ? fabs(estimate * x - 1) : fabs(estimate * estimate * x - 1) / 2;
        CHECK(error < 0x1p-8, "estimate of %a: %a", x, estimate);
    }
    CHECK(context.flags == 0, "estimates raise nothing: %#x", context.flags);
    CHECK(soft_step(&context, FORMAT_SINGLE, KIR_FSTEP_RECPS, S_INF, 0) == 0x40000000 && context.flags == 0, "frecps inf, 0");
    CHECK(soft_step(&context, FORMAT_SINGLE, KIR_FSTEP_RSQRTS, S_ONE, S_ONE) == S_ONE, "frsqrts 1, 1");
    CHECK(soft_step(&context, FORMAT_SINGLE, KIR_FSTEP_MULX, 0xff800000, 0) == 0xc0000000, "fmulx -inf, 0");
}

// ---- exact arithmetic against the host ----------------------------------------------------------
static void test_soft_against_hard(void) {
    static const char *const names[] = {"add", "sub", "mul", "div", "sqrt", "fma"};
    for (unsigned n = 0; n < 1200000; n++) {
        FloatOp op = (FloatOp)(n % 6);
        FloatFormat format = n / 6 & 1 ? FORMAT_DOUBLE : FORMAT_SINGLE;
        uint32_t mode = modes[n / 12 & 3];
        uint64_t a = random_float(format), b = random_float(format), c = random_float(format), results[2];
        unsigned flags[2];
        if (op == FLOAT_FMA && !hard_has_fma()) continue;
        for (unsigned soft = 0; soft < 2; soft++) {
            kir_eval_never_hard = soft;
            write_mxcsr(mode);
            results[soft] = float_arithmetic(op, format, KIR_RDYN, false, a, b, c);
            flags[soft] = flags_of(read_mxcsr());
        }
        write_mxcsr(MXCSR_NEAREST);
        CHECK(results[0] == results[1] && flags[0] == flags[1], "%s%u mxcsr %#x of %#lx, %#lx, %#lx: host %#lx %#x, exact %#lx %#x",
              names[op], format == FORMAT_DOUBLE ? 64u : 32u, mode, a, b, c, results[0], flags[0], results[1], flags[1]);
    }
    kir_eval_never_hard = false;
}

static bool has_f16c(void) {
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C) && hard_has_fma(); // the latter: AVX state is saved
}

// Conversions have exact code alone; the host's instructions judge it wherever they mean the same.
static void test_conversions_against_host(void) {
    bool f16c = has_f16c();
    for (unsigned n = 0; n < 400000; n++) {
        uint32_t mode = modes[n & 3];
        KirRound rounds[4] = {KIR_RNE, KIR_RDN, KIR_RUP, KIR_RTZ};
        uint64_t d = random_float(FORMAT_DOUBLE), s = random_float(FORMAT_SINGLE);
        __m128d vd = _mm_castsi128_pd(_mm_cvtsi64_si128((long long)d));
        __m128 vs = _mm_castsi128_ps(_mm_cvtsi32_si128((int)s));
        FloatContext context = {.round = rounds[n & 3]};
        uint64_t host = 0, exact = 0;
        bool skip = false;
        write_mxcsr(mode);
        switch (n >> 2 & 7) {
        case 0: {
            __m128 r;
            __asm__ volatile("cvtsd2ss %1, %0" : "=x"(r) : "x"(vd) : "memory");
            host = (uint32_t)_mm_cvtsi128_si32(_mm_castps_si128(r));
            break;
        }
        case 1: {
            __m128d r;
            __asm__ volatile("cvtss2sd %1, %0" : "=x"(r) : "x"(vs) : "memory");
            host = (uint64_t)_mm_cvtsi128_si64(_mm_castpd_si128(r));
            break;
        }
        case 2: __asm__ volatile("cvtsd2si %1, %0" : "=r"(host) : "x"(vd) : "memory"); break;
        case 3: {
            uint32_t r;
            __asm__ volatile("cvtss2si %1, %0" : "=r"(r) : "x"(vs) : "memory");
            host = r;
            break;
        }
        case 4: {
            __m128d r;
            __asm__ volatile("pxor %0, %0\n\tcvtsi2sdq %1, %0" : "=x"(r) : "r"(d) : "memory");
            host = (uint64_t)_mm_cvtsi128_si64(_mm_castpd_si128(r));
            break;
        }
        case 5: {
            __m128 r;
            __asm__ volatile("pxor %0, %0\n\tcvtsi2ssq %1, %0" : "=x"(r) : "r"(d) : "memory");
            host = (uint32_t)_mm_cvtsi128_si32(_mm_castps_si128(r));
            break;
        }
        case 6: {
            __m128d r;
            __asm__ volatile("roundsd $4, %1, %0" : "=x"(r) : "x"(vd) : "memory");
            host = (uint64_t)_mm_cvtsi128_si64(_mm_castpd_si128(r));
            break;
        }
        default: {
            __m128 r;
            if (f16c) {
                __asm__ volatile("vcvtps2ph $4, %1, %0" : "=x"(r) : "x"(vs) : "memory");
                host = (uint16_t)_mm_cvtsi128_si32(_mm_castps_si128(r));
            } else skip = true;
        }
        }
        unsigned flags = flags_of(read_mxcsr());
        write_mxcsr(MXCSR_NEAREST);
        switch (n >> 2 & 7) {
        case 0:
            exact = soft_convert(&context, FORMAT_DOUBLE, FORMAT_SINGLE, d);
            skip = float_is_nan(FORMAT_DOUBLE, d) && (host = exact, flags != context.flags);
            break;
        case 1:
            exact = soft_convert(&context, FORMAT_SINGLE, FORMAT_DOUBLE, s);
            if (float_is_nan(FORMAT_SINGLE, s)) host = exact;
            break;
        case 2:
            exact = soft_to_int(&context, FORMAT_DOUBLE, 64, false, false, d);
            if (context.flags & NV) host = exact;
            break;
        case 3:
            exact = soft_to_int(&context, FORMAT_SINGLE, 32, false, false, s);
            if (context.flags & NV) host = exact;
            break;
        case 4: exact = soft_from_int(&context, FORMAT_DOUBLE, (int64_t)d < 0, (int64_t)d < 0 ? -d : d); break;
        case 5: exact = soft_from_int(&context, FORMAT_SINGLE, (int64_t)d < 0, (int64_t)d < 0 ? -d : d); break;
        case 6:
            exact = soft_round(&context, FORMAT_DOUBLE, true, d);
            if (float_is_nan(FORMAT_DOUBLE, d)) host = exact;
            break;
        default:
            exact = soft_convert(&context, FORMAT_SINGLE, FORMAT_HALF, s);
            if (float_is_nan(FORMAT_SINGLE, s)) host = exact;
        }
        if (!skip)
            CHECK(host == exact && flags == context.flags, "conversion %u mxcsr %#x of %#lx / %#lx: host %#lx %#x, exact %#lx %#x",
                  n >> 2 & 7, mode, d, s, host, flags, exact, context.flags);
    }
    for (unsigned h = 0; f16c && h < 0x10000; h++) {
        FloatContext context = {.arm = true};
        __m128 r;
        write_mxcsr(MXCSR_NEAREST);
        __asm__ volatile("vcvtph2ps %1, %0" : "=x"(r) : "x"(_mm_cvtsi32_si128((int)h)) : "memory");
        uint32_t host = (uint32_t)_mm_cvtsi128_si32(_mm_castps_si128(r)), flags = flags_of(read_mxcsr());
        CHECK(soft_convert(&context, FORMAT_HALF, FORMAT_SINGLE, h) == host && context.flags == flags, "half %#x", h);
    }
    write_mxcsr(MXCSR_NEAREST);
}

// ---- nearest, ties away -------------------------------------------------------------------------
// The two neighbours of an exact value come from the host rounding down and up; the nearer one is right, at a
// tie the one of larger magnitude. Operands are kept so near in exponent that quadruple precision holds sums
// and products exactly.
static __float128 quad(FloatFormat format, uint64_t bits) {
    double d;
    float s;
    uint32_t low = (uint32_t)bits;
    memcpy(&d, &bits, 8);
    memcpy(&s, &low, 4);
    return format == FORMAT_DOUBLE ? (__float128)d : (__float128)s;
}

static void test_ties_away(void) {
    for (unsigned n = 0; n < 300000; n++) {
        FloatFormat format = n & 1 ? FORMAT_DOUBLE : FORMAT_SINGLE;
        FloatOp op = n % 3 == 0 ? FLOAT_ADD : n % 3 == 1 ? FLOAT_MUL : FLOAT_SUB;
        unsigned fraction = format == FORMAT_DOUBLE ? 52 : 23;
        uint64_t bias = format == FORMAT_DOUBLE ? 1023 : 127, operands[2];
        for (int i = 0; i < 2; i++) {
            uint64_t bits = cut64(next_random(&seed), fraction), r = next_random(&seed);
            if (r & 1) bits &= ~(uint64_t)0 << (fraction / 2);
            operands[i] = bits | (bias - 12 + (r >> 8) % 25) << fraction | (r & 2 ? float_sign_bit(format) : 0);
        }
        uint64_t a = operands[0], b = operands[1];
        __float128 x = quad(format, a), y = quad(format, b), exact = op == FLOAT_ADD ? x + y : op == FLOAT_SUB ? x - y : x * y;
        write_mxcsr(MXCSR_DOWN);
        uint64_t low = hard_arithmetic((HardOp)op, format, a, b);
        write_mxcsr(MXCSR_UP);
        uint64_t high = hard_arithmetic((HardOp)op, format, a, b);
        write_mxcsr(MXCSR_NEAREST);
        __float128 below = exact - quad(format, low), above = quad(format, high) - exact;
        uint64_t expected = below < above || (below == above && exact < 0) ? low : high;
        if (exact == 0) expected = 0;
        uint64_t got = float_arithmetic(op, format, KIR_RMM, false, a, b, 0);
        unsigned flags = flags_of(read_mxcsr());
        write_mxcsr(MXCSR_NEAREST);
        CHECK(got == expected && flags == (low != high && exact != 0 ? NX : 0u),
              "ties away, op %d of %#lx, %#lx: %#lx flags %#x, expected %#lx", op, a, b, got, flags, expected);
    }
}

// Arm finds underflow before rounding: it is raised for any inexact result that was below the smallest normal
// number.
static void test_tininess(void) {
    for (unsigned n = 0; n < 100000; n++) {
        uint64_t a = S_MIN + (uint32_t)(next_random(&seed) % 64), b = S_ONE - (uint32_t)(next_random(&seed) % 64);
        FloatContext before = {.round = (KirRound)(n & 3), .arm = true}, after = {.round = (KirRound)(n & 3)};
        uint64_t result = soft_mul(&before, FORMAT_SINGLE, a, b), same = soft_mul(&after, FORMAT_SINGLE, a, b);
        __float128 exact = quad(FORMAT_SINGLE, a) * quad(FORMAT_SINGLE, b), least = quad(FORMAT_SINGLE, S_MIN);
        bool inexact = quad(FORMAT_SINGLE, result) != exact;
        CHECK(result == same && before.flags == (inexact ? NX | (exact < least ? UF : 0u) : 0u), "tininess of %#lx * %#lx", a, b);
    }
}

// The lane-wise operations are the scalar ones.
static void test_lanes(void) {
    static const KirOp vector_ops[] = {KIR_VFADD, KIR_VFSUB, KIR_VFMUL, KIR_VFDIV, KIR_VFMIN, KIR_VFMAX, KIR_VFMA};
    static const KirOp scalar_ops[] = {KIR_FADD, KIR_FSUB, KIR_FMUL, KIR_FDIV, KIR_FMIN, KIR_FMAX, KIR_FMA};
    for (unsigned n = 0; n < 60000; n++) {
        unsigned k = n % 7, arm = n & 8 ? 1 : 0;
        bool wide = n & 16;
        FloatFormat format = wide ? FORMAT_DOUBLE : FORMAT_SINGLE;
        KirType type = wide ? KIR_F64 : KIR_F32;
        Run r = {.insn = {.op = vector_ops[k], .type = KIR_V128, .aux = (uint16_t)((wide ? 3 : 2) | (arm ? KIR_VEC_NAN_ARM : 0))},
                 .types = {KIR_V128, KIR_V128, KIR_V128},
                 .mxcsr = modes[n >> 5 & 3]};
        KirValue *operands[3] = {&r.a, &r.b, &r.c}, expected = {.u64 = {0}};
        unsigned flags = 0;
        for (unsigned i = 0; i < (wide ? 2u : 4u); i++) {
            Run one = {.insn = {.op = scalar_ops[k], .type = type, .aux = (uint16_t)(KIR_RDYN | (arm ? KIR_FP_NAN_ARM : 0))},
                       .types = {type, type, type},
                       .mxcsr = r.mxcsr};
            KirValue *single_operands[3] = {&one.a, &one.b, &one.c};
            for (int j = 0; j < 3; j++) {
                uint64_t bits = random_float(format);
                lane_put(operands[j], wide ? 3 : 2, i, bits);
                *single_operands[j] = scalar(bits);
            }
            lane_put(&expected, wide ? 3 : 2, i, run(&one).i);
            flags |= one.flags;
        }
        KirValue got = run(&r);
        CHECK(!memcmp(&got, &expected, sizeof got) && r.flags == flags, "%s", kir_op_info[vector_ops[k]].name);
    }
    Run r = {
        .insn = {.op = KIR_VFCVTL, .type = KIR_V128, .aux = 1, .b = 1}, .types = {KIR_V128}, .a = {.u64 = {0, 0x7c00bc003c000001}}};
    KirValue got = run(&r);
    CHECK(got.u64[0] == 0x3f80000033800000 && got.u64[1] == 0x7f800000bf800000, "fcvtl2 of halves");
    r = (Run){.insn = {.op = KIR_VFCVTN, .type = KIR_V64, .aux = 3}, .types = {KIR_V128}, .a = {.u64 = {d_one, d_inf}}};
    CHECK(run(&r).u64[0] == 0x7f8000003f800000, "fcvtn");
    r = (Run){.insn = {.op = KIR_VFTOI, .type = KIR_V128, .aux = 2 | KIR_VEC_SIGNED, .b = KIR_RMM},
              .types = {KIR_V128},
              .a = {.u64 = {0x402000007fc00000, 0xcf000000bf000000}}};
    got = run(&r);
    CHECK(got.u64[0] == 0x0000000300000000 && got.u64[1] == 0x80000000ffffffff && r.flags == (NV | NX), "fcvtas");
}

int main(void) {
    test_arithmetic_cases();
    test_min_max_cases();
    test_compare_cases();
    test_conversion_cases();
    test_classes();
    test_environment();
    test_estimates();
    test_soft_against_hard();
    test_conversions_against_host();
    test_ties_away();
    test_tininess();
    test_lanes();
    printf("%u passed, %u failed\n", checks_passed, checks_failed);
    return checks_failed != 0;
}
