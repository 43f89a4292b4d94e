// SPDX-License-Identifier: MIT
//
// Breakpoints, counters, control registers, code that changes, floating-point flags, and what lr and sc promise.
#include "check.h"

    fault "ebreak", SIGTRAP, 1, 0, 0, .word 0x00100073
    fault "c.ebreak", SIGTRAP, 1, 0, 0, c.ebreak

// ---- counters and control registers ---------------------------------------------------------------------------

    .macro counter csr
    begin "\csr grows"
    csrr t0, \csr
    li t2, 100000
1:  addi t2, t2, -1
    bnez t2, 1b
    csrr t1, \csr
    sltu t3, t0, t1
    require 1, t3, 1
    end
    .endm
    counter cycle
    counter time
    counter instret

    begin "fflags, frm and fcsr are views of one register"
    li t0, 0x1ff
    csrw fcsr, t0
    csrr t1, fcsr
    csrr t2, fflags
    csrr t3, frm
    csrwi fflags, 10
    csrwi frm, 3
    csrr t4, fcsr
    csrw fcsr, zero
    require 1, t1, 0xff
    require 2, t2, 31
    require 3, t3, 7
    require 4, t4, 0x6a
    end

    begin "csr instructions give the old value"
    csrw fcsr, zero
    csrrwi t0, fflags, 21
    csrrsi t1, fflags, 10
    csrrci t2, fflags, 5
    csrr t3, fflags
    li t4, 2
    csrrs t5, fflags, t4
    csrrc t4, fflags, t4
    csrw fcsr, zero
    require 1, t0, 0
    require 2, t1, 21
    require 3, t2, 31
    require 4, t3, 26
    require 5, t5, 26
    require 6, t4, 26
    end

    begin "csrrw swaps within one register"
    csrw fcsr, zero
    li t0, 0x65
    csrrw t0, fcsr, t0
    require 1, t0, 0
    csrrw t0, fcsr, zero
    require 2, t0, 0x65
    end

// ---- code that changes --------------------------------------------------------------------------------------------

    .macro call_page
    mv t6, ra
    jalr t3
    mv ra, t6
    .endm

    begin "new code behind fence.i"
    lla t3, code_page
    li t0, 0x00100513           // li a0, 1
    sw t0, 0(t3)
    li t0, 0x00008067           // ret
    sw t0, 4(t3)
    fence.i
    call_page
    mv t4, a0
    li t0, 0x00200513           // li a0, 2
    sw t0, 0(t3)
    fence.i
    call_page
    mv t5, a0
    require 1, t4, 1
    require 2, t5, 2
    end

    begin "one instruction changes a hundred times"
    lla t3, code_page
    li t0, 0x00008067
    sw t0, 4(t3)
    li t4, 100
    li t5, 0
1:  slli t0, t4, 20
    ori t0, t0, 0x513           // li a0, t4
    sw t0, 0(t3)
    fence.i
    call_page
    add t5, t5, a0
    addi t4, t4, -1
    bnez t4, 1b
    require 1, t5, 5050
    end

    begin "an instruction further on in the same block changes"
    lla t3, code_page
    lla t1, 2f
    lla t2, 3f
    mv t5, t3
1:  lw t0, 0(t1)                // copies the code between 2 and 3
    sw t0, 0(t5)
    addi t1, t1, 4
    addi t5, t5, 4
    bltu t1, t2, 1b
    fence.i
    lla t1, cell
    li t2, 0x00300513           // li a0, 3
    call_page
    require 1, a0, 3
    end
    .balign 4
    .option push
    .option norvc
2:  sw t2, 12(t3)               // overwrites the li
    fence.i
    nop
    li a0, 1
    ret
    .option pop
3:
    .balign 4

    begin "code that crosses a page and changes there"
    lla t3, code_page
    li t0, 4094
    add t3, t3, t0
    li t0, 0x0513               // li a0, 1: low half
    sh t0, 0(t3)
    li t0, 0x0010
    sh t0, 2(t3)
    li t0, 0x8082               // c.jr ra
    sh t0, 4(t3)
    fence.i
    call_page
    mv t4, a0
    li t0, 0x0070
    sh t0, 2(t3)                // the half on the second page
    fence.i
    call_page
    require 1, t4, 1
    require 2, a0, 7
    end

