// SPDX-License-Identifier: MIT
//
// Bump allocation: objects live until the arena is reset or freed. One thread at a time.
#ifndef KILN_BASE_ARENA_H
#define KILN_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

typedef struct ArenaChunk ArenaChunk;
typedef struct Arena {
    ArenaChunk *chunks; // newest first
    uint8_t *next, *end;
    size_t size; // of all chunks
} Arena;

// Zeroed memory, 16-byte aligned. Never NULL: out of memory ends the process with a message (base/error.h).
void *arena_alloc(Arena *arena, size_t size);
// The same, not zeroed.
void *arena_alloc_raw(Arena *arena, size_t size);
// Grows an array in place if it is the newest object, else copies it.
void *arena_grow(Arena *arena, void *old, size_t old_size, size_t new_size);
// Forgets all objects and keeps the first chunk for reuse.
void arena_reset(Arena *arena);
void arena_free(Arena *arena);

#endif
