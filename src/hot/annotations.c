// SPDX-License-Identifier: MIT
//
// The text of --annotate=FILE: loop heads, one a line.
#include "hot/hot.h"
#include <ctype.h>
#include <string.h>

typedef struct Text {
    const char *next, *end; // of one line
} Text;

static bool at_end(const Text *t) { return t->next == t->end; }
static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v'; }

static void skip_space(Text *t) {
    while (!at_end(t) && is_space(*t->next)) t->next++;
}

static int digit_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return isxdigit((unsigned char)c) ? (c | 0x20) - 'a' + 10 : 99;
}

// A number to the end of the word. NULL: good, else what is wrong. `0x` makes it hexadecimal whatever `base` says.
static const char *read_number(Text *t, unsigned base, uint64_t *value) {
    if (t->end - t->next > 2 && t->next[0] == '0' && (t->next[1] | 0x20) == 'x') t->next += 2, base = 16;
    const char *start = t->next;
    for (*value = 0; !at_end(t) && digit_value(*t->next) < (int)base; t->next++)
        if (__builtin_mul_overflow(*value, base, value) || __builtin_add_overflow(*value, (unsigned)digit_value(*t->next), value))
            return "the number does not fit in 64 bits";
    return t->next == start ? "a number is missing" : NULL;
}

static const char *read_symbol(Text *t, Arena *arena, HotAnnotation *out) {
    const char *start = t->next;
    while (!at_end(t) && !is_space(*t->next) && *t->next != '+') t->next++;
    size_t size = (size_t)(t->next - start);
    if (!size) return "a symbol or an address is missing";
    if (memchr(start, '\0', size)) return "there is a zero byte in it";
    out->symbol = memcpy(arena_alloc(arena, size + 1), start, size);
    if (at_end(t) || *t->next != '+') return NULL;
    t->next++;
    return read_number(t, 10, &out->value);
}

static const char *read_line(Text *t, Arena *arena, HotAnnotation *out) {
    const char *error = isdigit((unsigned char)*t->next) ? read_number(t, 16, &out->value) : read_symbol(t, arena, out);
    skip_space(t);
    return error || at_end(t) ? error : "there is more than a symbol or an address";
}

static void append(HotAnnotations *out, Arena *arena, HotAnnotation entry, unsigned *room) {
    if (out->count == *room) {
        unsigned more = *room ? *room * 2 : 16;
        out->list = arena_grow(arena, out->list, *room * sizeof *out->list, more * sizeof *out->list);
        *room = more;
    }
    out->list[out->count++] = entry;
}

bool hot_annotations_parse(const char *text, size_t size, Arena *arena, HotAnnotations *out) {
    const char *end = text + size;
    unsigned room = 0, number = 0;
    *out = (HotAnnotations){0};
    for (const char *next = text; next < end;) {
        const char *newline = memchr(next, '\n', (size_t)(end - next)), *stop = newline ? newline : end;
        const char *comment = memchr(next, '#', (size_t)(stop - next));
        Text line = {next, comment ? comment : stop};
        next = newline ? newline + 1 : end;
        HotAnnotation entry = {.line = ++number};
        skip_space(&line);
        if (at_end(&line)) continue;
        if ((out->error = read_line(&line, arena, &entry))) return out->error_line = number, false;
        append(out, arena, entry, &room);
    }
    return true;
}
