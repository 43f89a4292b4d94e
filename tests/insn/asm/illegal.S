// SPDX-License-Identifier: MIT
//
// Encodings that must raise SIGILL at their own pc with the registers of the instructions before them.
#include "check.h"

    illegal "all zeros", 0x0000, 2
    illegal "all ones", 0xffffffff, 4
    illegal "c.addi4spn with immediate 0", 0x0004, 2
    illegal "quadrant 0, reserved function 4", 0x8000, 2
    illegal "c.addiw x0", 0x2005, 2
    illegal "c.lui with immediate 0", 0x6081, 2
    illegal "c.addi16sp with immediate 0", 0x6101, 2
    illegal "c.misc-alu reserved 110", 0x9c41 | 0x0400, 2
    illegal "c.misc-alu reserved 111", 0x9c61 | 0x0400, 2
    illegal "c.lwsp x0", 0x4002, 2
    illegal "c.ldsp x0", 0x6002, 2
    illegal "c.jr x0", 0x8002, 2
    illegal "major opcode 1111111", 0x0000007f, 4
    illegal "custom-0", 0x0000000b, 4
    illegal "custom-1", 0x0000002b, 4
    illegal "custom-2", 0x0000005b, 4
    illegal "custom-3", 0x0000007b, 4
    illegal "48-bit prefix", 0x0000001f, 4
    illegal "load function 7", 0x00057003 | 0x580, 4
    illegal "store function 4", 0x00b54023, 4
    illegal "store function 7", 0x00b57023, 4
    illegal "branch function 2", 0x00002063, 4
    illegal "branch function 3", 0x00003063, 4
    illegal "jalr function 1", 0x00001067, 4
    illegal "op funct7 2", 0x04b50533, 4
    illegal "op funct7 32, function 1", 0x40b51533, 4
    illegal "op-32 function 2", 0x00b5253b, 4
    illegal "op-32 mul function 1", 0x02b5153b, 4
    illegal "slliw with shift bit 5", 0x0205151b, 4
    illegal "srliw with shift bit 5", 0x0205551b, 4
    illegal "slli with bit 26", 0x04051513, 4
    illegal "op-imm-32 function 2", 0x0005251b, 4
    illegal "amo size byte", 0x00b5052f, 4
    illegal "amo size 4", 0x00b5452f, 4
    illegal "amo function 5", 0x28b5252f, 4
    illegal "lr with rs2", 0x10b5252f, 4
    illegal "fadd with static rounding 5", 0x00b55553, 4
    illegal "fadd with static rounding 6", 0x00b56553, 4
    illegal "fadd.d with static rounding 5", 0x02b55553, 4
    illegal "fmul.d with static rounding 6", 0x12b56553, 4
    illegal "fcvt.w.s with static rounding 5", 0xc0055553, 4
    illegal "fcvt.s.d with static rounding 6", 0x40156553, 4
    illegal "fmadd.d with static rounding 5", 0x6ab55543, 4
    illegal "fsqrt.d with static rounding 6", 0x5a056553, 4
    illegal "fadd quad", 0x06b50553, 4
    illegal "fsgnj function 3", 0x20b53553, 4
    illegal "fmin function 2", 0x28b52553, 4
    illegal "feq function 3", 0xa0b53553, 4
    illegal "fclass with rs2", 0xe0151553, 4
    illegal "fsqrt with rs2", 0x58150553, 4
    illegal "fcvt.s.w with rs2 4", 0xd0450553, 4
    illegal "fp load function 4", 0x00054507, 4
    illegal "fp store function 5", 0x00b55027, 4
    illegal "vector load", 0x02056087, 4
    illegal "vsetvli", 0x0d057557, 4
    illegal "csr number that does not exist", 0x5c001573, 4
    illegal "csrrw to the read-only cycle", 0xc0051573, 4
    illegal "csrrs to the read-only time with rs1", 0xc0152573, 4
    illegal "csrrci to the read-only instret", 0xc020f573, 4
    illegal "supervisor csr sstatus", 0x10002573, 4
    illegal "machine csr mstatus", 0x30002573, 4
    illegal "machine csr mhartid", 0xf1402573, 4
    illegal "sret", 0x10200073, 4
    illegal "mret", 0x30200073, 4
    illegal "sfence.vma", 0x12000073, 4
    illegal "system function 4", 0x00004073, 4
    illegal "ecall with rd", 0x000000f3, 4
    illegal "hlv.w", 0x68054573, 4

    begin "dynamic rounding 5 is illegal"
    lla t0, resume_at
    sd zero, 0(t0)
    csrwi frm, 5
    fadd.d fa0, fa1, fa2
    csrwi frm, 0
    lla t1, seen_signal
    ld t2, 0(t1)
    require 1, t2, SIGILL
    end

    begin "dynamic rounding 6 and 7 are illegal, twice"
    csrwi frm, 6
    fmul.s fa0, fa1, fa2
    csrwi frm, 7
    fcvt.w.d a2, fa1
    csrwi frm, 0
    lla t1, seen_count
    ld t2, 0(t1)
    require 1, t2, 2
    end

    begin "static rounding works while frm is invalid"
    csrwi frm, 5
    fadd.d fa0, fa1, fa2, rne
    fmin.d fa0, fa1, fa2
    csrr t3, frm
    csrwi frm, 0
    lla t1, seen_count
    ld t2, 0(t1)
    require 1, t2, 0
    require 2, t3, 5
    end

    begin "the instruction behind an illegal one runs"
    li t3, 1
    .word 0xffffffff
    addi t3, t3, 1
    .half 0
    addi t3, t3, 1
    require 1, t3, 3
    lla t1, seen_count
    ld t2, 0(t1)
    require 2, t2, 2
    end
