// SPDX-License-Identifier: MIT
//
// What a path that the guest names means on the host: below the sysroot (-L) if it exists there, and what /proc shows of
// the guest's own process.
#ifndef KILN_LINUX_PATH_H
#define KILN_LINUX_PATH_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include "linux/linux.h"

// Copies a string of the guest; its length, or -EFAULT, or -ENAMETOOLONG if it does not fit.
long guest_read_string(char *to, uint64_t from, size_t size);

// The host path for the guest's string at `address`, relative to `directory` (AT_FDCWD) if it is relative. *host is `address`
// itself where nothing changes, bad addresses included (the host's call then answers EFAULT), else `buffer`. `follow`: a
// symbolic link as the last component counts as its target. 0, or -ENOENT for what Kiln hides.
long path_translate(const LinuxThread *t, int directory, uint64_t address, bool follow, char buffer[PATH_MAX], uint64_t *host);

// The path that `name` means if it names something in /proc, relative to `directory`; else NULL. For procfs.c's names alone
// (others answer NULL even if they are in /proc).
const char *path_in_proc(int directory, const char *name, char buffer[PATH_MAX]);

#endif
