// SPDX-License-Identifier: MIT
//
// The hot-path engine, on invented executions.
//
//   cases         hot/*.hot: executions and the paths worked out by hand, every variant (format: hot/hot_cases.h)
//   heads         the three rules, the transitions of states (also from several threads at once), failures
//   coverage, worth, annotations, parameters (docs/trace-selection.md has the same table)
//   random        walks through random graphs: what must hold for every path and region
#include "hot/hot_cases.h"
#include "hot/hot_random.h"
#include "hot/hot.h"
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CASES_FOLDER TEST_DIR "/hot"
#define MANUAL       TEST_DIR "/../../docs/trace-selection.md"

enum { RANDOM_ROUNDS = 20000, FEWEST_CASES = 80, RACERS = 3, RACES = 2000 };

static unsigned passed, failed;

static void check(bool ok, const char *what, const char *detail) {
    if (ok) {
        passed++;
        return;
    }
    failed++;
    printf("FAIL %s%s%s\n", what, *detail ? ": " : "", detail);
}

static void test_cases(void) {
    DIR *folder = opendir(CASES_FOLDER);
    unsigned cases = 0;
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        const char *dot = strrchr(entry->d_name, '.');
        char path[4096];
        if (!dot || strcmp(dot, ".hot")) continue;
        snprintf(path, sizeof path, CASES_FOLDER "/%s", entry->d_name);
        cases += hot_cases_run(path, check);
    }
    if (folder) closedir(folder);
    check(cases >= FEWEST_CASES, "all files with cases were found", "");
}

// ---- heads ----

static void test_rules(void) {
    // Columns: first arrival, seen before, first arrival backward, seen before and backward.
    static const struct {
        HotArrival how;
        HotSelect select;
        const char *potential;
    } rows[] = {
        {HOT_BY_TRACE_EXIT, HOT_NET, "yyyy"},       {HOT_BY_INDIRECT, HOT_NET, "yyyy"},
        {HOT_BY_ENGINE, HOT_NET, "yyyy"},           {HOT_BY_TRACE_EXIT, HOT_NET_STRICT, "yyyy"},
        {HOT_BY_INDIRECT, HOT_NET_STRICT, "yyyy"},  {HOT_BY_ENGINE, HOT_NET_STRICT, "yyyy"},
        {HOT_BY_TRACE_EXIT, HOT_TRACETREE, "yyyy"}, {HOT_BY_INDIRECT, HOT_TRACETREE, "yyyy"},
        {HOT_BY_ENGINE, HOT_TRACETREE, "yyyy"},     {HOT_BY_LINK, HOT_NET, "-y-y"},
        {HOT_BY_LINK, HOT_NET_STRICT, "--yy"},      {HOT_BY_LINK, HOT_TRACETREE, "-y-y"},
        {HOT_BY_DISPATCH, HOT_NET, "-y-y"},         {HOT_BY_DISPATCH, HOT_NET_STRICT, "--yy"},
        {HOT_BY_DISPATCH, HOT_TRACETREE, "-y-y"},
    };
    HotParams params = hot_params_default();
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        for (unsigned column = 0; column < 4; column++) {
            params.select = rows[i].select;
            bool potential = hot_is_potential_head(&params, rows[i].how, column & 1, column & 2);
            char what[100];
            snprintf(what, sizeof what, "potential head: arrival %d, %s, column %u", rows[i].how, hot_select_name(rows[i].select),
                     column);
            check(potential == (rows[i].potential[column] == 'y'), what, "");
        }
}

static void test_states(void) {
    static const char *const table[HOT_STATE_COUNT] = {
        // to: none active trace-head optimized invalid
        [HOT_NONE] = "-yy-y",      [HOT_ACTIVE] = "--y-y",  [HOT_TRACE_HEAD] = "-y-yy",
        [HOT_OPTIMIZED] = "-y--y", [HOT_INVALID] = "-----",
    };
    for (unsigned from = 0; from < HOT_STATE_COUNT; from++)
        for (unsigned to = 0; to < HOT_STATE_COUNT; to++) {
            bool expected = table[from][to] == 'y';
            char what[100];
            snprintf(what, sizeof what, "%s to %s", hot_state_name((HotState)from), hot_state_name((HotState)to));
            check(hot_state_allowed((HotState)from, (HotState)to) == expected, what, "");
            if (!expected) continue;
            HotState state = (HotState)from;
            check(hot_state_change(&state, (HotState)from, (HotState)to) && state == (HotState)to, what, "changed");
            state = from == HOT_NONE ? HOT_ACTIVE : HOT_NONE;
            HotState other = state;
            check(!hot_state_change(&state, (HotState)from, (HotState)to) && state == other, what, "not from another state");
        }
}

