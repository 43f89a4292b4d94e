// SPDX-License-Identifier: MIT
// Calls through function pointers, as of objects with virtual methods.
// group: int
// size: 6400
#include "kernel.h"

typedef struct Shape {
    uint64_t (*measure)(const struct Shape *, uint64_t);
    uint64_t a, b;
} Shape;

static uint64_t box(const Shape *s, uint64_t x) { return s->a * s->b + x; }
static uint64_t line(const Shape *s, uint64_t x) { return (s->a ^ x) + s->b; }
static uint64_t ring(const Shape *s, uint64_t x) { return 3 * s->a + (x >> 1); }
static uint64_t dot(const Shape *s, uint64_t x) { return x + (s->a | 1); }

static uint64_t kernel(unsigned percent) {
    static uint64_t (*const kinds[])(const Shape *, uint64_t) = {box, line, ring, dot};
    enum { COUNT = 1000 };
    static Shape shapes[COUNT];
    uint32_t seed = 17;
    for (int i = 0; i < COUNT; i++) shapes[i] = (Shape){kinds[next_random(&seed) % 4], next_random(&seed), next_random(&seed)};
    uint64_t sum = 0;
    for (unsigned round = 0; round < percent * 250; round++)
        for (int i = 0; i < COUNT; i++) sum = shapes[i].measure(&shapes[i], sum);
    return sum;
}
