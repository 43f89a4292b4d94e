// SPDX-License-Identifier: MIT
#include "hot/hot_random.h"
#include "hot/hot.h"
#include <stdio.h>
#include <string.h>

enum { MAX_NODES = 48, MAX_WALK = 300 };

typedef struct World {
    uint64_t seed;
    unsigned nodes;
    bool edge[MAX_NODES][MAX_NODES];  // what may be executed
    bool known[MAX_NODES][MAX_NODES]; // the part of it that the connectivity check and NETPlus know
    bool loop_head[MAX_NODES];
    HotParams params;
    uint32_t walk[MAX_WALK]; // walk[0]: the head
    unsigned walked;         // blocks offered to the recorder
    HotRecorder rec;
    const char *wrong;
} World;

#define MUST(condition, text) ((condition) ? (void)0 : (void)(w->wrong = w->wrong ? w->wrong : (text)))

static unsigned below(World *w, unsigned n) {
    w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((w->seed >> 33) % n);
}

static bool connected(void *context, uint32_t from, uint32_t to) { return ((World *)context)->known[from][to]; }

static unsigned successors(void *context, uint32_t block, uint32_t *out, unsigned room) {
    World *w = context;
    unsigned n = 0;
    for (unsigned i = 0; i < w->nodes && n < room; i++)
        if (w->known[block][i]) out[n++] = i;
    return n;
}

static void make_world(World *w) {
    w->nodes = 1 + below(w, MAX_NODES);
    unsigned unknown = below(w, 3) ? 0 : 1 + below(w, 30); // per cent of edges that nobody knows
    unsigned loops = below(w, 3) ? 0 : below(w, 20);
    for (unsigned i = 0; i < w->nodes; i++) {
        w->loop_head[i] = below(w, 100) < loops;
        for (unsigned n = 1 + below(w, 3); n; n--) {
            // mostly the next blocks, as in programs
            unsigned to = below(w, 4) ? (i + 1 + below(w, 3)) % w->nodes : below(w, w->nodes);
            if (w->edge[i][to]) continue;
            w->edge[i][to] = true;
            w->known[i][to] = below(w, 100) >= unknown;
        }
    }
    w->params = hot_params_default();
    w->params.select = (HotSelect)below(w, HOT_SELECT_COUNT);
    w->params.length = 1 + below(w, below(w, 2) ? 8 : 64);
    w->params.min_length = 1 + below(w, 3);
    w->params.netplus = true;
    w->params.netplus_depth = 1 + below(w, 6);
}

static void walk(World *w) {
    uint32_t at = below(w, w->nodes);
    w->walk[w->walked++] = at;
    hot_record_start(&w->rec, &w->params, at);
    for (bool going = true; going;) {
        uint32_t to;
        do to = below(w, w->nodes);
        while (!w->edge[at][to]);
        w->walk[w->walked++] = to;
        going = hot_record_next(&w->rec, (HotStep){.block = to, .backward = to <= at, .loop_head = w->loop_head[to]});
        at = to;
    }
}

static int found_in(const uint32_t *blocks, unsigned count, uint32_t block) {
    for (unsigned i = 0; i < count; i++)
        if (blocks[i] == block) return (int)i;
    return -1;
}

// The recording is the walk up to the block that ended it, and the reason is a true one.
static void check_recording(World *w) {
    const HotRecorder *rec = &w->rec;
    MUST(rec->count >= 1 && rec->count <= w->params.length, "length of the recording");
    MUST(rec->count == w->walked - 1 && !memcmp(rec->blocks, w->walk, rec->count * sizeof *rec->blocks),
         "the recording is the walk");
    uint32_t last = w->walk[w->walked - 1], before = w->walk[w->walked - 2];
    int repeated = found_in(rec->blocks, rec->count, last);
    bool strict = w->params.select == HOT_NET_STRICT;
    switch (rec->reason) {
    case REASON_HEAD_REPEATED: MUST(repeated == 0 && rec->loop == 0, "head-repeated"); break;
    case REASON_BLOCK_REPEATED:
        MUST(repeated > 0 && rec->loop == (w->params.select == HOT_NET ? repeated : -1), "block-repeated");
        break;
    case REASON_BACKWARD_BRANCH: MUST(strict && last <= before && repeated != 0 && rec->loop == -1, "backward-branch"); break;
    case REASON_KNOWN_LOOP: MUST(w->loop_head[last] && repeated < 0 && rec->loop == -1, "known-loop"); break;
    case REASON_LENGTH: MUST(rec->count == w->params.length && repeated < 0 && rec->loop == -1, "length"); break;
    default: MUST(false, "another reason");
    }
    for (unsigned i = 1; i < rec->count; i++) {
        MUST(found_in(rec->blocks, i, rec->blocks[i]) < 0, "a block twice");
        MUST(!w->loop_head[rec->blocks[i]], "a known loop inside");
        MUST(!strict || rec->blocks[i] > rec->blocks[i - 1], "a backward branch inside");
    }
}

