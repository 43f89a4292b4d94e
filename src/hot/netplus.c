// SPDX-License-Identifier: MIT
//
// NETPlus: blocks on detours that leave a path and come back to it.
//
// A detour is a walk p, x1, ..., xn, q with p and q on the path and no x on it; n is its length. Blocks around the path are
// searched breadth first, which gives each one `away`, its least distance from the path, and then in rounds `home`, its least
// distance to it. The shortest detour through x has away + home - 1 blocks; it follows `from` back to the path and `to` on to it.
// Each block on it has a detour that is no longer, so what is added is connected in both directions whatever the limit cuts off.
//
// The work is bounded whatever the graph: MAX_AROUND blocks with MAX_SUCCESSORS each, once forward and netplus_depth times back.
#include "hot/hot.h"
#include <string.h>

enum { MAX_AROUND = 512, MAX_SUCCESSORS = 16, MAX_DEPTH = 16, TABLE = 2048, PATH = -1, UNKNOWN = 0xff };

typedef struct Around {
    uint32_t block;
    int16_t from, to; // neighbours on the shortest detour, PATH: a block of the path
    uint8_t away, home;
    bool added;
} Around;

typedef struct Search {
    HotPath *path;
    HotSuccessors *successors;
    void *context;
    unsigned count;
    Around around[MAX_AROUND];
    int16_t table[TABLE]; // block → index + 1 into `around`, PATH for blocks of the path, 0: free
    uint32_t key[TABLE];
} Search;

static unsigned slot_of(const Search *s, uint32_t block) {
    unsigned slot = (block * 2654435761u) >> 21;
    while (s->table[slot] && s->key[slot] != block) slot = (slot + 1) % TABLE;
    return slot;
}
_Static_assert(TABLE == 1 << (32 - 21) && TABLE >= 2 * (MAX_AROUND + HOT_MAX_BLOCKS),
               "slot_of: its shift, and room to end its search");

// The successors of `block` that are new are appended, `away` blocks from the path.
static void discover(Search *s, uint32_t block, int from, unsigned away) {
    uint32_t next[MAX_SUCCESSORS];
    unsigned n = s->successors(s->context, block, next, MAX_SUCCESSORS);
    for (unsigned i = 0; i < n && s->count < MAX_AROUND; i++) {
        unsigned slot = slot_of(s, next[i]);
        if (s->table[slot]) continue;
        s->around[s->count] = (Around){.block = next[i], .from = (int16_t)from, .away = (uint8_t)away, .home = UNKNOWN};
        s->key[slot] = next[i];
        s->table[slot] = (int16_t)++s->count;
    }
}

static void search_away(Search *s, unsigned depth) {
    for (uint32_t i = 0; i < s->path->count; i++) {
        unsigned slot = slot_of(s, s->path->blocks[i]);
        s->key[slot] = s->path->blocks[i];
        s->table[slot] = PATH;
    }
    for (uint32_t i = 0; i < s->path->count; i++) discover(s, s->path->blocks[i], PATH, 1);
    for (unsigned i = 0; i < s->count; i++)
        if (s->around[i].away < depth) discover(s, s->around[i].block, (int)i, s->around[i].away + 1u);
}

// Round `home`: blocks that are `home` steps from the path, as one of their successors is one less.
static void search_home(Search *s, unsigned home) {
    for (unsigned i = 0; i < s->count; i++) {
        Around *x = &s->around[i];
        uint32_t next[MAX_SUCCESSORS];
        unsigned n = x->home == UNKNOWN ? s->successors(s->context, x->block, next, MAX_SUCCESSORS) : 0;
        for (unsigned k = 0; k < n && x->home == UNKNOWN; k++) {
            int found = s->table[slot_of(s, next[k])];
            bool nearer = found == PATH ? home == 1 : found > 0 && s->around[found - 1].home == home - 1;
            if (!nearer) continue;
            x->home = (uint8_t)home;
            x->to = (int16_t)(found == PATH ? PATH : found - 1);
        }
    }
}

// Adds the shortest detour through block `i` if it fits as a whole. The way out and the way home share no block that is still to be
// added: such a block would have a shorter detour, a part of this one, which was tried before and either is there or had no room.
static unsigned add_detour(Search *s, int i, unsigned room) {
    int detour[2 * MAX_DEPTH];
    unsigned n = 0;
    for (int x = i; x != PATH; x = s->around[x].from)
        if (!s->around[x].added) detour[n++] = x;
    for (int x = s->around[i].to; x != PATH; x = s->around[x].to)
        if (!s->around[x].added) detour[n++] = x;
    if (n > room) return 0;
    for (unsigned k = 0; k < n; k++) {
        s->around[detour[k]].added = true;
        s->path->blocks[s->path->count + s->path->added++] = s->around[detour[k]].block;
    }
    return n;
}

unsigned hot_netplus(HotPath *path, const HotParams *params, bool annotated, HotSuccessors *successors, void *context) {
    uint32_t limit = params->length < HOT_MAX_BLOCKS ? params->length : HOT_MAX_BLOCKS;
    path->added = 0;
    if (!params->netplus || annotated || path->count >= limit) return 0;
    Search s = {.path = path, .successors = successors, .context = context};
    unsigned depth = params->netplus_depth < MAX_DEPTH ? params->netplus_depth : MAX_DEPTH;
    search_away(&s, depth);
    for (unsigned home = 1; home <= depth; home++) search_home(&s, home);
    for (unsigned length = 1; length <= depth; length++)
        for (unsigned i = 0; i < s.count; i++) {
            const Around *x = &s.around[i];
            if (!x->added && x->home != UNKNOWN && x->away + x->home - 1u == length)
                add_detour(&s, (int)i, limit - path->count - path->added);
        }
    return path->added;
}
