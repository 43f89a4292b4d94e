// SPDX-License-Identifier: MIT
//
// Which optional instructions the machine has. The baseline is x86-64-v2 (SSE4.2, POPCNT); everything else is asked for here
// and can be switched off by options, so that the fallbacks are tested on any machine.
#include "host/x86_64/emit.h"
#include <cpuid.h>

// Not among the names that clang's __builtin_cpu_supports knows.
static bool has_lzcnt(void) {
    unsigned eax, ebx, ecx = 0, edx;
    return __get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) && ecx & bit_LZCNT;
}

HostFeatures host_detect(const EngineOptions *options) {
    __builtin_cpu_init();
    HostFeatures f = {
        .bmi1 = __builtin_cpu_supports("bmi") && !options->no_bmi,
        .bmi2 = __builtin_cpu_supports("bmi2") && !options->no_bmi,
        .lzcnt = has_lzcnt() && !options->no_bmi,
        .avx = __builtin_cpu_supports("avx") && !options->no_avx,
        .pclmul = __builtin_cpu_supports("pclmul"),
    };
    f.fma = f.avx && __builtin_cpu_supports("fma") && !options->no_fma;
    return f;
}
