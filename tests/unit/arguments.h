// SPDX-License-Identifier: MIT
//
// What a test is told on its command line: pairs `--name value` in any order, of which the last one of a name counts.
#ifndef KILN_TESTS_ARGUMENTS_H
#define KILN_TESTS_ARGUMENTS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// NULL: not there.
static inline const char *text_argument(int argc, char **argv, const char *name) {
    const char *value = NULL;
    for (int i = 1; i + 1 < argc; i += 2)
        if (!strcmp(argv[i], name)) value = argv[i + 1];
    return value;
}

static inline uint64_t number_argument(int argc, char **argv, const char *name, uint64_t otherwise) {
    const char *value = text_argument(argc, argv, name);
    return value ? strtoull(value, NULL, 0) : otherwise;
}

#endif
