// SPDX-License-Identifier: MIT
// The smallest program that uses the C library: what it costs is start-up.
#include <stdio.h>

int main(void) {
    puts("hello");
    return 0;
}