// ---- floating-point flags -------------------------------------------------------------------------------------------

    .macro flags number, value
    csrr t0, fflags
    require \number, t0, \value
    .endm

    begin "flags accumulate and stay"
    csrw fcsr, zero
    li t1, 1
    fcvt.d.l fa0, t1
    fmv.d.x fa1, zero
    flags 1, 0
    fdiv.d fa2, fa0, fa1        // 1/0
    flags 2, 8
    li t1, 3
    fcvt.d.l fa3, t1
    fdiv.d fa2, fa0, fa3        // 1/3
    flags 3, 9
    fdiv.d fa2, fa1, fa1        // 0/0
    flags 4, 25
    fadd.d fa2, fa0, fa0
    flags 5, 25
    csrwi fflags, 0
    fadd.d fa2, fa0, fa0
    flags 6, 0
    end

    begin "overflow and underflow"
    csrw fcsr, zero
    li t1, 0x7fefffffffffffff
    fmv.d.x fa0, t1
    fadd.d fa1, fa0, fa0
    flags 1, 5
    csrwi fflags, 0
    li t1, 0x0010000000000000
    fmv.d.x fa0, t1
    li t1, 0x3fe0000000000001
    fmv.d.x fa1, t1
    fmul.d fa2, fa0, fa1        // subnormal and inexact
    flags 2, 3
    csrwi fflags, 0
    li t1, 0x3fe0000000000000
    fmv.d.x fa1, t1
    fmul.d fa2, fa0, fa1        // subnormal and exact
    flags 3, 0
    end

    begin "tininess is detected after rounding"
    csrw fcsr, zero
    li t1, 0x001fffffffffffff
    fmv.d.x fa0, t1
    li t1, 0x3fe0000000000000
    fmv.d.x fa1, t1
    fmul.d fa2, fa0, fa1        // rounds up to the least normal number; one bit short of it with unbounded exponent
    flags 1, 3
    fmv.x.d t2, fa2
    require 2, t2, 0x0010000000000000
    csrwi fflags, 0
    li t1, 0x000fffffffffffff
    fmv.d.x fa0, t1
    li t1, 0x3ff0000000000001
    fmv.d.x fa1, t1
    fmul.d fa2, fa0, fa1        // rounds up to the least normal number to 53 bits too, so it is not tiny
    flags 3, 1
    end

    begin "a dead result raises its flags"
    csrw fcsr, zero
    li t1, 1
    fcvt.d.l fa0, t1
    fmv.d.x fa1, zero
    fdiv.d fa2, fa0, fa1
    fmv.d.x fa2, zero
    flags 1, 8
    end

    begin "comparisons with NaN"
    csrw fcsr, zero
    li t1, 0x7ff8000000000000
    fmv.d.x fa0, t1
    feq.d t2, fa0, fa0
    flags 1, 0
    require 2, t2, 0
    flt.d t2, fa0, fa0
    flags 3, 16
    csrwi fflags, 0
    li t1, 0x7ff0000000000001
    fmv.d.x fa0, t1
    feq.d t2, fa0, fa0
    flags 4, 16
    csrwi fflags, 0
    fmv.d.x fa1, zero
    fmin.d fa2, fa0, fa1
    flags 5, 16
    fmv.x.d t2, fa2
    require 6, t2, 0
    end

    begin "results that are NaN are canonical"
    li t1, 0x7ff80000dead0000
    fmv.d.x fa0, t1
    fadd.d fa1, fa0, fa0
    fmv.x.d t2, fa1
    require 1, t2, 0x7ff8000000000000
    fsgnj.d fa1, fa0, fa0
    fmv.x.d t2, fa1
    equal 2, t2, t1
    li t1, 0x12345678
    fmv.d.x fa0, t1             // not a boxed single
    fadd.s fa1, fa0, fa0
    fmv.x.d t2, fa1
    require 3, t2, 0xffffffff7fc00000
    fsgnj.s fa1, fa0, fa0
    fmv.x.d t2, fa1
    require 4, t2, 0xffffffff7fc00000
    fmv.x.w t2, fa0
    require 5, t2, 0x12345678
    csrw fcsr, zero
    end

    begin "infinity times zero plus NaN is invalid"
    csrw fcsr, zero
    li t1, 0x7ff0000000000000
    fmv.d.x fa0, t1
    fmv.d.x fa1, zero
    li t1, 0x7ff8000000000000
    fmv.d.x fa2, t1
    fmadd.d fa3, fa0, fa1, fa2
    flags 1, 16
    csrw fcsr, zero
    end

    begin "rounding modes of fcvt.l.d"
    csrw fcsr, zero
    li t1, 0x4004000000000000   // 2.5
    fmv.d.x fa0, t1
    fcvt.l.d t2, fa0, rne
    require 1, t2, 2
    fcvt.l.d t2, fa0, rtz
    require 2, t2, 2
    fcvt.l.d t2, fa0, rdn
    require 3, t2, 2
    fcvt.l.d t2, fa0, rup
    require 4, t2, 3
    fcvt.l.d t2, fa0, rmm
    require 5, t2, 3
    csrwi frm, 4
    fcvt.l.d t2, fa0
    csrwi frm, 0
    require 6, t2, 3
    flags 7, 1
    end

    begin "rmm in arithmetic"
    csrw fcsr, zero
    li t1, 0x3ff0000000000000
    fmv.d.x fa0, t1
    li t1, 0x3ca0000000000000   // half an ulp of 1
    fmv.d.x fa1, t1
    fadd.d fa2, fa0, fa1, rne
    fmv.x.d t2, fa2
    require 1, t2, 0x3ff0000000000000
    fadd.d fa2, fa0, fa1, rmm
    fmv.x.d t2, fa2
    require 2, t2, 0x3ff0000000000001
    csrwi frm, 4
    fadd.d fa2, fa0, fa1
    csrwi frm, 0
    fmv.x.d t2, fa2
    require 3, t2, 0x3ff0000000000001
    fadd.d fa2, fa0, fa1
    fmv.x.d t2, fa2
    require 4, t2, 0x3ff0000000000000
    end

