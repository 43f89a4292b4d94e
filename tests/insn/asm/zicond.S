// SPDX-License-Identifier: MIT
//
// Conditional zero by known values: the reference emulator lacks it, and the random tests compare it with the driver's own C.
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
