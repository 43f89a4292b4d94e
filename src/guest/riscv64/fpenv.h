// SPDX-License-Identifier: MIT
//
// fcsr of a guest thread outside generated code: flags and rounding are in Cpu.guest_mxcsr, frm in the state.
#ifndef KILN_GUEST_RISCV64_FPENV_H
#define KILN_GUEST_RISCV64_FPENV_H

#include "guest/riscv64/state.h"

enum { RV_FRM_RMM = 4, RV_FRM_VALID = 5 }; // values below RV_FRM_VALID are rounding modes

uint32_t rv_get_fcsr(const Cpu *cpu);
void rv_set_fcsr(Cpu *cpu, uint32_t fcsr);
// All exceptions masked, no flags, default rounding, no flush to zero.
uint32_t rv_default_mxcsr(void);

#endif
