// SPDX-License-Identifier: MIT
//
// Prints the numbers of the ioctl requests that ioctl.def names, which encode the sizes of their structures. Apart from
// layout.c because the kernel's <asm/termbits.h> and the C library's <termios.h> exclude each other.
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <linux/blkpg.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/loop.h>
#include <linux/random.h>
#include <linux/rtc.h>
#include <linux/sockios.h>
#include <stdio.h>

int main(void) {
#define IOCTL(request) printf(#request " 0x%lx\n", (unsigned long)(request));
#include "../../../src/linux/ioctl.def"
#undef IOCTL
    printf("sizeof(struct termios) %zu\nsizeof(struct termios2) %zu\n", sizeof(struct termios), sizeof(struct termios2));
    return 0;
}
