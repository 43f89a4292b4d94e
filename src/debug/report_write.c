// SPDX-License-Identifier: MIT
//
// What was collected, as JSON in the page.
#include "debug/report_html.h" // made from report.html: what comes before the data, what comes after it
#include "debug/report_internal.h"
#include "base/error.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MOST_IN_FULL = 40, MOST_TRACES = 2000, MOST_ROWS = 40 };

// ---- JSON -----------------------------------------------------------------------------------------------------------------------
// `<` is escaped too: nothing in the data can end the script that it stands in.
static void put_string(FILE *out, const char *text) {
    fputc('"', out);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\') fprintf(out, "\\%c", *p);
        else if (*p == '\n') fputs("\\n", out);
        else if (*p < 0x20 || *p == '<' || *p >= 0x7f) fprintf(out, "\\u%04x", *p);
        else fputc(*p, out);
    }
    fputc('"', out);
}

static void put_key(FILE *out, const char *key) { fprintf(out, "\"%s\":", key); }

static void put_text(FILE *out, const char *key, const char *text) {
    if (!text) return;
    put_key(out, key);
    put_string(out, text);
    fputc(',', out);
}

static void put_number(FILE *out, const char *key, uint64_t value) { fprintf(out, "\"%s\":%llu,", key, (unsigned long long)value); }

// Every object and list ends with an element that says nothing, so that the others may end with a comma.
static void end_object(FILE *out) { fputs("\"_\":0}", out); }
static void begin_list(FILE *out, const char *key) { fprintf(out, "\"%s\":[", key); }
static void end_list(FILE *out) { fputs("null],", out); }

static void put_place(const Engine *engine, FILE *out, const char *key, uint64_t pc) {
    char text[300];
    uint64_t offset = 0;
    const char *symbol = engine->hooks.symbol ? engine->hooks.symbol(pc, &offset) : NULL;
    if (!symbol) snprintf(text, sizeof text, "0x%llx", (unsigned long long)pc);
    else if (offset) snprintf(text, sizeof text, "%.255s+0x%llx", symbol, (unsigned long long)offset);
    else snprintf(text, sizeof text, "%.255s", symbol);
    put_text(out, key, text);
}

static void put_pc(FILE *out, const char *key, uint64_t pc) { fprintf(out, "\"%s\":\"%llx\",", key, (unsigned long long)pc); }

// ---- traces ---------------------------------------------------------------------------------------------------------------------
static int by_head(const void *a, const void *b) {
    const ReportTrace *x = *(ReportTrace *const *)a, *y = *(ReportTrace *const *)b;
    return x->pc != y->pc ? (x->pc < y->pc ? -1 : 1) : x->id < y->id ? -1 : x->id > y->id;
}

// The hottest come first; those of one head stay together.
static int by_heat(const void *a, const void *b) {
    const ReportTrace *x = *(ReportTrace *const *)a, *y = *(ReportTrace *const *)b;
    return x->insns != y->insns ? (x->insns > y->insns ? -1 : 1) : by_head(a, b);
}

static uint64_t insns_in(const ReportTrace *r) {
    uint64_t insns = 0;
    for (uint32_t i = 0; r->counted && i < r->counted->count; i++) insns += r->counted->blocks[i].executed * r->counted->insns[i];
    return insns;
}

// Sorted by what was executed from the same head, in whatever form. Returns their number.
static unsigned sorted_traces(const Report *report, ReportTrace ***list) {
    unsigned count = 0, n = 0;
    for (const ReportTrace *r = report->traces; r; r = r->next) count++;
    ReportTrace **all = *list = calloc(count + 1, sizeof *all);
    if (!all) fatal("out of memory for the report");
    for (ReportTrace *r = report->traces; r; r = r->next) all[n++] = r;
    qsort(all, count, sizeof *all, by_head);
    for (unsigned first = 0, last; first < count; first = last) {
        uint64_t insns = 0;
        for (last = first; last < count && all[last]->pc == all[first]->pc; last++) insns += insns_in(all[last]);
        for (unsigned i = first; i < last; i++) all[i]->insns = insns;
    }
    qsort(all, count, sizeof *all, by_heat);
    return count;
}

