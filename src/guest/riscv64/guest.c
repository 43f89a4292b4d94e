// SPDX-License-Identifier: MIT
//
// The guest riscv64 as the engine knows it: registers, cpu models, and the functions of the contract (guest/guest.h).
#include <elf.h>
#include <stdio.h>
#include <string.h>
#include "guest/riscv64/debug.h"
#include "guest/riscv64/features.h"
#include "guest/riscv64/fpenv.h"
#include "guest/riscv64/linux.h"
#include "guest/riscv64/trans.h"

const char *const rv_x_names[32] = {"zero", "ra", "sp", "gp", "tp",  "t0",  "t1", "t2", "s0", "s1", "a0",
                                    "a1",   "a2", "a3", "a4", "a5",  "a6",  "a7", "s2", "s3", "s4", "s5",
                                    "s6",   "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6"};
const char *const rv_f_names[32] = {"ft0", "ft1", "ft2", "ft3", "ft4",  "ft5",  "ft6", "ft7", "fs0",  "fs1", "fa0",
                                    "fa1", "fa2", "fa3", "fa4", "fa5",  "fa6",  "fa7", "fs2", "fs3",  "fs4", "fs5",
                                    "fs6", "fs7", "fs8", "fs9", "fs10", "fs11", "ft8", "ft9", "ft10", "ft11"};

#define X(n, text) [RV_GLOBAL_X(n)] = {text, offsetof(RvState, x) + 8 * (n), KIR_I64}
#define F(n, text) [RV_GLOBAL_F(n)] = {text, offsetof(RvState, f) + 8 * (n), KIR_F64}
const KirGlobal rv_globals[RV_GLOBAL_COUNT] = {
    X(1, "ra"),
    X(2, "sp"),
    X(3, "gp"),
    X(4, "tp"),
    X(5, "t0"),
    X(6, "t1"),
    X(7, "t2"),
    X(8, "s0"),
    X(9, "s1"),
    X(10, "a0"),
    X(11, "a1"),
    X(12, "a2"),
    X(13, "a3"),
    X(14, "a4"),
    X(15, "a5"),
    X(16, "a6"),
    X(17, "a7"),
    X(18, "s2"),
    X(19, "s3"),
    X(20, "s4"),
    X(21, "s5"),
    X(22, "s6"),
    X(23, "s7"),
    X(24, "s8"),
    X(25, "s9"),
    X(26, "s10"),
    X(27, "s11"),
    X(28, "t3"),
    X(29, "t4"),
    X(30, "t5"),
    X(31, "t6"),
    F(0, "ft0"),
    F(1, "ft1"),
    F(2, "ft2"),
    F(3, "ft3"),
    F(4, "ft4"),
    F(5, "ft5"),
    F(6, "ft6"),
    F(7, "ft7"),
    F(8, "fs0"),
    F(9, "fs1"),
    F(10, "fa0"),
    F(11, "fa1"),
    F(12, "fa2"),
    F(13, "fa3"),
    F(14, "fa4"),
    F(15, "fa5"),
    F(16, "fa6"),
    F(17, "fa7"),
    F(18, "fs2"),
    F(19, "fs3"),
    F(20, "fs4"),
    F(21, "fs5"),
    F(22, "fs6"),
    F(23, "fs7"),
    F(24, "fs8"),
    F(25, "fs9"),
    F(26, "fs10"),
    F(27, "fs11"),
    F(28, "ft8"),
    F(29, "ft9"),
    F(30, "ft10"),
    F(31, "ft11"),
    [RV_GLOBAL_FRM] = {"frm", offsetof(RvState, frm), KIR_I64},
    [RV_GLOBAL_RES_ADDRESS] = {"res_address", offsetof(RvState, reservation_address), KIR_I64},
    [RV_GLOBAL_RES_VALUE] = {"res_value", offsetof(RvState, reservation_value), KIR_I64},
};
#undef X
#undef F

