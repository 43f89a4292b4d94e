// SPDX-License-Identifier: MIT
#include "hot/hot_cases.h"
#include "hot/hot.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAMES = 300, MAX_EDGES = 1000, MAX_TEXT = 1 << 14, FIRST_ID = 1000, ID_STEP = 77 };

typedef struct Case {
    char title[200];
    HotParams params;
    bool annotated, started;
    char names[MAX_NAMES][16];
    unsigned name_count;
    struct {
        uint32_t from, to;
    } edges[MAX_EDGES];
    unsigned edge_count;
    HotRecorder rec;
    char expected[MAX_TEXT], actual[MAX_TEXT], unused[MAX_TEXT];
    const char *error;
} Case;

static void print(char *text, const char *word) {
    size_t used = strlen(text);
    snprintf(text + used, MAX_TEXT - used, "%s", word);
}

static uint32_t id_of(Case *c, const char *name) {
    unsigned i = 0;
    while (i < c->name_count && strcmp(c->names[i], name)) i++;
    if (i == MAX_NAMES) return c->error = "too many names", 0;
    if (i == c->name_count) snprintf(c->names[c->name_count++], sizeof *c->names, "%s", name);
    return FIRST_ID + ID_STEP * i;
}

static const char *name_of(const Case *c, uint32_t id) {
    unsigned i = (id - FIRST_ID) / ID_STEP;
    return i < c->name_count ? c->names[i] : "?";
}

static void add_edge(Case *c, uint32_t from, uint32_t to) {
    if (c->edge_count == MAX_EDGES) return (void)(c->error = "too many edges");
    c->edges[c->edge_count].from = from;
    c->edges[c->edge_count++].to = to;
}

static bool connected(void *context, uint32_t from, uint32_t to) {
    const Case *c = context;
    for (unsigned i = 0; i < c->edge_count; i++)
        if (c->edges[i].from == from && c->edges[i].to == to) return true;
    return false;
}

static unsigned successors(void *context, uint32_t block, uint32_t *out, unsigned room) {
    const Case *c = context;
    unsigned n = 0;
    for (unsigned i = 0; i < c->edge_count && n < room; i++)
        if (c->edges[i].from == block) out[n++] = c->edges[i].to;
    return n;
}

static Reason reason_named(Case *c, const char *name) {
    for (int i = 1; i < REASON_COUNT; i++)
        if (!strcmp(reason_name((Reason)i), name)) return (Reason)i;
    return c->error = "no such reason", REASON_EXCEPTION;
}

// ---- input ----

static void read_edges(Case *c, char *words) {
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " ")) {
        char *minus = strchr(word, '-');
        if (!minus) return (void)(c->error = "edges are FROM-TO");
        *minus = '\0';
        uint32_t from = id_of(c, word);
        add_edge(c, from, id_of(c, minus + 1));
    }
}

static void read_run(Case *c, char *words) {
    uint32_t before = 0;
    bool going = true;
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " ")) {
        if (!going) {
            print(c->unused, " ");
            print(c->unused, word);
            continue;
        }
        if (*word == '.') {
            hot_record_stop(&c->rec, reason_named(c, word + 1));
            going = false;
            continue;
        }
        HotStep step = {0};
        bool apart = !c->started;
        for (; strchr("<!~", *word); word++) {
            if (*word == '<') step.backward = true;
            if (*word == '!') step.loop_head = true;
            if (*word == '~') apart = true;
        }
        step.block = id_of(c, word);
        if (!apart) add_edge(c, before, step.block);
        before = step.block;
        if (c->started) going = hot_record_next(&c->rec, step);
        else hot_record_start(&c->rec, &c->params, step.block);
        c->started = true;
    }
}

static bool read_param(Case *c, const char *key, const char *value) {
    if (!strcmp(key, "select")) return hot_select_parse(value, &c->params.select);
    for (unsigned i = 0; i < hot_param_count; i++) {
        const HotParamInfo *info = &hot_param_info[i];
        if (strcmp(info->name, key)) continue;
        unsigned number = (unsigned)strtoul(value, NULL, 10);
        void *field = (char *)&c->params + info->offset;
        if (info->is_switch) *(bool *)field = number;
        else *(unsigned *)field = number;
        return number >= info->least && number <= info->greatest;
    }
    return false;
}

