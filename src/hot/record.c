// SPDX-License-Identifier: MIT
//
// Recording the path that follows a hot head: blocks are appended until one of the rules ends it.
//
// The rules, in this order; the first that applies names the reason:
//   head-repeated    the first block again: an O-shape, in every variant
//   block-repeated   another block again: net makes it a 6-shape; the others know none, and the path ends straight
//   backward-branch  net-strict alone: any other branch backward
//   known-loop       the head of a known loop: it has, or will have, a trace of its own
//   length           no room
// Once it has ended, a straight one is cut behind a branch that goes either way (unsteady-branch). A trace is left at the first branch that
// goes another way than its path: what lies behind one that nobody can foresee is seldom reached, and would be compiled anew for each of
// the many heads whose paths lead through there. A loop comes back all the same.
// Length comes last, so that a loop of exactly the greatest length is still seen to close.
#include "hot/hot.h"
#include "base/error.h"

void hot_record_start(HotRecorder *rec, const HotParams *params, uint32_t head) {
    rec->reason = REASON_NONE;
    rec->loop = -1;
    rec->limit = params->length < HOT_MAX_BLOCKS ? params->length : HOT_MAX_BLOCKS;
    rec->select = params->select;
    rec->blocks[0] = head;
    rec->count = 1;
}

static int index_of(const HotRecorder *rec, uint32_t block) {
    for (uint32_t i = 0; i < rec->count; i++)
        if (rec->blocks[i] == block) return (int)i;
    return -1;
}

// Why this step ends the recording, REASON_NONE: it does not.
static Reason ends(const HotRecorder *rec, HotStep step, int repeated) {
    if (repeated == 0) return REASON_HEAD_REPEATED;
    if (rec->select == HOT_NET_STRICT && step.backward) return REASON_BACKWARD_BRANCH;
    if (repeated > 0) return REASON_BLOCK_REPEATED;
    if (step.loop_head) return REASON_KNOWN_LOOP;
    return rec->count >= rec->limit ? REASON_LENGTH : REASON_NONE;
}

bool hot_record_next(HotRecorder *rec, HotStep step) {
    if (rec->reason) return false;
    int repeated = index_of(rec, step.block);
    rec->reason = ends(rec, step, repeated);
    if (repeated == 0 || rec->select == HOT_NET) rec->loop = repeated;
    if (!rec->reason) rec->blocks[rec->count++] = step.block;
    return !rec->reason;
}

bool hot_is_unsteady(const HotParams *params, unsigned along, unsigned samples) {
    return samples >= params->branch_samples && along * 100 < samples * params->steady;
}

void hot_record_cut(HotRecorder *rec, uint32_t count, Reason reason) {
    debug_assert(rec->reason && count);
    if (rec->loop >= 0 || count >= rec->count) return;
    rec->count = count;
    rec->reason = reason;
}

void hot_record_stop(HotRecorder *rec, Reason reason) {
    debug_assert(reason);
    if (!rec->reason) rec->reason = reason;
}
