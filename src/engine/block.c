// SPDX-License-Identifier: MIT
#include "engine/block.h"
#include "base/error.h"
#include <string.h>
#include <stdlib.h>

struct PageEntry {
    uint64_t page;
    Block *block;
    PageEntry *next;
};

enum { FIRST_CAPACITY = 4096 };

static uint32_t hash(uint64_t pc, uint32_t mode) { return (uint32_t)((pc ^ mode * 0x9e37u) * 0x9e3779b97f4a7c15ull >> 32); }
static uint32_t page_hash(uint64_t page) { return (uint32_t)(page * 0x9e3779b97f4a7c15ull >> 52) % PAGE_BUCKETS; }

static void *allocate(size_t size) {
    void *p = calloc(1, size);
    if (!p) fatal("out of memory for the table of translated blocks");
    return p;
}

static BlockSlots *new_slots(uint32_t capacity, BlockSlots *older) {
    BlockSlots *slots = allocate(sizeof *slots + capacity * sizeof *slots->at);
    slots->capacity = capacity;
    slots->older = older;
    return slots;
}

static BlockList *new_list(uint32_t room, BlockList *older) {
    BlockList *list = allocate(sizeof *list + room * sizeof *list->at);
    list->room = room;
    list->older = older;
    return list;
}

void block_table_init(BlockTable *table) {
    table->slots = new_slots(FIRST_CAPACITY, NULL);
    table->by_address = new_list(FIRST_CAPACITY / 2, NULL);
}

void block_table_reset(BlockTable *table) {
    for (BlockSlots *old = table->slots->older, *next; old; old = next) next = old->older, free(old);
    for (BlockList *old = table->by_address->older, *next; old; old = next) next = old->older, free(old);
    table->slots->older = NULL;
    table->by_address->older = NULL;
    memset(table->slots->at, 0, table->slots->capacity * sizeof *table->slots->at);
    memset(table->pages, 0, sizeof table->pages);
    table->used = table->by_address->count = 0;
    arena_reset(&table->arena);
}

Block *block_find(const BlockTable *table, uint64_t pc, uint32_t mode) {
    const BlockSlots *slots = __atomic_load_n(&table->slots, __ATOMIC_ACQUIRE);
    for (uint32_t i = hash(pc, mode);; i++) {
        uint32_t at = i & (slots->capacity - 1);
        Block *block = __atomic_load_n(&slots->at[at].block, __ATOMIC_ACQUIRE);
        if (!block) return NULL;
        if (slots->at[at].pc == pc && block->mode == mode && !__atomic_load_n(&block->invalid, __ATOMIC_ACQUIRE)) return block;
    }
}

static void place(BlockTable *table, BlockSlots *slots, Block *block) {
    uint32_t i = hash(block->pc, block->mode);
    while (slots->at[i & (slots->capacity - 1)].block) i++;
    slots->at[i & (slots->capacity - 1)].pc = block->pc;
    __atomic_store_n(&slots->at[i & (slots->capacity - 1)].block, block, __ATOMIC_RELEASE);
    table->used++;
}

static void rehash(BlockTable *table) {
    BlockSlots *old = table->slots;
    uint32_t valid = 0;
    for (uint32_t i = 0; i < old->capacity; i++) valid += old->at[i].block && !old->at[i].block->invalid;
    bool full = valid * 8 > old->capacity * 3; // else most of it are invalid blocks
    BlockSlots *bigger = new_slots(full ? old->capacity * 2 : old->capacity, table->shared ? old : old->older);
    table->used = 0;
    for (uint32_t i = 0; i < old->capacity; i++)
        if (old->at[i].block && !old->at[i].block->invalid) place(table, bigger, old->at[i].block);
    __atomic_store_n(&table->slots, bigger, __ATOMIC_RELEASE);
    if (!table->shared) free(old);
}

static void append(BlockTable *table, Block *block) {
    BlockList *list = table->by_address;
    if (list->count == list->room) {
        BlockList *full = list;
        list = new_list(full->room * 2, table->shared ? full : full->older);
        list->count = full->count;
        memcpy(list->at, full->at, list->count * sizeof *list->at);
        __atomic_store_n(&table->by_address, list, __ATOMIC_RELEASE);
        if (!table->shared) free(full);
    }
    list->at[list->count] = block;
    __atomic_store_n(&list->count, list->count + 1, __ATOMIC_RELEASE);
}

static void note_page(BlockTable *table, uint64_t page, Block *block) {
    PageEntry *entry = arena_alloc(&table->arena, sizeof *entry);
    PageEntry **bucket = &table->pages[page_hash(page)];
    *entry = (PageEntry){page, block, *bucket};
    *bucket = entry;
}

Block *block_by_id(const BlockTable *table, uint32_t id) {
    const BlockList *list = table->by_address;
    return id < list->count ? list->at[id] : NULL;
}

void block_insert(BlockTable *table, Block *block) {
    block->id = table->by_address->count;
    if (table->used >= table->slots->capacity / 4 * 3) rehash(table);
    append(table, block);
    uint64_t first = block->pc >> GUEST_PAGE_BITS, last = (block->pc + block->guest_bytes - 1) >> GUEST_PAGE_BITS;
    if (block->guest_bytes == 0) last = first;
    for (uint64_t page = first; page <= last; page++) note_page(table, page, block);
    place(table, table->slots, block);
}

Block *block_at_host(const BlockTable *table, const uint8_t *address) {
    const BlockList *list = __atomic_load_n(&table->by_address, __ATOMIC_ACQUIRE);
    uint32_t low = 0, high = __atomic_load_n(&list->count, __ATOMIC_ACQUIRE);
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (list->at[middle]->host.code <= address) low = middle + 1;
        else high = middle;
    }
    if (!low) return NULL;
    Block *block = list->at[low - 1];
    return address < block->host.code + block->host.size ? block : NULL;
}

static bool overlaps(const Block *block, uint64_t start, uint64_t end) {
    return !block->invalid && block->pc < end && block->pc + block->guest_bytes > start;
}

void blocks_in_range(BlockTable *table, uint64_t start, uint64_t end, void (*each)(void *, Block *), void *context) {
    const BlockList *list = table->by_address;
    if (start >= end || !list->count) return;
    uint64_t first = start >> GUEST_PAGE_BITS, last = (end - 1) >> GUEST_PAGE_BITS;
    if (last - first >= PAGE_BUCKETS) {
        for (uint32_t i = 0; i < list->count; i++)
            if (overlaps(list->at[i], start, end)) each(context, list->at[i]);
        return;
    }
    for (uint64_t page = first; page <= last; page++) {
        for (PageEntry **link = &table->pages[page_hash(page)]; *link;) {
            PageEntry *entry = *link;
            if (entry->page == page && overlaps(entry->block, start, end)) each(context, entry->block);
            // Invalid blocks are dropped on the way, so that code that is changed again and again does not lengthen the walk.
            if (entry->block->invalid) *link = entry->next;
            else link = &entry->next;
        }
    }
}

void block_remove(BlockTable *table, Block *block) {
    (void)table; // an invalid block is skipped by lookups and dropped when the table grows
    __atomic_store_n(&block->invalid, true, __ATOMIC_RELEASE);
}
