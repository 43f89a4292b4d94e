// SPDX-License-Identifier: MIT
//
// ThreadSanitizer (make tsan). Its runtime holds locks of its own while it handles an instrumented access, so what may interrupt it (the
// host's handlers of asynchronous signals) must not have any; with another sanitizer, or none, the word means nothing.
#ifndef KILN_BASE_SANITIZE_H
#define KILN_BASE_SANITIZE_H

#define INTERRUPTS_SANITIZER __attribute__((no_sanitize("thread")))

#endif
