// SPDX-License-Identifier: MIT
//
// Into and out of a test unit with every register under control.
//
// One register of each unit is its anchor: it holds the address A, the unit never writes it, and the state to be loaded and
// stored lies behind A (offsets below; driver.c and generate.py share them). A unit starts with the load of the hop
// register (x31, or x30 where x31 is the anchor) and ends by storing it and jumping through it:
//
//      ld hop, slot(A);  ...the code under test...;  sd hop, slot(A);  ld hop, EXIT(A);  jr hop
//
// so that all registers but the anchor may hold anything while the code under test runs.

#define X_OFFSET     1024
#define F_OFFSET     1280
#define FCSR_OFFSET  1536
#define ENTRY_OFFSET 1544

    .macro each_anchor anchor, hop
    .balign 4
enter_\anchor:
    mv x\anchor, a0
    each_float fld, \anchor
    ld x\hop, FCSR_OFFSET(x\anchor)
    fscsr x\hop
    each_integer ld, \anchor, \hop
    ld x\hop, ENTRY_OFFSET(x\anchor)
    jr x\hop
leave_\anchor:
    each_integer sd, \anchor, \hop
    sd x\anchor, X_OFFSET + 8 * \anchor(x\anchor)
    each_float fsd, \anchor
    frcsr x\hop
    sd x\hop, FCSR_OFFSET(x\anchor)
    j restore
    .endm

    .macro each_float op, anchor
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    \op f\n, F_OFFSET + 8 * \n(x\anchor)
    .endr
    .endm

    .macro each_integer op, anchor, hop
    .irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    .if \n != \anchor && \n != \hop
    \op x\n, X_OFFSET + 8 * \n(x\anchor)
    .endif
    .endr
    .endm

    .text
    .globl _start
_start:
    mv a0, sp
    andi sp, sp, -16
    call driver_main

// void run_unit(uint64_t a, void *enter): returns when the unit comes to its leave_*.
    .globl run_unit
run_unit:
    addi sp, sp, -224
    .irp n, 1,3,4,8,9,18,19,20,21,22,23,24,25,26,27
    sd x\n, 8 * \n(sp)
    .endr
    la t0, saved_sp
    sd sp, 0(t0)
    la t0, reservation
    sc.w t1, zero, (t0)         // no reservation is left over from the unit before
    jr a1
restore:
    fscsr zero
    la t0, saved_sp
    ld sp, 0(t0)
    .irp n, 1,3,4,8,9,18,19,20,21,22,23,24,25,26,27
    ld x\n, 8 * \n(sp)
    .endr
    addi sp, sp, 224
    ret

    .irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
    each_anchor \n, 31
    .endr
    each_anchor 31, 30

    .section .rodata
    .balign 8
    .globl enter_table, leave_table
enter_table:
    .dword 0
    .irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    .dword enter_\n
    .endr
leave_table:
    .dword 0
    .irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    .dword leave_\n
    .endr

    .bss
    .balign 8
saved_sp:
    .dword 0
reservation:
    .dword 0
