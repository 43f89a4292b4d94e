// SPDX-License-Identifier: MIT
//
// -L: absolute names are looked for under a directory that holds the guest's libraries, then as they stand.
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include "linux/linux.h"

// /dev, /proc, /sys and what is below: a sysroot has empty directories there, which must not hide the real ones.
static bool is_of_kernel(const char *path) {
    static const char *const names[] = {"/dev", "/proc", "/sys"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        size_t length = strlen(names[i]);
        if (strncmp(path, names[i], length) == 0 && (path[length] == '/' || path[length] == '\0')) return true;
    }
    return false;
}

const char *sysroot_path(const LinuxProcess *process, const char *path, char buffer[PATH_MAX]) {
    if (!process->sysroot || path[0] != '/' || is_of_kernel(path)) return path;
    int n = snprintf(buffer, PATH_MAX, "%s%s", process->sysroot, path);
    if (n < 0 || n >= PATH_MAX) return path;
    return faccessat(AT_FDCWD, buffer, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? buffer : path;
}
