// SPDX-License-Identifier: MIT
//
// The counters. A user program sees cycle and time as clocks: time counts at 10 MHz, cycle at 1 GHz. instret is exact only
// as far as the engine counts instructions (Cpu.counted_insns); where it does not, it advances like cycle, so that it
// never stands still.
#include <time.h>
#include "guest/riscv64/state.h"
#include "guest/riscv64/vdso.h"

enum { NANOSECONDS_PER_TICK = 100 };

static uint64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t read_cycle(void *cpu, uint64_t a, uint64_t b, uint64_t c) { return nanoseconds(); }

static uint64_t read_time(void *cpu, uint64_t a, uint64_t b, uint64_t c) { return nanoseconds() / NANOSECONDS_PER_TICK; }

static uint64_t read_instret(void *cpu, uint64_t a, uint64_t b, uint64_t c) {
    uint64_t counted = ((const Cpu *)cpu)->counted_insns;
    return counted ? counted : nanoseconds();
}

const KirHelper rv_helpers[RV_HELPER_COUNT] = {
    [RV_HELPER_CYCLE] = {.name = "rdcycle", .fn = read_cycle, .result = KIR_I64},
    [RV_HELPER_TIME] = {.name = "rdtime", .fn = read_time, .result = KIR_I64},
    [RV_HELPER_INSTRET] = {.name = "rdinstret", .fn = read_instret, .result = KIR_I64},
    // These compute with integers alone, so they may as well run under the guest's floating-point environment.
    [RV_HELPER_VDSO_CLOCK] = {"vdso_clock", rv_vdso_clock, KIR_I64, {KIR_I64}, KIR_HELPER_FPENV},
    [RV_HELPER_VDSO_RESOLUTION] = {"vdso_resolution", rv_vdso_resolution, KIR_I64, {KIR_I64}, KIR_HELPER_FPENV},
    [RV_HELPER_VDSO_PROCESSOR] = {"vdso_processor", rv_vdso_processor, KIR_I64, {KIR_VOID}, KIR_HELPER_FPENV},
};
