// SPDX-License-Identifier: MIT
//
// Translation between fcsr and MXCSR. MXCSR: bits 0-5 flags (invalid, denormal, divide by zero, overflow, underflow,
// inexact), 7-12 masks of the same, 13-14 rounding (nearest, down, up, to zero).
#include "guest/riscv64/fpenv.h"

enum {
    MXCSR_IE = 1,
    MXCSR_ZE = 4,
    MXCSR_OE = 8,
    MXCSR_UE = 16,
    MXCSR_PE = 32,
    MXCSR_FLAGS = 63,
    MXCSR_MASKS = 0x1f80,
    MXCSR_ROUND_SHIFT = 13,
    MXCSR_ROUND = 3 << MXCSR_ROUND_SHIFT
};

uint32_t rv_default_mxcsr(void) { return MXCSR_MASKS; }

static const struct {
    uint8_t fflag, mxcsr;
} flag_pairs[] = {
    {KIR_FFLAG_NX, MXCSR_PE}, {KIR_FFLAG_UF, MXCSR_UE}, {KIR_FFLAG_OF, MXCSR_OE},
    {KIR_FFLAG_DZ, MXCSR_ZE}, {KIR_FFLAG_NV, MXCSR_IE},
};

uint32_t rv_get_fcsr(const Cpu *cpu) {
    uint32_t fcsr = (uint32_t)(rv_const_state(cpu)->frm & 7) << 5;
    for (unsigned i = 0; i < sizeof flag_pairs / sizeof *flag_pairs; i++)
        if (cpu->guest_mxcsr & flag_pairs[i].mxcsr) fcsr |= flag_pairs[i].fflag;
    return fcsr;
}

// Modes that MXCSR lacks leave it at nearest: the translator does not use it then.
void rv_set_fcsr(Cpu *cpu, uint32_t fcsr) {
    static const uint8_t host_round[4] = {[KIR_RNE] = 0, [KIR_RTZ] = 3, [KIR_RDN] = 1, [KIR_RUP] = 2};
    uint32_t frm = fcsr >> 5 & 7, mxcsr = cpu->guest_mxcsr & ~(uint32_t)(MXCSR_FLAGS | MXCSR_ROUND);
    for (unsigned i = 0; i < sizeof flag_pairs / sizeof *flag_pairs; i++)
        if (fcsr & flag_pairs[i].fflag) mxcsr |= flag_pairs[i].mxcsr;
    if (frm < 4) mxcsr |= (uint32_t)host_round[frm] << MXCSR_ROUND_SHIFT;
    cpu->guest_mxcsr = mxcsr;
    rv_state(cpu)->frm = frm;
}
