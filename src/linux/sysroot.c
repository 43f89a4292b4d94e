// SPDX-License-Identifier: MIT
//
// -L: absolute names are looked for under a directory that holds the guest's libraries, then as they stand.
#include <stdio.h>
#include <unistd.h>
#include <fcntl.h>
#include "linux/linux.h"

const char *sysroot_path(const LinuxProcess *process, const char *path, char buffer[PATH_MAX]) {
    if (!process->sysroot || path[0] != '/') return path;
    int n = snprintf(buffer, PATH_MAX, "%s%s", process->sysroot, path);
    if (n < 0 || n >= PATH_MAX) return path;
    return faccessat(AT_FDCWD, buffer, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? buffer : path;
}
