// SPDX-License-Identifier: MIT
//
// Which optional instructions the machine has. The baseline is x86-64-v2 (SSE4.2, POPCNT); everything else is asked for here
// and can be switched off by options, so that the fallbacks are tested on any machine.
//
// The C library knows since it began. To ask the processor again, as the compiler's __builtin_cpu_supports does, is a dozen `cpuid`, each of
// which a virtual machine leaves for its host: together a twentieth of what it takes to start a small program.
#include "host/x86_64/emit.h"
#include <sys/platform/x86.h>

HostFeatures host_detect(const EngineOptions *options) {
    HostFeatures f = {
        .bmi1 = CPU_FEATURE_ACTIVE(BMI1) && !options->no_bmi,
        .bmi2 = CPU_FEATURE_ACTIVE(BMI2) && !options->no_bmi,
        .lzcnt = CPU_FEATURE_ACTIVE(LZCNT) && !options->no_bmi,
        .avx = CPU_FEATURE_ACTIVE(AVX) && !options->no_avx,
        .pclmul = CPU_FEATURE_ACTIVE(PCLMULQDQ),
    };
    f.fma = f.avx && CPU_FEATURE_ACTIVE(FMA) && !options->no_fma;
    return f;
}
