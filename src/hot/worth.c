// SPDX-License-Identifier: MIT
//
// When the second form of a trace pays.
#include "hot/hot.h"

enum { AVERAGE_WEIGHT = 8 }; // a measurement moves the average by an eighth of the difference

// Saturating: what is larger than 64 bits is as good as for ever.
static uint64_t product(uint64_t a, uint64_t b) {
    uint64_t result;
    return __builtin_mul_overflow(a, b, &result) ? UINT64_MAX : result;
}

static uint64_t sum(uint64_t a, uint64_t b) {
    uint64_t result;
    return __builtin_add_overflow(a, b, &result) ? UINT64_MAX : result;
}

static uint64_t fixed_ns(const HotParams *params) { return params->compile_fixed_us * (uint64_t)1000; }

void hot_cost_measured(HotCompileCost *cost, const HotParams *params, unsigned ops, uint64_t ns) {
    if (!ops) return;
    uint64_t fixed = fixed_ns(params), measured = ns > fixed ? (ns - fixed) / ops : 0;
    measured = measured < 1 ? 1 : measured > UINT32_MAX ? UINT32_MAX : measured; // 0 says that nothing was measured
    if (!cost->ns_per_op) cost->ns_per_op = params->compile_ns;
    int64_t step = ((int64_t)measured - (int64_t)cost->ns_per_op) / AVERAGE_WEIGHT;
    cost->ns_per_op = (uint64_t)((int64_t)cost->ns_per_op + step);
}

uint64_t hot_cost_expected(const HotCompileCost *cost, const HotParams *params, unsigned ops) {
    return sum(fixed_ns(params), product(ops, cost->ns_per_op ? cost->ns_per_op : params->compile_ns));
}

// Of each execution; 0: it would never pay.
static uint64_t saving_ps_each(const HotCost *what, const HotParams *params) {
    bool early = what->completed < params->completed;
    if (early && !what->loop) return 0;
    uint64_t saving_ps = sum(product(what->insns, params->saving_ps), product(what->floats, params->saving_float_ps));
    uint64_t entry_ps = what->loop && !early ? 0 : params->entry_ps;
    return saving_ps > entry_ps ? saving_ps - entry_ps : 0;
}

uint64_t hot_saving(const HotCost *what, const HotParams *params) {
    return product(what->executions, saving_ps_each(what, params)) / 1000;
}

uint64_t hot_worth(const HotCost *what, const HotParams *params, const HotCompileCost *cost) {
    uint64_t price_ps = product(hot_cost_expected(cost, params, what->ops), 1000), saving_ps = saving_ps_each(what, params);
    if (!saving_ps) return UINT64_MAX;
    uint64_t break_even = price_ps / saving_ps + (price_ps % saving_ps != 0);
    return break_even > what->executions ? break_even - what->executions : 0;
}

uint64_t hot_earned(const HotPurchase *what, uint64_t now_ns) {
    uint64_t used = now_ns > what->since_ns ? now_ns - what->since_ns : 0, within = what->within_ns ? what->within_ns : 1;
    double earned = (double)used / (double)within * (double)what->saving_ns / 2;
    return earned < (double)what->price_ns ? (uint64_t)earned : what->price_ns;
}

bool hot_within_budget(const HotParams *params, uint64_t spent_ns, uint64_t next_ns, uint64_t program_ns) {
    uint64_t share = product(program_ns / 100, params->budget), start = params->budget_ms * UINT64_C(1000000);
    return sum(spent_ns, next_ns) <= sum(share, start);
}
