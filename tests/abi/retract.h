// SPDX-License-Identifier: MIT
//
// What the programs about the ends of assumptions (traces_retract_*.c) share: time for an optimizer to answer in, and names on the command line.
#ifndef KILN_TESTS_RETRACT_H
#define KILN_TESTS_RETRACT_H

#include "check.h"
#include <time.h>

static void wait_with_calls(int milliseconds) {
    struct timespec start, now, brief = {0, 500000};
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        for (int i = 0; i < 20; i++) getppid(); // at which answers of an optimizer are taken in
        nanosleep(&brief, NULL);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < milliseconds);
}

static int index_in(const char *const *names, int count, const char *name) {
    for (int i = 0; i < count; i++)
        if (!strcmp(names[i], name)) return i;
    exit(2);
}

#endif