static void choose_in_full(ReportTrace *const *traces, unsigned count) {
    unsigned heads = 0;
    for (unsigned i = 0; i < count; i++) {
        heads += !i || traces[i]->pc != traces[i - 1]->pc;
        traces[i]->in_full = heads <= MOST_IN_FULL;
    }
}

static void put_blocks(const Engine *engine, FILE *out, const ReportTrace *r) {
    begin_list(out, "blocks");
    for (uint32_t i = 0; i < r->count; i++) {
        const ReportBlock *block = &r->blocks[i];
        const KirCount none = {0}, *count = r->counted ? &r->counted->blocks[i] : &none;
        fputc('{', out);
        put_pc(out, "pc", block->pc);
        put_place(engine, out, "at", block->pc);
        put_number(out, "insns", r->counted ? r->counted->insns[i] : 0);
        put_number(out, "runs", count->executed);
        put_number(out, "indirect", count->left_indirectly);
        begin_list(out, "to");
        for (uint32_t j = 0; j < block->to_count; j++) fprintf(out, "%u,", block->to[j]);
        end_list(out);
        if (r->in_full) put_text(out, "guest", block->guest);
        end_object(out);
        fputc(',', out);
    }
    end_list(out);
}

static void put_exits(const Engine *engine, FILE *out, const ReportTrace *r) {
    begin_list(out, "exits");
    for (uint32_t i = 0; r->counted && i < r->counted->exit_count; i++) {
        const ExitSum *exit = &r->counted->exits[i];
        if (exit->polls && !exit->count) continue;
        fprintf(out, "{\"block\":%u,", exit->block);
        put_pc(out, "pc", exit->target);
        put_place(engine, out, "at", exit->target);
        put_number(out, "taken", exit->count);
        put_text(out, "kind", exit->polls ? "poll" : exit->kind == KIR_EXIT_EXCEPTION ? "exception" : "direct");
        end_object(out);
        fputc(',', out);
    }
    end_list(out);
}

static void put_hex(FILE *out, const ReportTrace *r) {
    char *text = NULL;
    size_t length = 0;
    FILE *hex = open_memstream(&text, &length);
    if (!hex) return;
    for (uint32_t i = 0; i < r->host_bytes; i++)
        fprintf(hex, "%02x%s", r->code[i], i % 16 == 15 || i + 1 == r->host_bytes ? "\n" : " ");
    fclose(hex);
    put_text(out, "host", text);
    free(text);
}

static void put_code(FILE *out, const ReportTrace *r, const char *disassembled) {
    put_text(out, "kir", r->kir);
    put_text(out, "llvm", r->text[TRACE_TEXT_LLVM]);
    put_text(out, "llvmOptimised", r->text[TRACE_TEXT_LLVM_OPT]);
    if (r->text[TRACE_TEXT_ASM]) put_text(out, "host", r->text[TRACE_TEXT_ASM]);
    else if (disassembled) put_text(out, "host", disassembled);
    else if (r->code) put_hex(out, r);
}

static void put_trace(const Engine *engine, FILE *out, const ReportTrace *r, const char *disassembled) {
    fputc('{', out);
    put_number(out, "id", r->id);
    put_pc(out, "pc", r->pc);
    put_place(engine, out, "at", r->pc);
    put_number(out, "form", r->form == TRACE_FIRST ? 1 : 2);
    put_text(out, "shape", hot_shape_name((HotShape)r->shape));
    put_text(out, "end", reason_name((Reason)r->end_of_path));
    put_number(out, "path", r->path);
    fprintf(out, "\"loop\":%d,", r->loop);
    put_number(out, "bytes", r->host_bytes);
    put_number(out, "rounds", r->rounds);
    put_number(out, "insns", insns_in(r));
    put_number(out, "made", r->made);
    put_number(out, "compile", r->compile_ns);
    put_number(out, "asked", r->asked);
    put_number(out, "refusedAt", r->refused_at);
    if (r->refused) put_text(out, "refused", reason_name((Reason)r->refused));
    put_number(out, "ended", r->ended);
    if (r->why_ended) put_text(out, "whyEnded", reason_name((Reason)r->why_ended));
    put_blocks(engine, out, r);
    put_exits(engine, out, r);
    if (r->in_full) put_code(out, r, disassembled);
    end_object(out);
    fputs(",\n", out);
}

