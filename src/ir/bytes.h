// SPDX-License-Identifier: MIT
//
// Bytes written and read one after the other: little-endian, no padding. For the serialised forms of this folder.
//
// What is read is not trusted: the reader's error is sticky (everything after it reads as zero), and counts are checked against the bytes
// that are left before anything is allocated.
#ifndef KILN_IR_BYTES_H
#define KILN_IR_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "base/arena.h"
#include "ir/kir.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are copied as they lie in memory");
enum { MAX_NAME = 255 };

// Counts always, writes as long as there is room.
typedef struct Writer {
    uint8_t *out;
    size_t size, capacity;
} Writer;

static inline void put(Writer *w, const void *data, size_t size) {
    if (size && w->size <= w->capacity && size <= w->capacity - w->size) memcpy(w->out + w->size, data, size);
    w->size += size;
}
static inline void put_u8(Writer *w, uint8_t value) { put(w, &value, sizeof value); }
static inline void put_u16(Writer *w, uint16_t value) { put(w, &value, sizeof value); }
static inline void put_u32(Writer *w, uint32_t value) { put(w, &value, sizeof value); }
static inline void put_u64(Writer *w, uint64_t value) { put(w, &value, sizeof value); }
static inline void put_name(Writer *w, const char *name) {
    size_t length = strlen(name);
    if (length > MAX_NAME) length = MAX_NAME;
    put_u8(w, (uint8_t)length);
    put(w, name, length);
}

typedef struct Reader {
    const uint8_t *next, *end;
    Arena *arena;
    bool failed;
} Reader;

static inline bool refuse(Reader *r) {
    r->failed = true;
    return false;
}
static inline bool check(Reader *r, bool ok) { return (ok && !r->failed) || refuse(r); }

static inline const uint8_t *take(Reader *r, size_t size) {
    if (r->failed || size > (size_t)(r->end - r->next)) {
        refuse(r);
        return NULL;
    }
    const uint8_t *at = r->next;
    r->next += size;
    return at;
}
static inline void get(Reader *r, void *data, size_t size) {
    const uint8_t *from = take(r, size);
    if (from) memcpy(data, from, size);
    else memset(data, 0, size);
}
static inline uint8_t get_u8(Reader *r) {
    uint8_t value;
    get(r, &value, sizeof value);
    return value;
}
static inline uint16_t get_u16(Reader *r) {
    uint16_t value;
    get(r, &value, sizeof value);
    return value;
}
static inline uint32_t get_u32(Reader *r) {
    uint32_t value;
    get(r, &value, sizeof value);
    return value;
}
static inline uint64_t get_u64(Reader *r) {
    uint64_t value;
    get(r, &value, sizeof value);
    return value;
}
static inline const char *get_name(Reader *r) {
    size_t length = get_u8(r);
    const uint8_t *from = take(r, length);
    if (!from || memchr(from, 0, length)) {
        refuse(r);
        return "";
    }
    char *name = arena_alloc(r->arena, length + 1);
    memcpy(name, from, length);
    return name;
}
// How many elements of at least `bytes` bytes each follow; at most `most`.
static inline uint32_t get_count(Reader *r, size_t bytes, uint32_t most) {
    uint32_t count = get_u32(r);
    if (!check(r, count <= most && (uint64_t)count * bytes <= (uint64_t)(r->end - r->next))) return 0;
    return count;
}

// ---- a block's or trace's exit
static inline void put_exit(Writer *w, const KirExit *exit) {
    put_u64(w, exit->target);
    put_u64(w, exit->link);
    put_u8(w, exit->kind);
    put_u8(w, exit->code);
    put_u8(w, exit->hint);
    put_u8(w, exit->image);
}

static inline void get_exit(Reader *r, KirExit *exit) {
    exit->target = get_u64(r);
    exit->link = get_u64(r);
    exit->kind = get_u8(r);
    exit->code = get_u8(r);
    exit->hint = get_u8(r);
    exit->image = get_u8(r);
    check(r, exit->kind <= KIR_EXIT_EXCEPTION && exit->code <= KIR_EXC_RESUME && exit->hint <= KIR_JUMP_RETURN && exit->image <= 1);
}

#endif
