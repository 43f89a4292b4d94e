// SPDX-License-Identifier: MIT
//
// The optimizer as a server.
#ifndef KILN_OPT_SERVE_H
#define KILN_OPT_SERVE_H

enum { SERVE_MAX_THREADS = 64, SERVE_QUEUE = 256 };

// Until hub and channels are closed. The exit code.
// `delay`: each answer is held back for so many milliseconds (tests).
int serve(int hub, unsigned threads, unsigned delay);

#endif