static void put_traces(Engine *engine, FILE *out) {
    ReportTrace **traces;
    unsigned count = sorted_traces(engine->report, &traces), in_full = 0;
    for (const Trace *trace = engine->traces.oldest; trace; trace = trace->next) count_take_exits(engine, trace);
    choose_in_full(traces, count);
    while (in_full < count && traces[in_full]->in_full) in_full++;
    char **texts = calloc(in_full + 1, sizeof *texts);
    if (!texts) fatal("out of memory for the report");
    bool disassembled = report_disassemble(traces, in_full, texts);
    put_number(out, "disassembled", disassembled);
    put_number(out, "traceCount", count);
    begin_list(out, "traces");
    for (unsigned i = 0; i < count && i < MOST_TRACES; i++) put_trace(engine, out, traces[i], i < in_full ? texts[i] : NULL);
    end_list(out);
    for (unsigned i = 0; i < in_full; i++) free(texts[i]);
    free(texts);
    free(traces);
}

// ---- by function, by block --------------------------------------------------------------------------------------------------------
typedef struct Row {
    const char *symbol; // or NULL
    uint64_t pc, insns[COUNT_TIERS], all, runs;
} Row;

static int by_symbol(const void *a, const void *b) {
    const Row *x = a, *y = b;
    if (x->symbol != y->symbol) return (uintptr_t)x->symbol < (uintptr_t)y->symbol ? -1 : 1;
    return x->pc < y->pc ? -1 : x->pc > y->pc;
}

static int by_insns(const void *a, const void *b) {
    const Row *x = a, *y = b;
    return x->all != y->all ? (x->all > y->all ? -1 : 1) : by_symbol(a, b);
}

// Adds up rows that are the same, hottest first; returns how many are left.
static unsigned merge(Row *rows, unsigned count) {
    unsigned kept = 0;
    qsort(rows, count, sizeof *rows, by_symbol);
    for (unsigned i = 0; i < count; i++) {
        Row one = rows[i]; // its place may become that of the sum
        if (!kept || by_symbol(&rows[kept - 1], &one)) {
            rows[kept++] = one;
            continue;
        }
        Row *row = &rows[kept - 1];
        for (unsigned tier = 0; tier < COUNT_TIERS; tier++) row->insns[tier] += one.insns[tier];
        row->all += one.all;
        row->runs += one.runs;
    }
    qsort(rows, kept, sizeof *rows, by_insns);
    return kept;
}

typedef struct Rows {
    Row *rows;
    unsigned count, room;
} Rows;

static void add_row(Rows *rows, const char *symbol, uint64_t pc, CountTier tier, uint64_t insns, uint64_t runs) {
    if (!insns) return;
    if (rows->count == rows->room) {
        rows->room = rows->room ? 2 * rows->room : 1024;
        rows->rows = reallocarray(rows->rows, rows->room, sizeof *rows->rows);
        if (!rows->rows) fatal("out of memory for the report");
    }
    Row *row = &rows->rows[rows->count++];
    *row = (Row){.symbol = symbol, .pc = pc, .all = insns, .runs = runs};
    row->insns[tier] = insns;
}

static void put_rows(const Engine *engine, FILE *out, const char *key, const Rows *rows, unsigned count) {
    begin_list(out, key);
    for (unsigned i = 0; i < count && i < MOST_ROWS; i++) {
        const Row *row = &rows->rows[i];
        fputc('{', out);
        if (row->pc) put_place(engine, out, "name", row->pc);
        else put_text(out, "name", row->symbol ? row->symbol : "(no name)");
        put_number(out, "runs", row->runs);
        begin_list(out, "insns");
        for (unsigned tier = 0; tier < COUNT_TIERS; tier++) fprintf(out, "%llu,", (unsigned long long)row->insns[tier]);
        end_list(out);
        end_object(out);
        fputs(",\n", out);
    }
    end_list(out);
}

