// SPDX-License-Identifier: MIT
//
// Macros for self-checking assembly; check.c runs what they register, in order.
//
//   fault NAME, SIGNAL, CODE, WHERE, REG, INSN...
//       INSN with xREG = WHERE (REG 0: no base register) must raise SIGNAL with every register as the instructions
//       before it left them
//   illegal NAME, ENCODING, SIZE
//       the encoding must raise SIGILL, the same way
//   begin NAME ... end
//       a function; `require` and `equal` leave it with a number when they fail
#ifndef TESTS_INSN_CHECK_H
#define TESTS_INSN_CHECK_H

#define SIGILL  4
#define SIGTRAP 5
#define SIGBUS  7
#define SIGSEGV 11

// Places for `fault`: offsets from the arena's A (see check.c).
#define GOOD           0x100
#define NONE           0x2800
#define READONLY       0x4800
#define UNMAPPED       0x6800
#define NONE_START     0x2000
#define READONLY_START 0x4000

.macro record name, kind, entry, at, signal, code, where, reg
    .section .rodata.names, "a"
name_\@:
    .asciz "\name"
    .section .tests, "aw"
    .balign 8
    .dword name_\@, \entry, \at
    .word \kind, \signal, \code, \where, \reg, 0
    .text
    .endm

// The registers that check.c expects to have grown by one at the fault, and by sixteen more behind it. The sums go through
// several registers, so that a translator which keeps values in host registers has many of them to write back.
    .macro before
    .irp r, 18,19,20,21,22,23,24,25,26,27
    addi x\r, x\r, 1
    .endr
    fadd.d f18, f16, f17
    fadd.d f19, f18, f17
    .endm

    .macro after
    .irp r, 18,19,20,21,22,23,24,25,26,27
    addi x\r, x\r, 16
    .endr
    fadd.d f18, f16, f16
    fadd.d f19, f18, f18
    .endm

// check.c enters by enter.S with anchor x9 (s1).
    .macro unit_begin
    ld x31, 1272(x9)
    .endm

    .macro unit_end
    sd x31, 1272(x9)
    ld x31, 1552(x9)
    jr x31
    .endm

    .macro fault name, signal, code, where, reg, insn:vararg
    record "\name", 1, 10f, 11f, \signal, \code, \where, \reg
    .balign 4
10: unit_begin
    before
11: \insn
    after
    unit_end
    .endm

    .macro illegal name, encoding, size
    record "\name", 1, 10f, 11f, SIGILL, 1, 0, 0
    .balign 4
10: unit_begin
    before
    .if \size == 2
11: .half \encoding
    .else
11: .word \encoding
    .endif
    after
    unit_end
    .endm

    .macro begin name
    record "\name", 0, 10f, 0, 0, 0, 0, 0
    .balign 4
10: li a0, 0
    .endm

    .macro end
    li a0, 0
    ret
    .endm

// Leaves with \number unless \a == \b.
    .macro equal number, a, b
    beq \a, \b, 12f
    li a0, \number
    ret
12:
    .endm

// Leaves with \number unless \reg holds \value.
    .macro require number, reg, value
    li a0, \value
    equal \number, \reg, a0
    .endm

#endif
