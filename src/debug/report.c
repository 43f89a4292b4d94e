// SPDX-License-Identifier: MIT
#include "debug/report_internal.h"
#include "base/error.h"
#include <stdlib.h>
#include <string.h>

enum { FIRST_INTERVAL_NS = 1000000, MOST_SHARE = 50 }; // of the time, one part goes into samples

Report *report_new(void) {
    Report *report = calloc(1, sizeof *report);
    if (!report) fatal("out of memory for the report");
    report->start = engine_nanoseconds();
    report->newest = &report->traces;
    report->interval = FIRST_INTERVAL_NS;
    return report;
}

static uint64_t elapsed(const Report *report) { return engine_nanoseconds() - report->start; }

static char *keep_text(Report *report, const char *text, size_t length) {
    char *copy = arena_alloc_raw(&report->memory, length + 1);
    memcpy(copy, text, length);
    copy[length] = 0;
    return copy;
}

// ---- samples --------------------------------------------------------------------------------------------------------------------
// Every second one goes when there is no room, and the next ones come half as often.
static void thin_out(Report *report) {
    for (unsigned i = 0; i < REPORT_SAMPLES / 2; i++) report->samples[i] = report->samples[2 * i + 1];
    report->sample_count = REPORT_SAMPLES / 2;
    report->interval *= 2;
}

static void take_sample(Engine *engine, uint64_t now) {
    Report *report = engine->report;
    if (report->sample_count == REPORT_SAMPLES) thin_out(report);
    ReportSample *sample = &report->samples[report->sample_count++];
    sample->time = now;
    count_by_tier(engine, sample->insns);
    uint64_t cost = elapsed(report) - now, pause = cost * MOST_SHARE;
    report->next_sample = now + (pause > report->interval ? pause : report->interval);
}

void report_sample(Engine *engine) {
    if (!engine->report) return;
    uint64_t now = elapsed(engine->report);
    if (now >= engine->report->next_sample) take_sample(engine, now);
}

// ---- traces ---------------------------------------------------------------------------------------------------------------------
// Where the block's bytes are: a copy, or what the guest has there.
static size_t guest_bytes(const Block *block, uint8_t *bytes, size_t room) {
    size_t size = block->guest_bytes < room ? block->guest_bytes : room;
    if (block->code) memcpy(bytes, block->code, size);
    else if (!guest_read(bytes, block->pc, size)) return 0;
    return size;
}

static char *guest_text(Engine *engine, const Block *block) {
    uint8_t bytes[4096];
    size_t size = guest_bytes(block, bytes, sizeof bytes), length = 0;
    char *text = NULL;
    FILE *out = open_memstream(&text, &length);
    if (!out) fatal("out of memory for the report");
    for (size_t done = 0; done < size;) {
        char insn[128];
        unsigned bytes_here = engine->guest->disassemble(insn, sizeof insn, bytes + done, size - done, block->pc + done);
        if (!bytes_here) break;
        fprintf(out, "%llx  %s\n", (unsigned long long)(block->pc + done), insn);
        done += bytes_here;
    }
    fclose(out);
    char *copy = keep_text(engine->report, text, length);
    free(text);
    return copy;
}

static int32_t index_of_pc(const TracePlan *plan, uint64_t pc) {
    for (uint32_t i = 0; i < plan->count; i++)
        if (plan->blocks[i]->pc == pc) return (int32_t)i;
    return -1;
}

static void add_edge(ReportBlock *block, int32_t to) {
    if (to < 0) return;
    for (uint32_t i = 0; i < block->to_count; i++)
        if (block->to[i] == (uint32_t)to) return;
    block->to[block->to_count++] = (uint32_t)to;
}

// Where a block runs into another one of the trace, the second form goes on there (opt/graph.c). -1: it does not.
static int32_t joins(const Trace *trace, uint32_t i) {
    const TracePlan *plan = &trace->plan;
    const Block *block = plan->blocks[i];
    int32_t nearest = -1;
    if (!trace->counted || trace->counted->insns[i] >= block->guest_insns) return -1;
    for (uint32_t j = 0; j < plan->count; j++) {
        const Block *other = plan->blocks[j];
        if (other->pc <= block->pc || other->pc >= block->pc + block->guest_bytes) continue;
        if (nearest < 0 || other->pc < plan->blocks[nearest]->pc) nearest = (int32_t)j;
    }
    return nearest;
}

