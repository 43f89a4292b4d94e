// SPDX-License-Identifier: MIT
//
// The decoder proper is made from insn32.decode and insn16.decode by scripts/decode.py.
#include "guest/riscv64/decode.h"
#include "guest/riscv64/features.h"
#include "guest/riscv64/riscv64_decode.inc.h"

void rv_decode(uint32_t bits, RvInsn *out) {
    unsigned length = rv_length((uint16_t)bits);
    if (length == 2) bits &= 0xffff;
    *out = (RvInsn){.length = (uint8_t)length, .bits = bits};
    unsigned row = length == 4 ? rv_decode32(bits, out) : rv_decode16(bits, out);
    out->row = (uint16_t)row;
    out->op = rv_rows[row].base;
}
