// SPDX-License-Identifier: MIT
//
// Linked first: where the list of tests starts.
    .section .tests, "aw"
    .balign 8
    .globl tests_start
tests_start:
