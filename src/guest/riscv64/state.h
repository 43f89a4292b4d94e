// SPDX-License-Identifier: MIT
//
// The registers of a riscv64 guest thread, in Cpu.guest, and their numbers as KIR globals.
//
// x0 has a place so that register n is at offset 8 n, but it is no global: it reads as the constant 0 and is never written.
// f registers hold raw 64-bit patterns; a single-precision value has ones in its high half (NaN boxing). The accrued
// exception flags and the rounding mode proper live in MXCSR (Cpu.guest_mxcsr outside generated code); `frm` is what the guest
// wrote, as MXCSR cannot express round-to-nearest-away or the invalid values (see fpenv.h).
#ifndef KILN_GUEST_RISCV64_STATE_H
#define KILN_GUEST_RISCV64_STATE_H

#include <assert.h>
#include <stddef.h>
#include "engine/cpu.h"

typedef struct RvState {
    uint64_t x[32];
    uint64_t f[32];
    uint64_t frm;                 // 0..7
    uint64_t reservation_address; // of the last LR; RV_NO_RESERVATION: none
    uint64_t reservation_value;   // what LR read there: SC succeeds where it still stands
} RvState;
static_assert(sizeof(RvState) <= GUEST_STATE_MAX, "the cpu state has room for the guest's registers");

#define RV_NO_RESERVATION UINT64_MAX // misaligned, so no LR can make it

static inline RvState *rv_state(Cpu *cpu) { return (RvState *)cpu->guest; }
static inline const RvState *rv_const_state(const Cpu *cpu) { return (const RvState *)cpu->guest; }

// x1..x31 are globals 0..30, f0..f31 follow.
enum { RV_GLOBAL_F0 = 31, RV_GLOBAL_FRM = RV_GLOBAL_F0 + 32, RV_GLOBAL_RES_ADDRESS, RV_GLOBAL_RES_VALUE, RV_GLOBAL_COUNT };
#define RV_GLOBAL_X(n) ((unsigned)(n)-1)
#define RV_GLOBAL_F(n) (RV_GLOBAL_F0 + (unsigned)(n))

enum { RV_RA = 1, RV_SP = 2, RV_TP = 4, RV_T0 = 5, RV_A0 = 10, RV_A1 = 11, RV_A2 = 12, RV_A7 = 17 };

// Guest.mode: how a dynamic rounding mode is to be translated.
enum {
    RV_MODE_NORMAL,      // frm is one of MXCSR's modes
    RV_MODE_RMM,         // frm is nearest, ties away from zero
    RV_MODE_INVALID_FRM, // an instruction with dynamic rounding is illegal
};

// Helpers by number.
enum {
    RV_HELPER_CYCLE,
    RV_HELPER_TIME,
    RV_HELPER_INSTRET,
    RV_HELPER_VDSO_CLOCK,
    RV_HELPER_VDSO_RESOLUTION,
    RV_HELPER_VDSO_PROCESSOR,
    RV_HELPER_COUNT
};
extern const KirHelper rv_helpers[RV_HELPER_COUNT];
extern const KirGlobal rv_globals[RV_GLOBAL_COUNT];
extern const char *const rv_x_names[32];
extern const char *const rv_f_names[32];

#endif
