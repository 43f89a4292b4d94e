// SPDX-License-Identifier: MIT
//
// Guest code as data: how it is read for a translation, and which translations are still right after it may have changed.
//
// A block that lies in memory that can change keeps the bytes that it was made of, and its page is listed. When the guest says that code
// has changed (fence.i, riscv_flush_icache), pages are compared with what they were the last time, then the blocks of those that differ
// with their own bytes, and only blocks that differ are forgotten: a program that writes code all the time pays for what it writes, not
// for all that it has. A page's copy is that of the last comparison; it says nothing of a block that was made of other bytes, so such a
// block ends the copy's validity (`known`) until the next comparison.
//
// Blocks in memory that cannot be written have no copy; in a range that the guest names they are forgotten without a comparison. A
// range is to be believed, but for memory that is shared: there the guest may have written at another address.
#include "engine/internal.h"
#include "base/error.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_INSN_BYTES = 4, CODE_PIECE = 256, PAGE_BYTES = CODE_PAGE_BYTES };

// Another `wanted` bytes of the copy; how many there are behind `offset` then.
static size_t read_more(Engine *engine, size_t offset, size_t wanted) {
    CodeCopy *code = &engine->code;
    GuestCodeKind kind = GUEST_CODE_FIXED;
    size_t size = engine->hooks.fetch(code->pc + offset, &kind);
    if (kind > code->kind) code->kind = kind;
    size_t left_on_page = CODE_PAGE_BYTES - ((code->pc + offset) & (CODE_PAGE_BYTES - 1));
    if (size > left_on_page) size = left_on_page;
    if (size > wanted) size = wanted;
    if (size > CODE_COPY_BYTES - offset) size = CODE_COPY_BYTES - offset;
    if (size && code->guarded) guard_page(engine, code->pc + offset, kind);
    if (!size || !guest_read(code->bytes + offset, code->pc + offset, size)) return 0;
    code->size = offset + size;
    return size;
}

size_t code_begin(Engine *engine, uint64_t pc, unsigned insns, bool guarded) {
    engine->code.guarded = guarded;
    engine->code.pc = pc;
    engine->code.size = 0;
    engine->code.kind = GUEST_CODE_FIXED;
    return read_more(engine, 0, (size_t)insns * MOST_INSN_BYTES);
}

size_t code_fetch(void *context, uint64_t pc, const uint8_t **bytes) {
    Engine *engine = context;
    CodeCopy *code = &engine->code;
    size_t offset = pc - code->pc;
    *bytes = code->bytes + offset;
    if (offset < code->size) return code->size - offset;
    return offset == code->size ? read_more(engine, offset, CODE_PIECE) : 0;
}

// ---- pages ------------------------------------------------------------------------------------------------------------------
static CodePage **bucket_of(Engine *engine, uint64_t page) {
    return &engine->code_pages[page * 0x9e3779b97f4a7c15ull >> 54 & (CODE_PAGE_BUCKETS - 1)];
}

CodePage *code_page(Engine *engine, uint64_t page) {
    CodePage **bucket = bucket_of(engine, page);
    for (CodePage *p = *bucket; p; p = p->next)
        if (p->page == page) return p;
    CodePage *p = malloc(sizeof *p);
    if (!p) fatal("out of memory for copies of code that changes");
    p->next = *bucket;
    p->page = page;
    p->kind = GUEST_CODE_WRITABLE;
    p->known = p->guarded = false;
    return *bucket = p;
}

// The part of a block that lies on a page, compared with the page's copy.
static bool agrees(const CodePage *p, const Block *block) {
    uint64_t start = p->page << GUEST_PAGE_BITS, end = start + PAGE_BYTES, block_end = block->pc + block->guest_bytes;
    uint64_t from = block->pc > start ? block->pc : start, to = block_end < end ? block_end : end;
    return memcmp(p->bytes + (from - start), block->code + (from - block->pc), to - from) == 0;
}

