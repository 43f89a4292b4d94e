// SPDX-License-Identifier: MIT
//
// A fault at each kind of access, on pages that are not mapped, not accessible, read-only, and where only the second
// page is bad.
#include "check.h"

#define MAPERR 1
#define ACCERR 2
#define ADRALN 1

    .macro load_faults reg, size, insn:vararg
    fault "\insn: no access", SIGSEGV, ACCERR, NONE, \reg, \insn
    fault "\insn: not mapped", SIGSEGV, MAPERR, UNMAPPED, \reg, \insn
    .if \size > 1
    fault "\insn: second page", SIGSEGV, ACCERR, NONE_START - 1, \reg, \insn
    fault "\insn: second page, one byte over", SIGSEGV, ACCERR, NONE_START - \size + 1, \reg, \insn
    .endif
    .endm

    .macro store_faults reg, size, insn:vararg
    load_faults \reg, \size, \insn
    fault "\insn: read-only", SIGSEGV, ACCERR, READONLY, \reg, \insn
    .if \size > 1
    fault "\insn: second page read-only", SIGSEGV, ACCERR, READONLY_START - 1, \reg, \insn
    .endif
    .endm

    load_faults 10, 1, lb a1, 0(a0)
    load_faults 10, 1, lbu a1, 0(a0)
    load_faults 10, 2, lh a1, 0(a0)
    load_faults 10, 2, lhu a1, 0(a0)
    load_faults 10, 4, lw a1, 0(a0)
    load_faults 10, 4, lwu a1, 0(a0)
    load_faults 10, 8, ld a1, 0(a0)
    load_faults 10, 8, ld a0, 0(a0)
    load_faults 10, 8, ld zero, 0(a0)
    load_faults 10, 1, lb zero, 0(a0)
    load_faults 10, 4, flw fa0, 0(a0)
    load_faults 10, 8, fld fa0, 0(a0)
    store_faults 10, 1, sb a2, 0(a0)
    store_faults 10, 2, sh a2, 0(a0)
    store_faults 10, 4, sw a2, 0(a0)
    store_faults 10, 8, sd a2, 0(a0)
    store_faults 10, 8, sd zero, 0(a0)
    store_faults 10, 8, sd a0, 0(a0)
    store_faults 10, 4, fsw fa1, 0(a0)
    store_faults 10, 8, fsd fa1, 0(a0)

    load_faults 10, 4, c.lw a1, 0(a0)
    load_faults 10, 8, c.ld a1, 0(a0)
    load_faults 10, 8, c.fld fa0, 0(a0)
    store_faults 10, 4, c.sw a2, 0(a0)
    store_faults 10, 8, c.sd a2, 0(a0)
    store_faults 10, 8, c.fsd fa1, 0(a0)
    load_faults 2, 4, c.lwsp a1, 0(sp)
    load_faults 2, 8, c.ldsp a1, 0(sp)
    load_faults 2, 8, c.fldsp fa0, 0(sp)
    store_faults 2, 4, c.swsp a2, 0(sp)
    store_faults 2, 8, c.sdsp a2, 0(sp)
    store_faults 2, 8, c.fsdsp fa1, 0(sp)

    .macro atomic_faults name
    .irp size, w, d
    fault "\name\().\size: no access", SIGSEGV, ACCERR, NONE, 10, \name\().\size a1, a2, (a0)
    fault "\name\().\size: not mapped", SIGSEGV, MAPERR, UNMAPPED, 10, \name\().\size a1, a2, (a0)
    fault "\name\().\size: read-only", SIGSEGV, ACCERR, READONLY, 10, \name\().\size a1, a2, (a0)
    fault "\name\().\size: rd is the base", SIGSEGV, ACCERR, READONLY, 10, \name\().\size a0, a2, (a0)
    fault "\name\().\size: misaligned", SIGBUS, ADRALN, GOOD + 2, 10, \name\().\size a1, a2, (a0)
    .endr
    .endm

    .irp name, amoadd, amoswap, amoxor, amoor, amoand, amomin, amomax, amominu, amomaxu
    atomic_faults \name
    .endr
    .irp size, w, d
    fault "lr.\size: no access", SIGSEGV, ACCERR, NONE, 10, lr.\size a1, (a0)
    fault "lr.\size: not mapped", SIGSEGV, MAPERR, UNMAPPED, 10, lr.\size a1, (a0)
    fault "lr.\size: misaligned", SIGBUS, ADRALN, GOOD + 1, 10, lr.\size a1, (a0)
    .endr