// ---- lr and sc ----------------------------------------------------------------------------------------------------

    begin "sc fails without a reservation"
    lla t0, cell
    lr.d t1, (t0)
    sc.d t1, zero, (t0)         // takes the reservation
    li t2, 5
    sc.d t3, t2, (t0)
    ld t4, 0(t0)
    sltu t3, zero, t3
    require 1, t3, 1
    require 2, t4, 0
    end

    begin "sc to another address fails"
    lla t0, cell
    addi t5, t0, 64
    li t2, 7
    lr.d t1, (t0)
    sc.d t3, t2, (t5)
    ld t4, 64(t0)
    sltu t3, zero, t3
    require 1, t3, 1
    require 2, t4, 0
    sc.d t3, t2, (t0)           // any sc ends the reservation
    sltu t3, zero, t3
    require 3, t3, 1
    end

    .macro pair_loop size, load, orders
    begin "lr.\size\orders and sc.\size\orders add a thousand"
    lla t0, cell
    li t2, 1000
1:  lr.\size\orders t1, (t0)
    addi t1, t1, 1
    sc.\size\orders t3, t1, (t0)
    bnez t3, 1b
    addi t2, t2, -1
    bnez t2, 1b
    \load t4, 0(t0)
    require 1, t4, 1000
    end
    .endm
    pair_loop w, lw
    pair_loop d, ld
    pair_loop w, lw, .aqrl
    pair_loop d, ld, .aqrl

    begin "lr.w extends the sign, sc.w writes four bytes"
    lla t0, cell
    li t1, -1
    sd t1, 0(t0)
    lr.w t2, (t0)
    li t3, 1
    sc.w t4, t3, (t0)
    ld t5, 0(t0)
    require 1, t2, -1
    require 2, t4, 0
    require 3, t5, 0xffffffff00000001
    end

    begin "amo gives the old value, extended"
    lla t0, cell
    li t1, 0x80000000
    sw t1, 0(t0)
    li t2, 1
    amominu.w t3, t2, (t0)
    lwu t4, 0(t0)
    require 1, t3, -0x80000000
    require 2, t4, 1
    amoadd.w t2, t2, (t0)       // rd is rs2
    lwu t4, 0(t0)
    require 3, t2, 1
    require 4, t4, 2
    end
