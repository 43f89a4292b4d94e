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

uint64_t hot_worth(const HotCost *what, const HotParams *params, const HotCompileCost *cost) {
    uint64_t price_ps = product(hot_cost_expected(cost, params, what->ops), 1000);
    bool early = what->completed < params->completed;
    if (early && !what->loop) return UINT64_MAX;
    uint64_t saving_ps = product(what->insns, params->saving_ps), entry_ps = what->loop && !early ? 0 : params->entry_ps;
    if (saving_ps <= entry_ps) return UINT64_MAX; // it would never pay
    saving_ps -= entry_ps;
    uint64_t break_even = price_ps / saving_ps + (price_ps % saving_ps != 0);
    return break_even > what->executions ? break_even - what->executions : 0;
}

bool hot_within_budget(const HotParams *params, uint64_t spent_ns, uint64_t next_ns, uint64_t program_ns) {
    uint64_t share = product(program_ns / 100, params->budget), start = params->budget_ms * UINT64_C(1000000);
    return sum(spent_ns, next_ns) <= sum(share, start);
}