// Several threads fight for one head; each change must be won by one of them.
typedef struct Race {
    pthread_barrier_t *barrier;
    HotHead *head;
    const HotParams *params;
    unsigned won;
} Race;

static void *race(void *argument) {
    Race *r = argument;
    for (unsigned i = 0; i < RACES; i++) {
        pthread_barrier_wait(r->barrier);
        r->won += hot_state_change(&r->head->state, HOT_ACTIVE, HOT_TRACE_HEAD);
        pthread_barrier_wait(r->barrier);
        hot_head_fail(r->head, r->params, REASON_TOO_SHORT);
    }
    return NULL;
}

static void test_race(void) {
    HotParams params = hot_params_default();
    params.max_attempts = 255;
    HotHead head;
    hot_head_init(&head, &params);
    head.state = HOT_ACTIVE;
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, RACERS);
    Race racers[RACERS];
    pthread_t threads[RACERS];
    for (unsigned i = 0; i < RACERS; i++) {
        racers[i] = (Race){&barrier, &head, &params, 0};
        pthread_create(&threads[i], NULL, race, &racers[i]);
    }
    unsigned won = 0;
    for (unsigned i = 0; i < RACERS; i++) pthread_join(threads[i], NULL), won += racers[i].won;
    pthread_barrier_destroy(&barrier);
    check(won == RACES, "each change of state has one winner", "");
    check(head.state == HOT_ACTIVE && head.attempts == 255 && head.threshold == UINT32_MAX, "each failure counts once, none wraps",
          "");
}

static void test_failures(void) {
    HotParams params = hot_params_default();
    HotHead head;
    hot_head_init(&head, &params);
    check(head.state == HOT_NONE && head.threshold == params.threshold && !head.attempts, "a new head", "");
    check(hot_head_fail(&head, &params, REASON_TOO_SHORT) == REASON_NONE && head.state == HOT_NONE && !head.attempts,
          "what was never a head does not fail", "");
    for (unsigned i = 1; i <= 6; i++) {
        head.state = i & 1 ? HOT_TRACE_HEAD : HOT_OPTIMIZED;
        check(!hot_head_given_up(&head, &params), "five failures are borne", "");
        Reason reason = hot_head_fail(&head, &params, i & 1 ? REASON_TOO_SHORT : REASON_EVICTED);
        check(reason == (i == 6 ? REASON_GIVEN_UP : REASON_NONE), "the sixth failure is the last", "");
        check(head.state == HOT_ACTIVE && head.threshold == params.threshold << i && head.attempts == i,
              "a failure doubles the threshold", "");
    }
    check(hot_head_given_up(&head, &params), "given up", "");
    head.state = HOT_OPTIMIZED; // as the head of another path's inner cycle
    check(hot_head_fail(&head, &params, REASON_EVICTED) == REASON_NONE && head.attempts == 6, "given up once only", "");
    hot_head_init(&head, &params);
    head.state = HOT_TRACE_HEAD;
    hot_head_fail(&head, &params, REASON_INTERRUPTED);
    check(head.state == HOT_ACTIVE && head.threshold == params.threshold && !head.attempts, "an interruption costs no attempt", "");
    head.state = HOT_INVALID;
    hot_head_fail(&head, &params, REASON_EVICTED);
    check(head.state == HOT_INVALID && !head.attempts, "what is gone stays gone", "");
}

// ---- coverage ----

static HotPath path_of(const char *blocks, unsigned added) {
    HotPath path = {.loop = -1};
    for (; blocks[path.count]; path.count++) path.blocks[path.count] = (uint32_t)blocks[path.count];
    path.count -= added;
    path.added = added;
    return path;
}

