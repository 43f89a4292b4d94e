// SPDX-License-Identifier: MIT
//
// From bits to an instruction: a row of the decode tables and its operands.
#ifndef KILN_GUEST_RISCV64_DECODE_H
#define KILN_GUEST_RISCV64_DECODE_H

#include <stddef.h>
#include "guest/riscv64/riscv64_rows.h"

typedef struct RvInsn {
    uint16_t row;   // RV_ILLEGAL or a row
    uint16_t op;    // the row whose translation serves it: `row`, or the long form of a compressed instruction
    uint8_t length; // 2 or 4, illegal ones too
    uint8_t rd, rs1, rs2, rs3;
    uint8_t rm; // 0..4 or 7
    uint8_t aq, rl;
    uint8_t fm, pred, succ;
    uint16_t csr;
    int32_t imm;
    uint32_t bits;
} RvInsn;

// Bytes of the instruction that begins with these 16 bits. Longer formats than 4 bytes have no instructions: they count as 4.
static inline unsigned rv_length(uint16_t first) { return (first & 3) == 3 ? 4 : 2; }
// `bits` holds rv_length() bytes of code; what stands above a short instruction is ignored.
void rv_decode(uint32_t bits, RvInsn *out);
// As guest.h's Guest.disassemble.
unsigned rv_disassemble(char *text, size_t text_size, const uint8_t *bytes, size_t size, uint64_t pc);
// The name of a CSR, or NULL.
const char *rv_csr_name(unsigned csr);

enum { RV_CSR_FFLAGS = 1, RV_CSR_FRM = 2, RV_CSR_FCSR = 3, RV_CSR_CYCLE = 0xc00, RV_CSR_TIME = 0xc01, RV_CSR_INSTRET = 0xc02 };

#endif
