// SPDX-License-Identifier: MIT
//
// Which optional instructions the machine has. The baseline is x86-64-v2 (SSE4.2, POPCNT); everything else is asked for here
// and can be switched off by options, so that the fallbacks are tested on any machine.
#include "host/x86_64/emit.h"

HostFeatures host_detect(const EngineOptions *options) {
    __builtin_cpu_init();
    HostFeatures f = {
        .bmi1 = __builtin_cpu_supports("bmi") && !options->no_bmi,
        .bmi2 = __builtin_cpu_supports("bmi2") && !options->no_bmi,
        .lzcnt = __builtin_cpu_supports("lzcnt") && !options->no_bmi,
        .avx = __builtin_cpu_supports("avx") && !options->no_avx,
        .pclmul = __builtin_cpu_supports("pclmul"),
    };
    f.fma = f.avx && __builtin_cpu_supports("fma") && !options->no_fma;
    return f;
}