static void test_coverage(void) {
    static const struct {
        const char *a, *b;
        unsigned a_added, b_added;
        bool covered;
        const char *what;
    } rows[] = {
        {"ABCDE", "ABCDE", 0, 0, true, "the same path"},
        {"ABCDE", "XABCD", 0, 0, true, "four of five, exactly 80 %"},
        {"ABCDE", "XABC", 0, 0, false, "three of five"},
        {"ABCDE", "BCDEX", 0, 0, false, "the head is not in it"},
        {"A", "XYA", 0, 0, true, "one block"},
        {"A", "XY", 0, 0, false, "one block elsewhere"},
        {"ABCDEFGHI", "ABCDEFG", 0, 0, false, "seven of nine"},
        {"ABCDEFGHI", "ABCDEFGH", 0, 0, true, "eight of nine"},
        {"ABCDE", "XABCDEYZ", 0, 3, true, "added blocks cover too"},
        {"ABCDXY", "ABCD", 2, 0, false, "added blocks must be covered too"},
        {"", "ABC", 0, 0, false, "nothing"},
    };
    HotParams params = hot_params_default();
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        HotPath a = path_of(rows[i].a, rows[i].a_added), b = path_of(rows[i].b, rows[i].b_added);
        check(hot_covered(&a, &b, &params) == rows[i].covered, "coverage", rows[i].what);
    }
    HotPath a = path_of("ABCDE", 0), b = path_of("AB", 0);
    params.covered = 40;
    check(hot_covered(&a, &b, &params), "coverage", "another percentage");
}

// ---- branches that go either way ----

static HotRecorder record_of(const HotParams *params, const char *blocks) {
    HotRecorder rec;
    hot_record_start(&rec, params, (uint32_t)*blocks);
    while (*++blocks) hot_record_next(&rec, (HotStep){.block = (uint32_t)*blocks});
    hot_record_stop(&rec, REASON_EXCEPTION);
    return rec;
}

static void test_unsteady(void) {
    HotParams params = hot_params_default();
    params.branch_samples = 4;
    params.steady = 85;
    check(!hot_is_unsteady(&params, 0, 3), "too few recordings have seen it", "");
    check(hot_is_unsteady(&params, 3, 4) && hot_is_unsteady(&params, 84, 100), "less than 85 %", "");
    check(!hot_is_unsteady(&params, 4, 4) && !hot_is_unsteady(&params, 85, 100), "85 % and more", "");
    params.steady = 0;
    check(!hot_is_unsteady(&params, 0, 100), "switched off", "");
    HotRecorder straight = record_of(&params, "ABCDE"), loop = record_of(&params, "ABCDA"), late = record_of(&params, "ABCDB");
    hot_record_cut(&straight, 3, REASON_UNSTEADY);
    check(straight.count == 3 && straight.reason == REASON_UNSTEADY, "cut behind the third block", "");
    hot_record_cut(&straight, 4, REASON_UNSTEADY);
    check(straight.count == 3, "a later branch does not matter", "");
    hot_record_cut(&loop, 2, REASON_UNSTEADY);
    check(loop.count == 4 && loop.reason == REASON_HEAD_REPEATED, "a loop is not cut", "");
    hot_record_cut(&late, 1, REASON_UNSTEADY);
    check(late.count == 4 && late.reason == REASON_BLOCK_REPEATED, "nor what leads into one", "");
}

// ---- worth ----

