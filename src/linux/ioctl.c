// SPDX-License-Identifier: MIT
//
// ioctl: passed to the host, but for devices whose requests speak of host instructions or of memory behind Kiln's back.
#include <errno.h>
#include <stdio.h>
#include <asm/termbits.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <linux/fiemap.h>
#include <linux/if_tun.h>
#include <linux/loop.h>
#include <linux/random.h>
#include <linux/rtc.h>
#include <linux/sockios.h>
#include <asm/ioctls.h>
#include <sys/syscall.h>
#include "linux/handlers.h"
#include "linux/syscall.h"

enum {
    TYPE_USERFAULTFD = 0xaa,
    TYPE_KVM = 0xae,
};

static unsigned request_type(uint64_t request) { return request >> _IOC_TYPESHIFT & _IOC_TYPEMASK; }

// May wait: draining a terminal's output, freezing a file system, many drivers.
long sys_ioctl(LinuxThread *t, const uint64_t args[6]) {
    unsigned type = request_type(args[1]);
    if (type == TYPE_KVM || type == TYPE_USERFAULTFD) return -ENOTTY;
    return safe_syscall(t, SYS_ioctl, args[0], args[1], args[2], 0, 0, 0);
}

const char *ioctl_name(uint64_t request) {
    static const struct {
        uint32_t request;
        const char *name;
    } names[] = {
#define IOCTL(name) {(uint32_t)name, #name},
#include "linux/ioctl.def"
#undef IOCTL
    };
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].request == (uint32_t)request) return names[i].name;
    return NULL;
}
