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

static void *allocate(size_t count, size_t size) {
    void *p = calloc(count, size);
    if (!p) fatal("out of memory for the table of translated blocks");
    return p;
}

void block_table_init(BlockTable *table) {
    table->capacity = FIRST_CAPACITY;
    table->slots = allocate(table->capacity, sizeof *table->slots);
}

void block_table_reset(BlockTable *table) {
    memset(table->slots, 0, table->capacity * sizeof *table->slots);
    memset(table->pages, 0, sizeof table->pages);
    table->used = table->count = 0;
    arena_reset(&table->arena);
}

Block *block_find(const BlockTable *table, uint64_t pc, uint32_t mode) {
    for (uint32_t i = hash(pc, mode);; i++) {
        Block *block = __atomic_load_n(&table->slots[i & (table->capacity - 1)], __ATOMIC_ACQUIRE);
        if (!block) return NULL;
        if (block->pc == pc && block->mode == mode && !block->invalid) return block;
    }
}

static void place(BlockTable *table, Block *block) {
    uint32_t i = hash(block->pc, block->mode);
    while (table->slots[i & (table->capacity - 1)]) i++;
    __atomic_store_n(&table->slots[i & (table->capacity - 1)], block, __ATOMIC_RELEASE);
    table->used++;
}

static void rehash(BlockTable *table) {
    Block **old = table->slots;
    uint32_t old_capacity = table->capacity;
    table->capacity *= 2;
    table->slots = allocate(table->capacity, sizeof *table->slots);
    table->used = 0;
    for (uint32_t i = 0; i < old_capacity; i++)
        if (old[i] && !old[i]->invalid) place(table, old[i]);
    free(old);
}

static void note_page(BlockTable *table, uint64_t page, Block *block) {
    PageEntry *entry = arena_alloc(&table->arena, sizeof *entry);
    PageEntry **bucket = &table->pages[page_hash(page)];
    *entry = (PageEntry){page, block, *bucket};
    *bucket = entry;
}

void block_insert(BlockTable *table, Block *block) {
    if (table->used * 2 >= table->capacity) rehash(table);
    if (table->count == table->room) {
        table->room = table->room ? table->room * 2 : FIRST_CAPACITY / 2;
        table->by_address = realloc(table->by_address, table->room * sizeof *table->by_address);
        if (!table->by_address) fatal("out of memory for the table of translated blocks");
    }
    table->by_address[table->count] = block;
    __atomic_store_n(&table->count, table->count + 1, __ATOMIC_RELEASE);
    uint64_t first = block->pc >> GUEST_PAGE_BITS, last = (block->pc + block->guest_bytes - 1) >> GUEST_PAGE_BITS;
    if (block->guest_bytes == 0) last = first;
    for (uint64_t page = first; page <= last; page++) note_page(table, page, block);
    place(table, block);
}

Block *block_at_host(const BlockTable *table, const uint8_t *address) {
    uint32_t low = 0, high = __atomic_load_n(&table->count, __ATOMIC_ACQUIRE);
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (table->by_address[middle]->host.code <= address) low = middle + 1;
        else high = middle;
    }
    if (!low) return NULL;
    Block *block = table->by_address[low - 1];
    return address < block->host.code + block->host.size ? block : NULL;
}

static bool overlaps(const Block *block, uint64_t start, uint64_t end) {
    return !block->invalid && block->pc < end && block->pc + block->guest_bytes > start;
}

void blocks_in_range(BlockTable *table, uint64_t start, uint64_t end, void (*each)(void *, Block *), void *context) {
    if (start >= end || !table->count) return;
    uint64_t first = start >> GUEST_PAGE_BITS, last = (end - 1) >> GUEST_PAGE_BITS;
    if (last - first >= PAGE_BUCKETS) {
        for (uint32_t i = 0; i < table->count; i++)
            if (overlaps(table->by_address[i], start, end)) each(context, table->by_address[i]);
        return;
    }
    for (uint64_t page = first; page <= last; page++)
        for (PageEntry *entry = table->pages[page_hash(page)]; entry; entry = entry->next)
            if (entry->page == page && overlaps(entry->block, start, end)) each(context, entry->block);
}

void block_remove(BlockTable *table, Block *block) {
    (void)table; // an invalid block is skipped by lookups and dropped when the table grows
    __atomic_store_n(&block->invalid, true, __ATOMIC_RELEASE);
}
