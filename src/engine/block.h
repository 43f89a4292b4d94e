// SPDX-License-Identifier: MIT
//
// Translated blocks and how they are found: by guest pc and mode, by guest page, by host address.
//
// Readers of block_find and block_at_host take no lock; everything else is called with the engine's lock held (engine/world.c). A
// table that grows is replaced by a bigger one, and the old one stays readable until the next reset, before which the world is
// stopped. A block's memory lives as long.
#ifndef KILN_ENGINE_BLOCK_H
#define KILN_ENGINE_BLOCK_H

#include "host/host.h"
#include "hot/hot.h"

struct Block {
    // What looking it up and going on in it takes stands together.
    uint64_t pc;
    uint32_t mode;
    uint32_t id; // what the hot-path engine knows it by: counts from 0 since the last time all were forgotten
    // Traces (trace.h). Whoever enters the block does so at `entry`: its own code, a counter in front of it, or a trace.
    const uint8_t *entry;
    ExitRecord *incoming; // exits of other blocks that are linked to this one
    HotHead hot;
    uint8_t sightings; // how often the engine has met it (entered it, linked an exit to it), as far as it matters
    bool invalid;      // its code changed: not in the table any more, never linked to again
    bool changed;      // listed by engine_code_changed: about to become invalid
    bool loop_head;    // of an O-shaped trace, or annotated
    bool annotated;
    bool is_trace; // it is the code of a trace
    // Its final indirect jump, as recordings have seen it: where it led to, how often in a row, and whether it has led elsewhere too.
    uint8_t target_samples;
    bool many_targets;
    // Its final branch of two ways: how often recordings have seen it, and how often it was taken.
    uint8_t branch_samples, branch_taken;
    uint64_t target;
    uint32_t guest_bytes, guest_insns;
    HostCompiled host;           // fast tier
    const KirBlock *kir;         // interpreter
    const uint8_t *code;         // the bytes it was made of, if they may change (engine/code.c)
    HeadRecord *counter;         // NULL: it has never counted
    struct Trace *trace;         // that begins here and is in use
    struct TraceLink *in_traces; // the traces that contain it
    Block *next_changed;
};

typedef struct PageEntry PageEntry;
enum { PAGE_BUCKETS = 4096, GUEST_PAGE_BITS = 12 };

// Its own code, that does not count: where it counted from the start, a counter stands in front of it.
static inline const uint8_t *block_own_code(const Block *block) {
    bool counted_first = block->counter && block->counter->code == block->host.code;
    return block->host.code + (counted_first ? host_counter_bytes() : 0);
}

// A power of two of slots, open addressing.
typedef struct BlockSlots {
    struct BlockSlots *older; // replaced by this one
    uint32_t capacity;
    // The pc stands beside the block, so that looking up touches no block but the right one. It is written first.
    struct {
        uint64_t pc;
        Block *block;
    } at[];
} BlockSlots;

typedef struct BlockList {
    struct BlockList *older;
    uint32_t count, room;
    Block *at[];
} BlockList;

typedef struct BlockTable {
    BlockSlots *slots;
    uint32_t used;
    bool shared;           // several threads read: what is replaced is kept
    BlockList *by_address; // ascending code addresses
    PageEntry *pages[PAGE_BUCKETS];
    Arena arena; // blocks, their fault tables, page entries
} BlockTable;

void block_table_init(BlockTable *table);
// Forgets everything.
void block_table_reset(BlockTable *table);
Block *block_find(const BlockTable *table, uint64_t pc, uint32_t mode);
// The block whose host code contains `address`, or NULL. Async-signal-safe.
Block *block_at_host(const BlockTable *table, const uint8_t *address);
void block_insert(BlockTable *table, Block *block);
// Calls `each` for every valid block that overlaps guest bytes [start, end).
void blocks_in_range(BlockTable *table, uint64_t start, uint64_t end, void (*each)(void *context, Block *block), void *context);
// By BlockTable's numbers; NULL: none.
Block *block_by_id(const BlockTable *table, uint32_t id);
// Takes it out of the lookup by pc.
void block_remove(BlockTable *table, Block *block);

#endif