static void read_line(Case *c, char *line) {
    static const char *const outputs[] = {"end", "still", "unused", "path", "plus", "dropped"};
    size_t key_size = strcspn(line, " ");
    char key[32], *rest = line + key_size + (line[key_size] == ' ');
    snprintf(key, sizeof key, "%.*s", (int)key_size, line);
    for (unsigned i = 0; i < sizeof outputs / sizeof *outputs; i++) {
        if (strcmp(key, outputs[i])) continue;
        print(c->expected, line);
        print(c->expected, "\n");
        return;
    }
    if (!strcmp(key, "run")) read_run(c, rest);
    else if (!strcmp(key, "edges")) read_edges(c, rest);
    else if (!strcmp(key, "annotated")) c->annotated = true;
    else if (!read_param(c, key, rest)) c->error = "not a line of a case";
}

// ---- output ----

static void print_blocks(Case *c, const uint32_t *blocks, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        print(c->actual, " ");
        print(c->actual, name_of(c, blocks[i]));
    }
}

static void print_path(Case *c, HotPath *path) {
    print(c->actual, "path ");
    print(c->actual, hot_shape_name(path->shape));
    print(c->actual, ":");
    print_blocks(c, path->blocks, path->count);
    if (path->shape == HOT_6) {
        print(c->actual, " -> ");
        print(c->actual, name_of(c, path->blocks[path->loop]));
    }
    if (path->cut) {
        print(c->actual, " cut ");
        print(c->actual, reason_name(path->cut));
    }
    print(c->actual, "\n");
    if (!hot_netplus(path, &c->params, c->annotated, successors, c)) return;
    print(c->actual, "plus");
    print_blocks(c, path->blocks + path->count, path->added);
    print(c->actual, "\n");
}

static void print_result(Case *c) {
    if (!c->rec.reason) {
        print(c->actual, "still recording\n");
        return;
    }
    print(c->actual, "end ");
    print(c->actual, reason_name(c->rec.reason));
    print(c->actual, "\n");
    if (*c->unused) {
        print(c->actual, "unused");
        print(c->actual, c->unused);
        print(c->actual, "\n");
    }
    HotPaths paths;
    hot_paths(&c->rec, &c->params, connected, c, &paths);
    for (unsigned i = 0; i < paths.count; i++) print_path(c, &paths.path[i]);
    if (!paths.dropped) return;
    print(c->actual, "dropped ");
    print(c->actual, reason_name(paths.dropped));
    print(c->actual, "\n");
}

static void finish(Case *c, void (*check)(bool ok, const char *what, const char *detail)) {
    if (!c->started && !c->error) c->error = "it has no run";
    if (!c->error) print_result(c);
    bool good = !c->error && !strcmp(c->actual, c->expected);
    if (!good && !c->error) printf("---- expected:\n%s---- but it was:\n%s", c->expected, c->actual);
    check(good, c->title, c->error ? c->error : "");
}

unsigned hot_cases_run(const char *file, void (*check)(bool ok, const char *what, const char *detail)) {
    FILE *in = fopen(file, "r");
    Case *c = calloc(1, sizeof *c);
    c->params = hot_params_default();
    HotParams common = c->params;
    char line[2000];
    unsigned cases = 0;
    while (in && fgets(line, sizeof line, in)) {
        line[strcspn(line, "#\n")] = '\0';
        for (size_t n = strlen(line); n && line[n - 1] == ' '; n--) line[n - 1] = '\0';
        char *start = line + strspn(line, " ");
        if (!*start) continue;
        if (strncmp(start, "case ", 5)) {
            read_line(c, start);
            continue;
        }
        if (cases) finish(c, check);
        else common = c->params;
        cases++;
        memset(c, 0, sizeof *c);
        c->params = common;
        snprintf(c->title, sizeof c->title, "%s: %s", strrchr(file, '/') + 1, start + 5);
    }
    if (cases) finish(c, check);
    if (in) fclose(in);
    free(c);
    return cases;
}
