// SPDX-License-Identifier: MIT
//
// The report (--report=FILE.html): one page that shows how the program ran. docs/insight.md says how it is read.
//
// While the program runs this collects what would be gone at the end: the code of traces in all its forms, when they were made, and from
// time to time how far the counters of each tier are (engine/count.h, which a report switches on). At the end report_write puts it all,
// as JSON, into the page src/debug/report.html, which is part of Kiln; the page draws itself.
//
// All functions do nothing where engine->report is NULL. With the engine's lock held, but for report_new.
#ifndef KILN_DEBUG_REPORT_H
#define KILN_DEBUG_REPORT_H

#include <stdio.h>
#include "engine/trace.h"

typedef struct Report Report;

Report *report_new(void);
// It has come into use. kir: of a first form.
void report_trace(Engine *engine, const Trace *trace, const KirBlock *kir);
// The optimizer's texts for the second form that comes next.
void report_text(Engine *engine, const TraceResult *result);
void report_asked(Engine *engine, const Trace *trace);
void report_refused(Engine *engine, uint64_t id, Reason reason);
void report_trace_end(Engine *engine, const Trace *trace, Reason reason);
// Looks at the counters if that is some time ago.
void report_sample(Engine *engine);
// The child's own begins.
void report_after_fork(Engine *engine);
// `command`: what ran, ended by NULL.
void report_write(Engine *engine, FILE *out, char *const *command);

#endif
