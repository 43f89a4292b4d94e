// SPDX-License-Identifier: MIT
//
// The server's end when nobody is left, whatever its other threads are doing.
//
// The server ends by itself when hub and channels are closed. If it cannot, because it hangs in LLVM's start, in a lock, or in an
// allocator that a fatal error has left in disorder, a thread that calls nothing but the kernel does it some seconds later.
#ifndef KILN_OPT_WATCHDOG_H
#define KILN_OPT_WATCHDOG_H

enum { WATCHDOG_GRACE_MS = 2000 };

// Watches the hub from now on. Without a thread for it there is no watchdog.
void watchdog_start(int hub);
// One more descriptor, before it is closed here for the first time.
void watchdog_sees(int channel);

#endif