static void test_worth(void) {
    HotParams params = hot_params_default();
    check(hot_worth(&(HotCost){.insns = 100, .ops = 200, .loop = true, .completed = 100}, &params, &(HotCompileCost){0}) == 1100000,
          "the manual's example", "");
    check(hot_worth(&(HotCost){.insns = 100, .ops = 200, .completed = 50}, &params, &(HotCompileCost){0}) == 1375000,
          "the same, no loop", "");
    check(hot_worth(&(HotCost){.insns = 20, .ops = 40, .completed = 100}, &params, &(HotCompileCost){0}) == UINT64_MAX,
          "too short to enter and leave", "");
    check(hot_worth(&(HotCost){.insns = 100, .ops = 200, .completed = 49}, &params, &(HotCompileCost){0}) == UINT64_MAX,
          "left early", "");
    check(hot_worth(&(HotCost){.insns = 100, .ops = 200, .loop = true, .completed = 1}, &params, &(HotCompileCost){0}) == 1375000,
          "a loop of few rounds", "");
    params.budget = 25, params.budget_ms = 10;
    check(hot_within_budget(&params, 0, 10000000, 0) && !hot_within_budget(&params, 1, 10000000, 0), "the start", "");
    check(hot_within_budget(&params, 200000000, 60000000, 1000000000) &&
              !hot_within_budget(&params, 200000000, 60000001, 1000000000),
          "a quarter of a second in a second", "");
    HotPurchase bought = {.price_ns = 6000, .saving_ns = 4000, .within_ns = 20000, .since_ns = 1000};
    check(hot_earned(&bought, 0) == 0 && hot_earned(&bought, 1000) == 0 && hot_earned(&bought, 21000) == 2000,
          "half of what it saved", "");
    check(hot_earned(&bought, 61000) == 6000 && hot_earned(&bought, UINT64_MAX) == 6000, "never more than its price", "");
    check(hot_earned(&(HotPurchase){.price_ns = 5, .saving_ns = UINT64_MAX}, UINT64_MAX) == 5 &&
              hot_earned(&(HotPurchase){0}, 9) == 0,
          "earned at once, nothing to earn", "");
    check(hot_saving(&(HotCost){.insns = 100, .executions = 1000000, .completed = 50}, &params) == 4000000,
          "what a path could have saved", "");
    HotCost loop = {.insns = 100, .executions = 1000000, .completed = 100, .loop = true};
    loop.floats = 10;
    check(hot_saving(&loop, &params) == 8000000, "floating point saves more", "");
    check(!hot_within_budget(&params, UINT64_MAX, UINT64_MAX, 1) && hot_within_budget(&params, 1, 1, UINT64_MAX), "no overflow",
          "");
    params.entry_ps = 0;
    params.compile_ns = 1000;
    params.compile_fixed_us = 10;
    params.saving_ps = 500;
    HotCompileCost cost = {0};
    check(hot_cost_expected(&cost, &params, 90) == 100000, "cost before anything was measured", "");
    // 100 µs against 20 instructions of 0.5 ns = 10 ns an execution
    HotCost what = {.executions = 0, .insns = 20, .ops = 90, .completed = 100};
    check(hot_worth(&what, &params, &cost) == 10000, "break-even", "");
    what.executions = 4000;
    check(hot_worth(&what, &params, &cost) == 6000, "what it has run counts", "");
    what.executions = 10000;
    check(hot_worth(&what, &params, &cost) == 0, "now", "");
    what.executions = UINT64_MAX;
    check(hot_worth(&what, &params, &cost) == 0, "long ago", "");
    what.executions = 0, what.insns = 0;
    check(hot_worth(&what, &params, &cost) == UINT64_MAX, "an empty path never", "");
    what.insns = 19;
    check(hot_worth(&what, &params, &cost) == 10527, "rounded up", "");
    for (unsigned i = 0; i < 100; i++) hot_cost_measured(&cost, &params, 90, 10000 + 90 * 3000);
    check(cost.ns_per_op > 2900 && cost.ns_per_op <= 3000, "the average follows what is measured", "");
    for (unsigned i = 0; i < 1000; i++) hot_cost_measured(&cost, &params, 1, UINT64_MAX);
    check(hot_cost_expected(&cost, &params, UINT32_MAX) > UINT32_MAX && hot_worth(&what, &params, &cost) > 0,
          "absurd times are borne", "");
    for (unsigned i = 0; i < 1000; i++) hot_cost_measured(&cost, &params, 90, 0);
    check(cost.ns_per_op >= 1 && cost.ns_per_op < 10, "no time at all", "");
    uint64_t before = cost.ns_per_op;
    hot_cost_measured(&cost, &params, 0, 1000);
    check(cost.ns_per_op == before, "nothing compiled, nothing learned", "");
}

// ---- annotations ----

