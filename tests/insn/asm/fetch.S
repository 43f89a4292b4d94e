// SPDX-License-Identifier: MIT
//
// Jumps to where there is no code, code that runs into a page without any, and addresses that no mapping can have.
#include "check.h"

// Leaves with \number unless the last signal was \signal with pc and address \pc (a register; t6 is used).
    .macro saw number, signal, pc
    lla a0, seen_signal
    ld a0, 0(a0)
    addi a0, a0, -\signal
    beqz a0, 13f
    li a0, \number
    ret
13: lla a0, seen_pc
    ld a0, 0(a0)
    equal \number + 1, a0, \pc
    .endm

    .macro saw_address number, reg
    lla a0, seen_address
    ld a0, 0(a0)
    equal \number, a0, \reg
    .endm

// The handler goes on at \label.
    .macro resume label
    lla t1, \label
    lla t0, resume_at
    sd t1, 0(t0)
    .endm

    .macro jump_to name, setup:vararg
    begin "\name"
    resume 14f
    li t3, 77
    \setup
    addi t3, t3, 1
    jr t2
14: saw 1, SIGSEGV, t2
    saw_address 3, t2
    require 4, t3, 78
    end
    .endm

    jump_to "jump to address 0", li t2, 0
    jump_to "jump to an address that is not mapped", li t2, 0x40
    jump_to "jump to data", lla t2, cell

    begin "call to data links first"
    resume 15f
    mv t4, ra
    lla t2, cell
    jalr t2
16: j 15f
15: mv t5, ra
    mv ra, t4
    saw 1, SIGSEGV, t2
    lla t1, 16b
    equal 3, t5, t1
    end

// code_page is two pages; the page behind it is data.
    begin "straight-line code runs off the last page"
    resume 17f
    lla t3, code_page
    li t2, 8192
    add t2, t2, t3              // the first byte that cannot run
    li t0, 0x0e05               // c.addi t3, 1
    sh t0, -6(t2)
    sh t0, -4(t2)
    sh t0, -2(t2)
    fence.i
    addi t4, t2, -6
    mv t5, t3
    jr t4
17: saw 1, SIGSEGV, t2
    saw_address 3, t2
    sub t3, t3, t5
    require 4, t3, 3
    end

    begin "an instruction whose second half cannot run"
    resume 18f
    lla t3, code_page
    li t2, 8192
    add t2, t2, t3
    li t0, 0x0e05
    sh t0, -4(t2)
    li t0, 0x0e13               // first half of addi t3, ...
    sh t0, -2(t2)
    fence.i
    addi t4, t2, -4
    addi t1, t2, -2
    mv t5, t3
    jr t4
18: addi t1, t2, -2
    saw 1, SIGSEGV, t1
    saw_address 3, t2
    sub t3, t3, t5
    require 4, t3, 1
    end

    .macro wild name, address, insn:vararg
    begin "\name"
    li a1, \address
    mv t3, a1
19: \insn
    lla t1, 19b
    saw 1, SIGSEGV, t1
    equal 3, a1, t3
    end
    .endm
    wild "load from address 0", 0, ld a2, 0(a1)
    wild "store to address 0", 0, sd a2, 0(a1)
    wild "load from the middle of nowhere", 0x4000000000000000, ld a2, 0(a1)
    wild "load into its own base from the middle of nowhere", 0x4000000000000000, ld a1, 0(a1)
    wild "store to the middle of nowhere", 0x8000000000000000, sw a2, 0(a1)
    wild "load from the last address", -1, lb a2, 0(a1)
    wild "load from the kernel's half", -4096, lw a2, 0(a1)
    wild "atomic in the middle of nowhere", 0x4000000000000000, amoadd.d a2, a2, (a1)
