// SPDX-License-Identifier: MIT
//
// Names of generated code for perf.
//
//   -perfmap   /tmp/perf-PID.map: one line a block or trace, "address size name"; `perf record`, `perf report` know it by its name
//   -jitdump   jit-PID.dump in the working directory: the code itself and which guest instruction it belongs to, in the format of
//              perf's jitdump specification; `perf record -k 1`, `perf inject --jit`, `perf report`, `perf annotate`
//
// Each process has files of its own; a child of fork writes down what it inherits. All functions do nothing unless one was asked for.
// With the engine's lock held, but for perf_start and perf_write_out.
#ifndef KILN_DEBUG_PERF_H
#define KILN_DEBUG_PERF_H

#include "engine/trace.h"

void perf_start(const Engine *engine);
void perf_block(const Engine *engine, const Block *block);
void perf_counter(const Engine *engine, const Block *block); // the counter in front of a head; its code is the newest there is
void perf_trace(const Engine *engine, const Trace *trace);
// The code memory was emptied: what was there has no meaning any more.
void perf_restart(const Engine *engine);
void perf_after_fork(const Engine *engine);
// What is still in a buffer goes to the files: before a fork, before the end.
void perf_write_out(void);

#endif
