// SPDX-License-Identifier: MIT
// A result is a number of bytes whatever number it is: none may be taken for something of the translator's own.
// Calls: read write
#include "check.h"

int main(void) {
    static char out[4096], in[4096];
    int ends[2], wrong_writes = 0, wrong_reads = 0, wrong_bytes = 0;
    CHECK(pipe(ends) == 0);
    for (long size = 1; size <= (long)sizeof out; size++) {
        memset(out, (int)(size % 255 + 1), (size_t)size);
        wrong_writes += write(ends[1], out, (size_t)size) != size;
        wrong_reads += read(ends[0], in, sizeof in) != size;
        wrong_bytes += memcmp(in, out, (size_t)size) != 0;
    }
    CHECK(wrong_writes == 0);
    CHECK(wrong_reads == 0);
    CHECK(wrong_bytes == 0);
    return check_summary();
}
