// SPDX-License-Identifier: MIT
// Shortest paths in a random graph with a binary heap.
// group: int
// size: 640
#include "kernel.h"

enum { NODES = 20000, DEGREE = 6 };
typedef struct Entry {
    uint32_t distance, node;
} Entry;
static uint32_t target[NODES][DEGREE], weight[NODES][DEGREE], distance[NODES];
static Entry heap[NODES * DEGREE + 1];
static size_t heap_count;

static void push(Entry e) {
    size_t i = heap_count++;
    for (; i && heap[(i - 1) / 2].distance > e.distance; i = (i - 1) / 2) heap[i] = heap[(i - 1) / 2];
    heap[i] = e;
}

static Entry pop(void) {
    Entry top = heap[0], e = heap[--heap_count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < heap_count; i = child) {
        if (child + 1 < heap_count && heap[child + 1].distance < heap[child].distance) child++;
        if (heap[child].distance >= e.distance) break;
        heap[i] = heap[child];
    }
    heap[i] = e;
    return top;
}

static uint64_t kernel(unsigned percent) {
    uint32_t seed = 29;
    for (int i = 0; i < NODES; i++)
        for (int j = 0; j < DEGREE; j++) target[i][j] = next_random(&seed) % NODES, weight[i][j] = next_random(&seed) % 1000 + 1;
    uint64_t sum = 0;
    for (unsigned round = 0; round < (percent * 4 + 2) / 3; round++) {
        memset(distance, 0xff, sizeof distance);
        distance[round] = 0;
        push((Entry){0, round});
        while (heap_count) {
            Entry e = pop();
            if (e.distance > distance[e.node]) continue;
            for (int j = 0; j < DEGREE; j++) {
                uint32_t to = target[e.node][j], d = e.distance + weight[e.node][j];
                if (d < distance[to]) distance[to] = d, push((Entry){d, to});
            }
        }
        for (int i = 0; i < NODES; i++) sum += distance[i] * (uint64_t)i;
    }
    return sum;
}