void code_keep(Engine *engine, Block *block) {
    const CodeCopy *code = &engine->code;
    if (code->kind == GUEST_CODE_FIXED || !block->guest_bytes || block->guest_bytes > code->size) return;
    uint8_t *bytes = arena_alloc_raw(&engine->blocks.arena, block->guest_bytes);
    block->code = memcpy(bytes, code->bytes, block->guest_bytes);
    uint64_t first = block->pc >> GUEST_PAGE_BITS, last = (block->pc + block->guest_bytes - 1) >> GUEST_PAGE_BITS;
    for (uint64_t page = first; page <= last; page++) {
        CodePage *p = code_page(engine, page);
        if (code->kind == GUEST_CODE_SHARED && p->kind != GUEST_CODE_SHARED) {
            p->kind = GUEST_CODE_SHARED;
            engine->shared_code_pages++;
        }
        if (p->known && !agrees(p, block)) p->known = false;
    }
}

void code_forget(Engine *engine) {
    for (int i = 0; i < CODE_PAGE_BUCKETS; i++) {
        for (CodePage *p = engine->code_pages[i], *next; p; p = next) next = p->next, free(p);
        engine->code_pages[i] = NULL;
    }
    engine->shared_code_pages = 0;
}

// ---- what has changed -------------------------------------------------------------------------------------------------------
// Blocks that are to be forgotten are listed before the world is stopped: none is made or forgotten while the lock is held.
typedef struct Changed {
    Engine *engine;
    Block *list;
    const CodePage *page; // that is looked at
    bool some_left;       // there are blocks on it that are right
} Changed;

static void note_changed(Changed *changed, Block *block) {
    if (block->changed) return;
    block->changed = true;
    block->next_changed = changed->list;
    changed->list = block;
}

static void note_block(void *context, Block *block) {
    Changed *changed = context;
    changed->engine->counters.blocks_compared++;
    if (!block->code || !changed->page->known || !agrees(changed->page, block)) note_changed(changed, block);
    else changed->some_left = true;
}

static void note_uncopied(void *context, Block *block) {
    if (!block->code) note_changed(context, block);
}

// False: there is nothing on the page any more. Blocks are compared with the copy, not with memory, which may change meanwhile.
static bool note_page(CodePage *p, Changed *changed) {
    uint64_t start = p->page << GUEST_PAGE_BITS;
    changed->engine->counters.code_pages_compared++;
    if (p->known && guest_equal(start, p->bytes, PAGE_BYTES)) return true;
    p->known = guest_read(p->bytes, start, PAGE_BYTES);
    changed->page = p;
    changed->some_left = false;
    blocks_in_range(&changed->engine->blocks, start, start + PAGE_BYTES, note_block, changed);
    return changed->some_left;
}

// Goes on behind the page, which is unlisted if nothing is on it.
static CodePage **note_listed(CodePage **link, Changed *changed) {
    CodePage *p = *link;
    if (note_page(p, changed)) return &p->next;
    if (p->kind == GUEST_CODE_SHARED) changed->engine->shared_code_pages--;
    *link = p->next;
    free(p);
    return link;
}

// All pages of kind `least` and more.
static void note_pages(GuestCodeKind least, Changed *changed) {
    for (int i = 0; i < CODE_PAGE_BUCKETS; i++)
        for (CodePage **link = &changed->engine->code_pages[i]; *link;)
            link = (*link)->kind >= least ? note_listed(link, changed) : &(*link)->next;
}

static void note_range(uint64_t start, uint64_t end, Changed *changed) {
    Engine *engine = changed->engine;
    uint64_t first = start >> GUEST_PAGE_BITS, last = (end - 1) >> GUEST_PAGE_BITS;
    blocks_in_range(&engine->blocks, start, end, note_uncopied, changed);
    if (last - first >= CODE_PAGE_BUCKETS) {
        note_pages(GUEST_CODE_WRITABLE, changed);
        return;
    }
    for (uint64_t page = first; page <= last; page++)
        for (CodePage **link = bucket_of(engine, page); *link;)
            link = (*link)->page == page ? note_listed(link, changed) : &(*link)->next;
    if (engine->shared_code_pages) note_pages(GUEST_CODE_SHARED, changed);
}

void engine_code_changed(Engine *engine, uint64_t start, uint64_t end) {
    Changed changed = {.engine = engine};
    world_lock(engine);
    if (start == end) note_pages(GUEST_CODE_WRITABLE, &changed);
    else note_range(start, end, &changed);
    if (changed.list) {
        world_stop(engine);
        for (Block *block = changed.list; block; block = block->next_changed) forget_block(engine, block);
        world_blocks_gone(engine);
        world_resume(engine);
    }
    world_unlock(engine);
}
