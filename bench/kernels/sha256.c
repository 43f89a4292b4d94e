// SPDX-License-Identifier: MIT
// SHA-256 compression: 32-bit rotates, xors and additions with many live values.
// group: int
// size: 2700
#include "kernel.h"

static uint32_t k[64];

static uint32_t ror(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void compress(uint32_t h[8], const uint32_t block[16]) {
    uint32_t w[64], s[8];
    memcpy(w, block, 64);
    for (int i = 16; i < 64; i++)
        w[i] = w[i - 16] + (ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3) + w[i - 7] +
               (ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10);
    memcpy(s, h, 32);
    for (int i = 0; i < 64; i++) {
        uint32_t t1 = s[7] + (ror(s[4], 6) ^ ror(s[4], 11) ^ ror(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
        uint32_t t2 = (ror(s[0], 2) ^ ror(s[0], 13) ^ ror(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 28);
        s[0] = t1 + t2, s[4] += t1;
    }
    for (int i = 0; i < 8; i++) h[i] += s[i];
}

static uint64_t kernel(unsigned percent) {
    uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint32_t block[16], seed = 7;
    for (int i = 0; i < 64; i++) k[i] = next_random(&seed);
    for (unsigned i = 0; i < percent * 2000; i++) {
        for (int j = 0; j < 16; j++) block[j] = i * 16 + (unsigned)j;
        compress(h, block);
    }
    return (uint64_t)h[0] << 32 | h[7];
}
