// SPDX-License-Identifier: MIT
//
// Cases of trace selection as text files (hot/*.hot): an invented execution, and what must come of it. A file is a list of cases:
//
//   case TITLE                   begins a case; lines before the first one hold for all
//   select net-strict            the variant; `length 4` and the like: any number of hot/params.def
//   edges X-Y Y-Z                known exits
//   run A B <C !D ~E .REASON     the blocks in order of execution, the first being the head. Each is connected with the one before,
//                                but for `~`. `<`: reached by a backward branch; `!`: head of a known loop; `.`: stopped from outside
//   annotated                    the head is an annotated loop (NETPlus)
//
// All other lines say what comes out, in this order:
//
//   end REASON                   why it ended; `still recording`; then `unused B C`: what of the run was not looked at
//   path SHAPE: A B C [-> B] [cut REASON]
//   plus X Y                     what NETPlus adds to the path before
//   dropped REASON               the head itself has no path
//
// `#` begins a comment.
#ifndef KILN_TESTS_HOT_CASES_H
#define KILN_TESTS_HOT_CASES_H

#include <stdbool.h>

// Runs the cases of one file; reports each by `check`. Returns how many there were, 0 for a file that cannot be read.
unsigned hot_cases_run(const char *file, void (*check)(bool ok, const char *what, const char *detail));

#endif