static void put_profile(const Engine *engine, FILE *out) {
    Rows functions = {0}, blocks = {0};
    uint64_t offset;
    for (const Counted *c = engine->counted; c; c = c->next) {
        if (c->tier != COUNT_INTERPRETED && c->tier != COUNT_BLOCKS) continue;
        uint64_t insns = c->blocks[0].executed * c->insns[0];
        const char *symbol = insns && engine->hooks.symbol ? engine->hooks.symbol(c->pc, &offset) : NULL;
        add_row(&functions, symbol, 0, c->tier, insns, 0);
        add_row(&blocks, NULL, c->pc, c->tier, insns, c->blocks[0].executed);
    }
    for (const ReportTrace *r = engine->report->traces; r; r = r->next) {
        CountTier tier = r->form == TRACE_FIRST ? COUNT_FIRST : COUNT_SECOND;
        for (uint32_t i = 0; r->counted && i < r->count; i++) {
            const char *symbol = engine->hooks.symbol ? engine->hooks.symbol(r->blocks[i].pc, &offset) : NULL;
            add_row(&functions, symbol, 0, tier, r->counted->blocks[i].executed * r->counted->insns[i], 0);
        }
    }
    put_rows(engine, out, "functions", &functions, merge(functions.rows, functions.count));
    put_rows(engine, out, "coldBlocks", &blocks, merge(blocks.rows, blocks.count));
    free(functions.rows);
    free(blocks.rows);
}

// ---- the rest -------------------------------------------------------------------------------------------------------------------
static void put_samples(const Report *report, FILE *out) {
    begin_list(out, "samples");
    for (unsigned i = 0; i < report->sample_count; i++) {
        const ReportSample *sample = &report->samples[i];
        fprintf(out, "[%llu", (unsigned long long)sample->time);
        for (unsigned tier = 0; tier < COUNT_TIERS; tier++) fprintf(out, ",%llu", (unsigned long long)sample->insns[tier]);
        fputs("],", out);
    }
    end_list(out);
}

static void put_reasons(const Engine *engine, FILE *out) {
    begin_list(out, "reasons");
    for (unsigned i = REASON_NONE + 1; i < REASON_COUNT; i++) {
        if (!engine->reasons[i]) continue;
        fputc('{', out);
        put_text(out, "name", reason_name((Reason)i));
        put_text(out, "meaning", reason_meaning((Reason)i));
        put_number(out, "count", engine->reasons[i]);
        end_object(out);
        fputc(',', out);
    }
    end_list(out);
}

static void put_counters(const Engine *engine, FILE *out) {
    begin_list(out, "counters");
#define COUNTER(field, what)                                                                                                       \
    fputs("{", out);                                                                                                               \
    put_text(out, "name", #field);                                                                                                 \
    put_text(out, "meaning", what);                                                                                                \
    put_number(out, "value", engine->counters.field);                                                                              \
    end_object(out);                                                                                                               \
    fputs(",\n", out);
#include "engine/counters.def"
#undef COUNTER
    end_list(out);
}

static void put_command(FILE *out, char *const *command) {
    begin_list(out, "command");
    for (; *command; command++) {
        put_string(out, *command);
        fputc(',', out);
    }
    end_list(out);
}

static const char *mode_name(EngineMode mode) {
    static const char *const names[] = {"none", "block", "hybrid-sync", "hybrid"};
    return names[mode];
}

void report_write(Engine *engine, FILE *out, char *const *command) {
    Report *report = engine->report;
    if (!report) return;
    report->next_sample = 0;
    report_sample(engine);
    fwrite(report_html_head, 1, sizeof report_html_head, out);
    fputc('{', out);
    put_command(out, command);
    put_text(out, "guest", engine->guest->name);
    put_text(out, "mode", engine->tracing ? mode_name(engine->options.mode) : "none");
    put_text(out, "select", hot_select_name(engine->options.hot.select));
    put_number(out, "threshold", engine->options.hot.threshold);
    put_number(out, "pid", (uint64_t)getpid());
    put_number(out, "written", (uint64_t)time(NULL));
    put_number(out, "elapsed", engine_nanoseconds() - report->start);
    put_samples(report, out);
    put_traces(engine, out);
    put_profile(engine, out);
    put_reasons(engine, out);
    put_counters(engine, out);
    end_object(out);
    fwrite(report_html_tail, 1, sizeof report_html_tail, out);
}
