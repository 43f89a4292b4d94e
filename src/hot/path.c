// SPDX-License-Identifier: MIT
//
// From a recording to paths: the connectivity check, shapes, the inner cycle of a 6-shape; coverage.
#include "hot/hot.h"
#include "base/error.h"
#include <string.h>

const char *hot_shape_name(HotShape shape) {
    static const char *const names[] = {[HOT_STRAIGHT] = "straight", [HOT_O] = "O", [HOT_6] = "6"};
    return (unsigned)shape < sizeof names / sizeof *names ? names[shape] : "";
}

// The recorded blocks from index `first` on as a path, cut behind the first block that no known exit connects with the next.
static void make_path(HotPath *path, const HotRecorder *rec, uint32_t first, HotConnected *connected, void *context) {
    path->added = 0;
    path->end = rec->reason;
    path->cut = REASON_NONE;
    path->loop = rec->loop < 0 ? -1 : rec->loop - (int)first;
    path->count = rec->count - first;
    memcpy(path->blocks, rec->blocks + first, path->count * sizeof *path->blocks);
    for (uint32_t i = 0; i < path->count; i++) {
        bool last = i + 1 == path->count;
        if (last && path->loop < 0) break;
        if (connected(context, path->blocks[i], path->blocks[last ? (uint32_t)path->loop : i + 1])) continue;
        path->count = i + 1;
        path->loop = -1;
        path->cut = REASON_NOT_CONNECTED;
    }
    path->shape = path->loop < 0 ? HOT_STRAIGHT : path->loop == 0 ? HOT_O : HOT_6;
}

unsigned hot_paths(const HotRecorder *rec, const HotParams *params, HotConnected *connected, void *context, HotPaths *paths) {
    debug_assert(rec->reason);
    paths->count = 0;
    paths->dropped = REASON_NONE;
    // Interrupted at a place that has nothing to do with the path, or part of the code is gone.
    if (rec->reason == REASON_INTERRUPTED || rec->reason == REASON_CODE_GONE) return paths->dropped = rec->reason, 0;
    if (rec->loop > 0) {
        HotPath *inner = &paths->path[0];
        make_path(inner, rec, (uint32_t)rec->loop, connected, context);
        if (inner->shape == HOT_O) paths->count++;
    }
    HotPath *whole = &paths->path[paths->count];
    make_path(whole, rec, 0, connected, context);
    if (whole->shape == HOT_STRAIGHT && whole->count < params->min_length) paths->dropped = REASON_TOO_SHORT;
    else paths->count++;
    return paths->count;
}

bool hot_path_contains(const HotPath *path, uint32_t block) {
    for (uint32_t i = 0; i < path->count + path->added; i++)
        if (path->blocks[i] == block) return true;
    return false;
}

bool hot_covered(const HotPath *a, const HotPath *b, const HotParams *params) {
    uint32_t all = a->count + a->added, common = 0;
    if (!all || !hot_path_contains(b, a->blocks[0])) return false;
    for (uint32_t i = 0; i < all; i++) common += hot_path_contains(b, a->blocks[i]);
    return (uint64_t)common * 100 >= (uint64_t)all * params->covered;
}