static void check_path(World *w, const HotPath *path) {
    MUST(path->count >= 1 && path->count <= w->params.length, "length of a path");
    for (unsigned i = 1; i < path->count; i++) MUST(w->known[path->blocks[i - 1]][path->blocks[i]], "a path is connected");
    uint32_t last = path->blocks[path->count - 1];
    MUST(path->loop >= -1 && path->loop < (int)path->count, "loop index");
    if (path->loop >= 0) MUST(w->known[last][path->blocks[path->loop]] && !path->cut, "a loop closes");
    MUST(path->shape == (path->loop < 0 ? HOT_STRAIGHT : path->loop == 0 ? HOT_O : HOT_6), "shape");
    MUST(path->shape != HOT_6 || w->params.select == HOT_NET, "6-shapes in relaxed NET alone");
    MUST(path->end == w->rec.reason && (!path->cut || path->cut == REASON_NOT_CONNECTED), "reasons of a path");
    // A cut stands where the connection is unknown, not earlier.
    int at = found_in(w->walk, w->walked - 1, last);
    if (path->cut) MUST(!w->known[last][w->walk[at + 1]], "cut at a gap");
    else MUST(at == (int)w->rec.count - 1, "no cut, nothing is missing");
}

static void check_paths(World *w, const HotPaths *paths) {
    const HotPath *whole = paths->count ? &paths->path[paths->count - 1] : NULL;
    uint32_t head = w->walk[0];
    for (unsigned i = 0; i < paths->count; i++) check_path(w, &paths->path[i]);
    if (!paths->dropped) {
        MUST(whole && whole->blocks[0] == head, "the last path is the head's");
        MUST(whole && !memcmp(whole->blocks, w->walk, whole->count * sizeof *w->walk), "it begins as the recording");
        MUST(whole && (whole->loop >= 0 || whole->count >= w->params.min_length), "it is long enough");
        MUST(whole && (whole->shape == HOT_6) <= (paths->count == 2), "a 6-shape has its cycle before it");
    } else MUST(paths->dropped == REASON_TOO_SHORT && paths->count <= 1, "why the head has none");
    if (paths->count == 2 || (paths->dropped && paths->count)) {
        const HotPath *inner = &paths->path[0];
        MUST(inner->shape == HOT_O && w->rec.loop > 0 && inner->blocks[0] == w->rec.blocks[w->rec.loop], "an inner cycle");
        MUST(inner->count == w->rec.count - (unsigned)w->rec.loop &&
                 !memcmp(inner->blocks, w->rec.blocks + w->rec.loop, inner->count * sizeof *inner->blocks),
             "it is the end of the recording");
    }
}

// Least number of steps on known edges from the path to each block (or back), over blocks off the path.
static void distances(const World *w, const bool *on_path, bool back, unsigned *distance) {
    for (unsigned i = 0; i < w->nodes; i++) distance[i] = on_path[i] ? 0 : 1000;
    for (unsigned round = 0; round < w->nodes; round++)
        for (unsigned i = 0; i < w->nodes; i++)
            for (unsigned k = 0; k < w->nodes; k++)
                if ((back ? w->known[i][k] : w->known[k][i]) && distance[k] + 1 < distance[i]) distance[i] = distance[k] + 1;
}

static void check_region(World *w, const HotPath *before, const HotPath *region, unsigned returned) {
    bool on_path[MAX_NODES] = {0}, in_region[MAX_NODES] = {0};
    unsigned away[MAX_NODES], home[MAX_NODES], missing = 1000;
    MUST(region->added == returned && region->count == before->count && region->count + region->added <= w->params.length,
         "size of a region");
    MUST(!memcmp(before->blocks, region->blocks, before->count * sizeof *before->blocks), "a region begins with its path");
    for (unsigned i = 0; i < region->count + region->added; i++) {
        MUST(!in_region[region->blocks[i]], "a block twice in a region");
        in_region[region->blocks[i]] = true;
        if (i < region->count) on_path[region->blocks[i]] = true;
    }
    distances(w, on_path, false, away);
    distances(w, on_path, true, home);
    for (unsigned i = 0; i < w->nodes; i++) {
        if (on_path[i]) continue;
        unsigned detour = away[i] + home[i] - 1;
        if (in_region[i]) {
            bool from = false, to = false;
            for (unsigned k = 0; k < w->nodes; k++)
                from |= in_region[k] && k != i && w->known[k][i], to |= in_region[k] && k != i && w->known[i][k];
            MUST(detour <= w->params.netplus_depth, "a detour of bounded depth");
            MUST(from && to, "an added block is connected both ways");
        } else if (detour < missing) missing = detour;
    }
    // What is missing did not fit.
    MUST(missing > w->params.netplus_depth || region->count + region->added + missing > w->params.length, "no detour is forgotten");
}

void hot_random_run(unsigned rounds, void (*check)(bool ok, const char *what, const char *detail)) {
    unsigned shapes[3] = {0}, pairs = 0, cuts = 0, grown = 0;
    for (unsigned round = 0; round < rounds; round++) {
        static World world;
        World *w = &world;
        memset(w, 0, sizeof *w);
        w->seed = round;
        make_world(w);
        walk(w);
        check_recording(w);
        HotPaths paths;
        hot_paths(&w->rec, &w->params, connected, w, &paths);
        check_paths(w, &paths);
        for (unsigned i = 0; i < paths.count; i++) {
            HotPath region = paths.path[i];
            unsigned added = hot_netplus(&region, &w->params, false, successors, w);
            check_region(w, &paths.path[i], &region, added);
            shapes[paths.path[i].shape]++, cuts += paths.path[i].cut != REASON_NONE, grown += added > 0;
        }
        pairs += paths.count == 2;
        char what[40];
        snprintf(what, sizeof what, "random round %u", round);
        check(!w->wrong, what, w->wrong ? w->wrong : "");
    }
    unsigned few = rounds / 200;
    check(shapes[HOT_STRAIGHT] > few && shapes[HOT_O] > few && shapes[HOT_6] > few && pairs > few && cuts > few && grown > few,
          "random graphs meet every shape, cuts and detours", "");
}
