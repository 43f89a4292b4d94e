// SPDX-License-Identifier: MIT
//
// Linked last: where the list of tests ends.
    .section .tests, "aw"
    .balign 8
    .globl tests_end
tests_end:
