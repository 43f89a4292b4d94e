// SPDX-License-Identifier: MIT
//
// Random walks through random graphs, and what must hold for everything that selection makes of them.
#ifndef KILN_TESTS_HOT_RANDOM_H
#define KILN_TESTS_HOT_RANDOM_H

#include <stdbool.h>

// One check a round; a failure names the round, which is its seed.
void hot_random_run(unsigned rounds, void (*check)(bool ok, const char *what, const char *detail));

#endif
