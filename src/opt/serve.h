// SPDX-License-Identifier: MIT
//
// The optimizer as a server.
#ifndef KILN_OPT_SERVE_H
#define KILN_OPT_SERVE_H

#include <stdbool.h>

enum { SERVE_QUEUE = 256 };

typedef struct Serve {
    int hub;
    unsigned threads;
    unsigned delay; // each answer is held back for so many milliseconds (tests)
    bool stuck;     // after the first channel nothing happens any more (tests)
} Serve;
// Until hub and channels are closed. The exit code.
int serve(const Serve *how);

#endif
