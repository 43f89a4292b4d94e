// SPDX-License-Identifier: MIT
//
// The common case, a plain path without a sysroot, costs one copy of the string and a look at its first bytes. Only names
// that procfs.c knows are resolved further, so that "maps" in some directory costs one fstatfs and nothing else anything.
#include "linux/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "linux/procfs.h"

enum { PAGE = 4096 };

long guest_read_string(char *to, uint64_t from, size_t size) {
    size_t length = 0;
    while (length < size) {
        uint64_t at = from + length;
        size_t piece = PAGE - (at & (PAGE - 1)); // never touches the page behind the end of the string
        if (piece > 256) piece = 256;
        if (piece > size - length) piece = size - length;
        if (!guest_read(to + length, at, piece)) return -EFAULT;
        const char *end = memchr(to + length, 0, piece);
        if (end) return end - to;
        length += piece;
    }
    return -ENAMETOOLONG;
}

static bool directory_is_proc(int directory) {
    struct statfs fs;
    int error = directory == AT_FDCWD ? statfs(".", &fs) : fstatfs(directory, &fs);
    return error == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

const char *path_in_proc(int directory, const char *name, char buffer[PATH_MAX]) {
    if (name[0] == '/') return strncmp(name, "/proc/", 6) == 0 ? name : NULL;
    const char *slash = strrchr(name, '/');
    if (!procfs_known_name(slash ? slash + 1 : name) || !directory_is_proc(directory)) return NULL;
    char link[40];
    if (directory == AT_FDCWD) snprintf(link, sizeof link, "/proc/thread-self/cwd");
    else snprintf(link, sizeof link, "/proc/thread-self/fd/%d", directory);
    ssize_t length = readlink(link, buffer, PATH_MAX - 1);
    if (length <= 0) return NULL;
    int more = snprintf(buffer + length, PATH_MAX - (size_t)length, "/%s", name);
    return more < PATH_MAX - length ? buffer : NULL;
}

long path_translate(const LinuxThread *t, int directory, uint64_t address, bool follow, char buffer[PATH_MAX], uint64_t *host) {
    char name[PATH_MAX];
    *host = address;
    if (guest_read_string(name, address, sizeof name) <= 0) return 0; // the host's call says what is wrong with it
    const char *proc = path_in_proc(directory, name, buffer);
    ProcFile file = proc ? procfs_find(proc) : PROC_NONE;
    if (file == PROC_OWN_FD) return -ENOENT;
    const char *path = name;
    if (file == PROC_EXE && follow) path = t->process->exe_path;
    else if (!proc && name[0] == '/' && t->process->sysroot) path = sysroot_path(t->process, name, follow, buffer);
    if (path == name) return 0;
    if (path != buffer) memcpy(buffer, path, strlen(path) + 1);
    *host = (uint64_t)buffer;
    return 0;
}
