// SPDX-License-Identifier: MIT
//
// What the reference emulator lacks or gets wrong, by known values: the random tests compare these instructions with the
// driver's own C (see `emulated` in driver.c), so that C is checked here.
#include "check.h"

    begin "czero"
    li t0, 0x1234
    li t1, 0
    li t2, 1
    .word 0x0e005033 | 28 << 7 | 5 << 15 | 6 << 20  // czero.eqz t3, t0, t1
    require 1, t3, 0
    .word 0x0e005033 | 28 << 7 | 5 << 15 | 7 << 20  // czero.eqz t3, t0, t2
    require 2, t3, 0x1234
    .word 0x0e007033 | 28 << 7 | 5 << 15 | 6 << 20  // czero.nez t3, t0, t1
    require 3, t3, 0x1234
    .word 0x0e007033 | 28 << 7 | 5 << 15 | 7 << 20  // czero.nez t3, t0, t2
    require 4, t3, 0
    .word 0x0e005033 | 5 << 7 | 5 << 15 | 5 << 20   // czero.eqz t0, t0, t0
    require 5, t0, 0x1234
    .word 0x0e007033 | 5 << 7 | 5 << 15 | 5 << 20   // czero.nez t0, t0, t0
    require 6, t0, 0
    end

    .macro ctzw number, value, result
    li t0, \value
    .word 0x6010101b | 28 << 7 | 5 << 15    // ctzw t3, t0
    require \number, t3, \result
    .endm

    begin "ctzw"
    ctzw 1, 0, 32
    ctzw 2, 0x100000000, 32
    ctzw 3, 0xffffe00000000000, 32
    ctzw 4, 0x80000000, 31
    ctzw 5, -1, 0
    ctzw 6, 0x1234567800000010, 4
    end
