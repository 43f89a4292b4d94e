// SPDX-License-Identifier: MIT
//
// Heads: which blocks may begin a trace, the states of their slots, and how often they may fail.
//
// Rule of the lock-free protocol: a state changes by compare-and-swap alone, and who wins the change does what belongs to it. What
// else a HotHead holds is advisory (a late doubling of the threshold is seen at the next profiling), so relaxed stores suffice.
#include "hot/hot.h"
#include "base/error.h"

#define TO(state) (1u << HOT_##state)
static const uint8_t allowed[HOT_STATE_COUNT] = {
    // its first run; the target of an indirect branch is a potential head at once
    [HOT_NONE] = TO(ACTIVE) | TO(TRACE_HEAD) | TO(INVALID),
    // a potential head by one of the rules, or the head of an inner cycle
    [HOT_ACTIVE] = TO(TRACE_HEAD) | TO(INVALID),
    // a path was recorded; nothing came of it
    [HOT_TRACE_HEAD] = TO(OPTIMIZED) | TO(ACTIVE) | TO(INVALID),
    // failed, evicted, covered
    [HOT_OPTIMIZED] = TO(ACTIVE) | TO(INVALID),
    [HOT_INVALID] = 0,
};
#undef TO

bool hot_state_allowed(HotState from, HotState to) {
    return from < HOT_STATE_COUNT && to < HOT_STATE_COUNT && allowed[from] >> to & 1;
}

bool hot_state_change(HotState *state, HotState from, HotState to) {
    debug_assert(hot_state_allowed(from, to));
    return __atomic_compare_exchange_n(state, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

bool hot_state_to_head(HotState *state) {
    hot_state_change(state, HOT_NONE, HOT_ACTIVE);
    return hot_state_change(state, HOT_ACTIVE, HOT_TRACE_HEAD);
}

const char *hot_state_name(HotState state) {
    static const char *const names[HOT_STATE_COUNT] = {"none", "active", "trace-head", "optimized", "invalid"};
    return state < HOT_STATE_COUNT ? names[state] : "";
}

void hot_head_init(HotHead *head, const HotParams *params) { *head = (HotHead){.state = HOT_NONE, .threshold = params->threshold}; }

bool hot_head_given_up(const HotHead *head, const HotParams *params) {
    return __atomic_load_n(&head->attempts, __ATOMIC_RELAXED) >= params->max_attempts;
}

Reason hot_head_fail(HotHead *head, const HotParams *params, Reason why) {
    HotState state = __atomic_load_n(&head->state, __ATOMIC_ACQUIRE);
    do
        if (state != HOT_TRACE_HEAD && state != HOT_OPTIMIZED) return REASON_NONE;
    while (!__atomic_compare_exchange_n(&head->state, &state, HOT_ACTIVE, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    if (why == REASON_INTERRUPTED || hot_head_given_up(head, params)) return REASON_NONE;
    unsigned attempts = __atomic_add_fetch(&head->attempts, 1, __ATOMIC_RELAXED);
    uint32_t threshold = __atomic_load_n(&head->threshold, __ATOMIC_RELAXED);
    __atomic_store_n(&head->threshold, threshold > UINT32_MAX / 2 ? UINT32_MAX : threshold * 2, __ATOMIC_RELAXED);
    return attempts == params->max_attempts ? REASON_GIVEN_UP : REASON_NONE;
}

bool hot_is_potential_head(const HotParams *params, HotArrival how, bool executed_before, bool backward) {
    switch (how) {
    case HOT_BY_TRACE_EXIT:
    case HOT_BY_INDIRECT:
    case HOT_BY_ENGINE: return true;
    case HOT_BY_LINK:
    case HOT_BY_DISPATCH: return params->select == HOT_NET_STRICT ? backward : executed_before;
    case HOT_ARRIVAL_COUNT: break;
    }
    return false;
}
