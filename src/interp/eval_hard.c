// SPDX-License-Identifier: MIT
//
// Single SSE and FMA instructions under the present MXCSR, and MXCSR itself. Everything is volatile assembly
// with registers as operands, so the compiler neither folds nor moves an operation across a change of the
// environment.
//
// x86 differs from the canonical rule in what a NaN result looks like, which is mended here, and in that
// infinity times zero plus a quiet NaN is not invalid: the caller keeps NaN operands of a multiply-add away.
#include <cpuid.h>
#include "interp/eval.h"

uint32_t hard_get_mxcsr(void) {
    uint32_t mxcsr;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr) : : "memory");
    return mxcsr;
}

void hard_set_mxcsr(uint32_t mxcsr) { __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr) : "memory"); }

typedef union Single {
    uint32_t bits;
    float value;
} Single;
typedef union Double {
    uint64_t bits;
    double value;
} Double;

static uint64_t canonical(FloatFormat format, uint64_t bits) {
    return float_is_nan(format, bits) ? float_default_nan(format) : bits;
}

static uint64_t single_arithmetic(HardOp op, uint64_t a, uint64_t b) {
    Single x = {(uint32_t)a}, y = {(uint32_t)b};
    switch (op) {
    case HARD_ADD: __asm__ volatile("addss %1, %0" : "+x"(x.value) : "x"(y.value) : "memory"); break;
    case HARD_SUB: __asm__ volatile("subss %1, %0" : "+x"(x.value) : "x"(y.value) : "memory"); break;
    case HARD_MUL: __asm__ volatile("mulss %1, %0" : "+x"(x.value) : "x"(y.value) : "memory"); break;
    case HARD_DIV: __asm__ volatile("divss %1, %0" : "+x"(x.value) : "x"(y.value) : "memory"); break;
    case HARD_SQRT: __asm__ volatile("sqrtss %0, %0" : "+x"(x.value) : : "memory"); break;
    }
    return x.bits;
}

static uint64_t double_arithmetic(HardOp op, uint64_t a, uint64_t b) {
    Double x = {a}, y = {b};
    switch (op) {
    case HARD_ADD: __asm__ volatile("addsd %1, %0" : "+x"(x.value) : "x"(y.value) : "memory"); break;
    case HARD_SUB: __asm__ volatile("subsd %1, %0" : "+x"(x.value) : "x"(y.value) : "memory"); break;
    case HARD_MUL: __asm__ volatile("mulsd %1, %0" : "+x"(x.value) : "x"(y.value) : "memory"); break;
    case HARD_DIV: __asm__ volatile("divsd %1, %0" : "+x"(x.value) : "x"(y.value) : "memory"); break;
    case HARD_SQRT: __asm__ volatile("sqrtsd %0, %0" : "+x"(x.value) : : "memory"); break;
    }
    return x.bits;
}

uint64_t hard_arithmetic(HardOp op, FloatFormat format, uint64_t a, uint64_t b) {
    return canonical(format, format == FORMAT_SINGLE ? single_arithmetic(op, a, b) : double_arithmetic(op, a, b));
}

// The assembler takes FMA whatever the compiler may generate, so no function needs a target attribute.
uint64_t hard_fma(FloatFormat format, uint64_t a, uint64_t b, uint64_t c) {
    if (format == FORMAT_SINGLE) {
        Single x = {(uint32_t)a}, y = {(uint32_t)b}, z = {(uint32_t)c};
        __asm__ volatile("vfmadd231ss %2, %1, %0" : "+x"(z.value) : "x"(x.value), "x"(y.value) : "memory");
        return canonical(format, z.bits);
    }
    Double x = {a}, y = {b}, z = {c};
    __asm__ volatile("vfmadd231sd %2, %1, %0" : "+x"(z.value) : "x"(x.value), "x"(y.value) : "memory");
    return canonical(format, z.bits);
}

static bool detect_fma(void) {
    uint32_t eax, ebx, ecx, edx, state, state_high;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_FMA) || !(ecx & bit_OSXSAVE)) return false;
    __asm__ volatile("xgetbv" : "=a"(state), "=d"(state_high) : "c"(0));
    return (state & 6) == 6; // the kernel saves xmm and ymm
}

bool hard_has_fma(void) {
    static signed char known; // 0: not asked yet; a race writes the same answer twice
    if (!known) known = detect_fma() ? 1 : -1;
    return known > 0;
}