static void test_annotations(void) {
    static const struct {
        const char *text, *printed, *error;
        unsigned line;
    } rows[] = {
        {"", "", NULL, 0},
        {"# nothing\n\n   \n", "", NULL, 0},
        {"10a4c\n", "1:10a4c ", NULL, 0},
        {"0x10a4c", "1:10a4c ", NULL, 0},
        {"  0X10A4C # the loop\r\n", "1:10a4c ", NULL, 0},
        {"main\n", "1:main+0 ", NULL, 0},
        {"main+28\nmain+0x1c\n", "1:main+1c 2:main+1c ", NULL, 0},
        {"# c\n\nadd # a symbol, though it looks like a number\n0add\n", "3:add+0 4:add ", NULL, 0},
        {"_ZN3fooC2Ev.part.0@V1+8\n", "1:_ZN3fooC2Ev.part.0@V1+8 ", NULL, 0},
        {"0xffffffffffffffff\n", "1:ffffffffffffffff ", NULL, 0},
        {"1\n2\n10000000000000000\n", "1:1 2:2 ", "the number does not fit in 64 bits", 3},
        {"1\n\nmain 4\n", "1:1 ", "there is more than a symbol or an address", 3},
        {"12g4\n", "", "there is more than a symbol or an address", 1},
        {"main+\n", "", "a number is missing", 1},
        {"main+0x\n", "", "there is more than a symbol or an address", 1},
        {"main+f\n", "", "a number is missing", 1},
        {"main+1+2\n", "", "there is more than a symbol or an address", 1},
        {"+4\n", "", "a symbol or an address is missing", 1},
        {"main+18446744073709551616\n", "", "the number does not fit in 64 bits", 1},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        Arena arena = {0};
        HotAnnotations out;
        bool good = hot_annotations_parse(rows[i].text, strlen(rows[i].text), &arena, &out);
        char printed[200] = "";
        for (unsigned k = 0; k < out.count; k++) {
            const HotAnnotation *a = &out.list[k];
            size_t used = strlen(printed);
            snprintf(printed + used, sizeof printed - used, "%u:%s%s%llx ", a->line, a->symbol ? a->symbol : "",
                     a->symbol ? "+" : "", (unsigned long long)a->value);
        }
        bool same_error = rows[i].error ? out.error && !strcmp(rows[i].error, out.error) : !out.error;
        check(good == !rows[i].error && same_error && out.error_line == rows[i].line, "annotations: error", rows[i].text);
        check(!strcmp(printed, rows[i].printed), "annotations: list", printed);
        arena_free(&arena);
    }
    Arena arena = {0};
    HotAnnotations out;
    check(!hot_annotations_parse("a\0b", 3, &arena, &out) && out.error_line == 1, "annotations: zero byte", "");
    char many[6000] = "";
    for (unsigned i = 0; i < 1000; i++) strcpy(many + 5 * i, "main\n");
    check(hot_annotations_parse(many, 5000, &arena, &out) && out.count == 1000 && out.list[999].line == 1000, "annotations: many",
          "");
    arena_free(&arena);
}

// ---- parameters ----

static void test_params(void) {
    HotParams params = hot_params_default();
    check(params.threshold == 30000 && params.length == 64 && params.max_attempts == 6 && params.select == HOT_NET, "defaults", "");
    for (unsigned i = 0; i < HOT_SELECT_COUNT; i++) {
        HotSelect select = HOT_SELECT_COUNT;
        check(hot_select_parse(hot_select_name((HotSelect)i), &select) && select == (HotSelect)i, "variants by name", "");
    }
    HotSelect select = HOT_NET;
    check(!hot_select_parse("relaxed", &select), "no such variant", "");
    static char manual[1 << 17];
    FILE *in = fopen(MANUAL, "r");
    size_t size = in ? fread(manual, 1, sizeof manual - 1, in) : 0;
    if (in) fclose(in);
    manual[size] = '\0';
    for (unsigned i = 0; i < hot_param_count; i++) {
        const HotParamInfo *info = &hot_param_info[i];
        char row[400];
        check(info->value >= info->least && info->value <= info->greatest, info->name, "default within its range");
        snprintf(row, sizeof row, "| `%s` | %u | %u to %u | %s | %s |\n", info->name, info->value, info->least, info->greatest,
                 info->unit, info->meaning);
        check(strstr(manual, row), "docs/trace-selection.md lacks the row", row);
    }
}

int main(void) {
    test_cases();
    test_rules();
    test_states();
    test_race();
    test_failures();
    test_coverage();
    test_unsteady();
    test_worth();
    test_annotations();
    test_params();
    hot_random_run(RANDOM_ROUNDS, check);
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
