// SPDX-License-Identifier: MIT
//
// Code of guests that need no instruction to make changed code seen (x86 would be one; riscv64 is not): pages that blocks were made of are
// protected against writing on the host, so that a store to one of them comes by here.
//
//   a block is made of a page     guard: the page is protected, then its bytes are read
//   a store to it faults          open: its blocks are forgotten, write access is given back; the one instruction is interpreted,
//                                 as a block made of it might lie on the page and close it again; then all goes on as before
//
// Both happen with the engine's lock held, so a store either comes before the bytes are read or finds the block in the table. What changes
// the host's protection otherwise (mprotect, mmap) forgets the blocks of the range, and opens it. A page that is closed by
// mistake costs a fault, as `open` gives write access back whether or not the page is known to be guarded.
//
// The kernel writes too: engine_open_code is called for what a system call is about to fill, and engine_open_all_code when a call could not
// write. Not covered is what the kernel writes long after a call (a robust futex, the word that a thread's end clears), and
// memory that is mapped a second time.
#include "engine/internal.h"

static bool is_writable_kind(GuestCodeKind kind) { return kind != GUEST_CODE_FIXED; }

void guard_page(Engine *engine, uint64_t address, GuestCodeKind kind) {
    if (!engine->options.guard_code || !is_writable_kind(kind)) return;
    uint64_t page = address >> GUEST_PAGE_BITS;
    CodePage *p = code_page(engine, page);
    if (p->guarded || !engine->hooks.protect(page << GUEST_PAGE_BITS, true)) return;
    p->guarded = true;
    engine->counters.code_pages_guarded++;
}

static bool touches(const CodePage *p, uint64_t start, uint64_t end) {
    uint64_t at = p->page << GUEST_PAGE_BITS;
    return p->guarded && at < end && at + CODE_PAGE_BYTES > start;
}

static bool any_guarded(const Engine *engine, uint64_t start, uint64_t end) {
    for (int i = 0; i < CODE_PAGE_BUCKETS; i++)
        for (const CodePage *p = engine->code_pages[i]; p; p = p->next)
            if (touches(p, start, end)) return true;
    return false;
}

void guard_open(Engine *engine, uint64_t start, uint64_t end) {
    if (!engine->options.guard_code || start >= end) return;
    for (int i = 0; i < CODE_PAGE_BUCKETS; i++)
        for (CodePage *p = engine->code_pages[i]; p; p = p->next) {
            if (!touches(p, start, end)) continue;
            p->guarded = false;
            engine->hooks.protect(p->page << GUEST_PAGE_BITS, false);
            engine->counters.code_pages_opened++;
        }
}

// The whole pages that [start, end) touches.
static void open_pages(Engine *engine, uint64_t start, uint64_t end) {
    const uint64_t mask = CODE_PAGE_BYTES - 1;
    start &= ~mask;
    end = (end + mask) & ~mask;
    world_stop(engine);
    blocks_in_range(&engine->blocks, start, end, forget_block, engine);
    guard_open(engine, start, end);
    world_blocks_gone(engine);
    world_resume(engine);
}

bool engine_open_code(Engine *engine, uint64_t start, uint64_t end) {
    if (!engine->options.guard_code || start >= end) return false;
    world_lock(engine);
    bool any = any_guarded(engine, start, end);
    if (any) open_pages(engine, start, end);
    world_unlock(engine);
    return any;
}

bool engine_open_all_code(Engine *engine) {
    bool any = false;
    if (!engine->options.guard_code) return false;
    world_lock(engine);
    for (int i = 0; i < CODE_PAGE_BUCKETS; i++)
        for (CodePage *p = engine->code_pages[i]; p; p = p->next) {
            if (!p->guarded) continue;
            any = true;
            open_pages(engine, p->page << GUEST_PAGE_BITS, (p->page + 1) << GUEST_PAGE_BITS);
        }
    world_unlock(engine);
    return any;
}

bool engine_write_fault(Cpu *cpu, uint64_t address) {
    Engine *engine = cpu->engine;
    if (!engine->options.guard_code) return false;
    if (!engine_open_code(engine, address, address + 1))
        engine->hooks.protect(address >> GUEST_PAGE_BITS << GUEST_PAGE_BITS, false);
    cpu->one_insn = true;
    return true;
}