// As the first form is one long block that may lead back to its start, and as engine/optimizer.c describes the second one.
static void find_edges(const Engine *engine, ReportTrace *r, const Trace *trace, uint32_t i) {
    const TracePlan *plan = &trace->plan;
    const Block *block = plan->blocks[i];
    ReportBlock *out = &r->blocks[i];
    bool second = trace->form == TRACE_SECOND;
    int32_t join = second ? joins(trace, i) : -1, next = i + 1 < plan->path ? (int32_t)i + 1 : -1;
    if (i + 1 == plan->path && (second || plan->loop == 0)) next = plan->loop;
    out->to = arena_alloc(&engine->report->memory, (block->host.exit_count + 2) * sizeof *out->to);
    add_edge(out, join >= 0 ? join : next);
    for (uint32_t e = 0; join < 0 && second && engine->options.hot.netplus && e < block->host.exit_count; e++) {
        const ExitRecord *exit = block->host.exits[e];
        if (exit->jump && exit->hint != KIR_JUMP_CALL) add_edge(out, index_of_pc(plan, exit->target));
    }
}

static ReportTrace *new_trace(Report *report, const Trace *trace) {
    ReportTrace *r = arena_alloc(&report->memory, sizeof *r);
    *r = (ReportTrace){.id = trace->id,
                       .pc = trace->code.pc,
                       .form = trace->form,
                       .shape = trace->plan.shape,
                       .end_of_path = trace->plan.reason,
                       .count = trace->plan.count,
                       .path = trace->plan.path,
                       .loop = trace->plan.loop,
                       .host_bytes = trace->code.host.size,
                       .rounds = trace->rounds,
                       .compile_ns = trace->compile_ns,
                       .counted = trace->counted,
                       .made = elapsed(report)};
    *report->newest = r;
    report->newest = &r->next;
    return r;
}

void report_trace(Engine *engine, const Trace *trace, const KirBlock *kir) {
    Report *report = engine->report;
    if (!report) return;
    ReportTrace *r = new_trace(report, trace);
    r->blocks = arena_alloc(&report->memory, r->count * sizeof *r->blocks);
    for (uint32_t i = 0; i < r->count; i++) {
        const Block *block = trace->plan.blocks[i];
        r->blocks[i] = (ReportBlock){.pc = block->pc, .guest = guest_text(engine, block)};
        find_edges(engine, r, trace, i);
    }
    if (kir) {
        KirText text = {0};
        kir_print(&text, kir);
        r->kir = keep_text(report, text.data, text.length);
        free(text.data);
        r->code = arena_alloc_raw(&report->memory, r->host_bytes);
        memcpy(r->code, trace->code.host.code, r->host_bytes);
    } else {
        memcpy(r->text, report->texts, sizeof r->text);
    }
    report_sample(engine);
}

void report_text(Engine *engine, const TraceResult *result) {
    Report *report = engine->report;
    if (!report) return;
    for (unsigned i = 0; i < TRACE_TEXTS; i++)
        report->texts[i] = result->text[i] ? keep_text(report, result->text[i], strlen(result->text[i])) : NULL;
}

static ReportTrace *find(Report *report, uint64_t id) {
    for (ReportTrace *r = report->traces; r; r = r->next)
        if (r->id == id) return r;
    return NULL;
}

void report_asked(Engine *engine, const Trace *trace) {
    ReportTrace *r = engine->report ? find(engine->report, trace->id) : NULL;
    if (r) r->asked = elapsed(engine->report);
}

void report_refused(Engine *engine, uint64_t id, Reason reason) {
    ReportTrace *r = engine->report ? find(engine->report, id) : NULL;
    if (!r) return;
    r->refused = (uint8_t)reason;
    r->refused_at = elapsed(engine->report);
}

void report_trace_end(Engine *engine, const Trace *trace, Reason reason) {
    ReportTrace *r = engine->report ? find(engine->report, trace->id) : NULL;
    if (!r) return;
    r->why_ended = (uint8_t)reason;
    r->ended = elapsed(engine->report);
}

// Traces that it inherits count from nothing; what they are was seen to when they were made.
void report_after_fork(Engine *engine) {
    Report *report = engine->report;
    if (!report) return;
    report->start = engine_nanoseconds();
    report->sample_count = 0;
    report->interval = FIRST_INTERVAL_NS;
    report->next_sample = 0;
    for (ReportTrace *r = report->traces; r; r = r->next) r->made = r->asked = r->refused_at = r->ended = 0;
}
