// SPDX-License-Identifier: MIT
#include "base/arena.h"
#include "base/error.h"
#include <stdlib.h>
#include <string.h>

struct ArenaChunk {
    ArenaChunk *older;
    size_t size;
    _Alignas(16) uint8_t data[];
};

enum { FIRST_CHUNK = 64 << 10, LARGEST_CHUNK = 256 << 10 };

static size_t round_up(size_t size) { return (size + 15) & ~(size_t)15; }

static void add_chunk(Arena *arena, size_t at_least) {
    size_t size = arena->chunks ? arena->chunks->size * 2 : FIRST_CHUNK;
    if (size > LARGEST_CHUNK) size = LARGEST_CHUNK;
    if (size < at_least) size = at_least;
    ArenaChunk *chunk = malloc(sizeof *chunk + size);
    if (!chunk) fatal("out of memory (%zu bytes for translation)", size);
    chunk->older = arena->chunks;
    chunk->size = size;
    arena->chunks = chunk;
    arena->next = chunk->data;
    arena->end = chunk->data + size;
    arena->size += size;
}

void *arena_alloc_raw(Arena *arena, size_t size) {
    size = round_up(size);
    if ((size_t)(arena->end - arena->next) < size) add_chunk(arena, size);
    void *p = arena->next;
    arena->next += size;
    return p;
}

void *arena_alloc(Arena *arena, size_t size) { return memset(arena_alloc_raw(arena, size), 0, size); }

void *arena_grow(Arena *arena, void *old, size_t old_size, size_t new_size) {
    size_t extra = round_up(new_size) - round_up(old_size);
    if (old && (uint8_t *)old + round_up(old_size) == arena->next && (size_t)(arena->end - arena->next) >= extra) {
        memset(arena->next, 0, extra);
        arena->next += extra;
        return old;
    }
    void *p = arena_alloc(arena, new_size);
    if (old) memcpy(p, old, old_size);
    return p;
}

void arena_reset(Arena *arena) {
    if (!arena->chunks) return;
    while (arena->chunks->older) {
        ArenaChunk *chunk = arena->chunks;
        arena->chunks = chunk->older;
        free(chunk);
    }
    arena->next = arena->chunks->data;
    arena->end = arena->next + arena->chunks->size;
    arena->size = arena->chunks->size;
}

void arena_free(Arena *arena) {
    while (arena->chunks) {
        ArenaChunk *chunk = arena->chunks;
        arena->chunks = chunk->older;
        free(chunk);
    }
    arena->next = arena->end = NULL;
    arena->size = 0;
}
