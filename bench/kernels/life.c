// SPDX-License-Identifier: MIT
// Conway's game of life on bytes: eight loads a cell, short branches.
// group: int
// size: 1450
#include "kernel.h"

enum { W = 256, H = 256 };
static uint8_t grid[2][H + 2][W + 2];

static uint64_t kernel(unsigned percent) {
    uint32_t seed = 37;
    for (int y = 1; y <= H; y++)
        for (int x = 1; x <= W; x++) grid[0][y][x] = next_random(&seed) % 3 == 0;
    unsigned now = 0;
    for (unsigned round = 0; round < percent * 20; round++, now ^= 1)
        for (int y = 1; y <= H; y++)
            for (int x = 1; x <= W; x++) {
                const uint8_t *c = &grid[now][y][x];
                int n = c[-W - 3] + c[-W - 2] + c[-W - 1] + c[-1] + c[1] + c[W + 1] + c[W + 2] + c[W + 3];
                grid[now ^ 1][y][x] = n == 3 || (n == 2 && *c);
            }
    uint64_t sum = 0;
    for (int y = 1; y <= H; y++)
        for (int x = 1; x <= W; x++) sum = sum * 3 + grid[now][y][x];
    return sum;
}