static const GuestCpuModel models[] = {
    {"max", "every extension that Kiln knows", RV_FEATURES_MAX},
    {"rv64gc", "RV64GC: IMAFDC, Zicsr, Zifencei, Zicntr", RV_FEATURES_GC},
    {"rva22", "profile RVA22U64: RV64GC with Zba, Zbb, Zbs", RV_FEATURES_RVA22},
    {"rv64", "the same as max", RV_FEATURES_MAX},
    {"any", "the same as max", RV_FEATURES_MAX},
    {"sifive-u54", "RV64GC", RV_FEATURES_GC},
    {"shakti-c", "RV64GC", RV_FEATURES_GC},
    {"sifive-e51", "RV64IMAC", RV_FEATURES_GC & ~(RV_FEATURE_F | RV_FEATURE_D)},
    {NULL, NULL, 0},
};

static const GuestFeatureName feature_names[] = {
    {"m", RV_FEATURE_M},
    {"a", RV_FEATURE_A},
    {"f", RV_FEATURE_F},
    {"d", RV_FEATURE_D},
    {"c", RV_FEATURE_C},
    {"Zicsr", RV_FEATURE_ZICSR},
    {"Zifencei", RV_FEATURE_ZIFENCEI},
    {"Zicntr", RV_FEATURE_ZICNTR},
    {"zba", RV_FEATURE_ZBA},
    {"zbb", RV_FEATURE_ZBB},
    {"zbc", RV_FEATURE_ZBC},
    {"zbs", RV_FEATURE_ZBS},
    {"zicond", RV_FEATURE_ZICOND},
    {NULL, 0},
};

static void reset(Cpu *cpu) {
    RvState *state = rv_state(cpu);
    memset(state, 0, sizeof *state);
    state->reservation_address = RV_NO_RESERVATION;
    cpu->guest_mxcsr = rv_default_mxcsr();
}

static uint32_t mode(const Cpu *cpu) {
    uint64_t frm = rv_const_state(cpu)->frm;
    return frm < RV_FRM_RMM ? RV_MODE_NORMAL : frm == RV_FRM_RMM ? RV_MODE_RMM : RV_MODE_INVALID_FRM;
}

static void dump(const Cpu *cpu, char *text, size_t size) {
    const RvState *state = rv_const_state(cpu);
    size_t used = (size_t)snprintf(text, size, " pc       %016llx\n", (unsigned long long)cpu->pc);
    for (unsigned n = 0; n < 32 && used < size; n++)
        used += (size_t)snprintf(text + used, size - used, " x%u/%-*s %016llx%s", n, n < 10 ? 6 : 5, rv_x_names[n],
                                 (unsigned long long)state->x[n], n % 4 == 3 ? "\n" : "");
    for (unsigned n = 0; n < 32 && used < size; n++)
        used += (size_t)snprintf(text + used, size - used, " f%u/%-*s %016llx%s", n, n < 10 ? 6 : 5, rv_f_names[n],
                                 (unsigned long long)state->f[n], n % 4 == 3 ? "\n" : "");
    if (used < size) snprintf(text + used, size - used, " fcsr     %02x\n", rv_get_fcsr(cpu));
}

#define X RV_GLOBAL_X
#define F RV_GLOBAL_F
// The registers most used in code of gcc 12 for rv64gc, by static count over a C library, a mathematics library and small
// programs: a5 sp ra a4 a0 s0 a3 a1 a2 s1. ra and s1 come last: they are no operands of shifts and divisions.
const Guest guest_riscv64 = {
    .name = "riscv64",
    .elf_machine = EM_RISCV,
    .min_insn_bytes = 2,
    .world = {rv_globals, RV_GLOBAL_COUNT, rv_helpers, RV_HELPER_COUNT},
    .state_size = sizeof(RvState),
    .pinned_int = {X(15), X(2), X(14), X(10), X(13), X(8), X(11), X(12), X(1), X(9)},
    .pinned_float = {F(15), F(10), F(14), F(11), F(13), F(12), F(8), F(9)},
    .models = models,
    .feature_names = feature_names,
    .reset = reset,
    .mode = mode,
    .translate = rv_translate,
    .disassemble = rv_disassemble,
    .dump = dump,
    .linux_abi = RV_LINUX_ABI,
    .debug = &rv_debug,
};
