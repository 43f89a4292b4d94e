// SPDX-License-Identifier: MIT
//
// What the report has collected; its files share it.
#ifndef KILN_DEBUG_REPORT_INTERNAL_H
#define KILN_DEBUG_REPORT_INTERNAL_H

#include "debug/report.h"
#include "engine/internal.h"

typedef struct ReportBlock {
    uint64_t pc;
    uint32_t *to; // blocks that may be executed next without leaving the trace
    uint32_t to_count;
    char *guest; // its instructions, one a line
} ReportBlock;

// One form of a trace. Times are nanoseconds since the report began, 0: not yet.
typedef struct ReportTrace {
    struct ReportTrace *next; // newer
    uint64_t id, pc;
    TraceForm form;
    uint8_t shape, end_of_path;       // HotShape, Reason
    uint32_t count, path, host_bytes; // blocks; those on the path; bytes of its code
    int32_t loop;
    uint32_t rounds;
    uint64_t made, compile_ns, asked, refused_at, ended;
    uint8_t refused, why_ended; // Reason
    ReportBlock *blocks;
    char *kir, *text[TRACE_TEXTS]; // NULL: has none
    uint8_t *code;                 // first form: as it was made
    const Counted *counted;
    uint64_t insns; // executed in it; for report_write
    bool in_full;   // with code and texts
} ReportTrace;

enum { REPORT_SAMPLES = 400 };
typedef struct ReportSample {
    uint64_t time, insns[COUNT_TIERS];
} ReportSample;

struct Report {
    uint64_t start; // engine_nanoseconds
    Arena memory;
    ReportTrace *traces, **newest;
    char *texts[TRACE_TEXTS]; // of the next second form
    ReportSample samples[REPORT_SAMPLES];
    unsigned sample_count;
    uint64_t interval, next_sample;
};

// report_objdump.c: the host code of the traces that are `in_full`, as objdump writes it, one text a trace (malloc'ed, NULL: none). False:
// there is no objdump, or it failed.
bool report_disassemble(ReportTrace *const *traces, unsigned count, char **texts);

#endif
