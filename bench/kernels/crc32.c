// SPDX-License-Identifier: MIT
// CRC-32 by table, a byte at a time: loads whose address depends on the load before.
// group: int
// size: 390
// loop: single
#include "kernel.h"

static uint32_t table[256];
static uint8_t data[1 << 16];

static uint64_t kernel(unsigned percent) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
        table[i] = c;
    }
    uint32_t seed = 1;
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)next_random(&seed);
    uint32_t crc = ~0u;
    for (unsigned round = 0; round < percent * 50; round++)
        for (size_t i = 0; i < sizeof data; i++) crc = table[(crc ^ data[i]) & 255] ^ (crc >> 8);
    return ~crc;
}
