// SPDX-License-Identifier: MIT
#include "linux/memory_file.h"
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "linux/memory.h"
#include "linux/path.h"

bool memory_file_in_use;

// Is it this process, or a thread of it?
static bool is_own(long id) {
    char path[40];
    snprintf(path, sizeof path, "/proc/self/task/%ld", id);
    return id == getpid() || access(path, F_OK) == 0;
}

static bool is_memory_file(int fd) {
    char link[40], target[80], *end;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, target, sizeof target - 1);
    if (n <= 0) return false;
    target[n] = '\0';
    if (strncmp(target, "/proc/", 6) != 0 || !isdigit((unsigned char)target[6])) return false;
    long id = strtol(target + 6, &end, 10);
    if (strncmp(end, "/task/", 6) == 0) id = strtol(end + 6, &end, 10);
    return strcmp(end, "/mem") == 0 && is_own(id);
}

void memory_file_opened(uint64_t path, int fd) {
    char name[PATH_MAX];
    long n = guest_read_string(name, path, sizeof name);
    if (n >= 3 && strcmp(name + n - 3, "mem") == 0 && is_memory_file(fd)) memory_file_in_use = true;
}

void memory_file_written(long number, const uint64_t args[6], long result) {
    int fd = (int)args[0];
    if (result <= 0) return;
    switch (number) {
    case SYS_write:
    case SYS_writev:
    case SYS_pwrite64:
    case SYS_pwritev:
    case SYS_pwritev2: break;
    default: return;
    }
    if (!is_memory_file(fd)) return;
    bool at_position = number == SYS_write || number == SYS_writev || (number == SYS_pwritev2 && args[3] == UINT64_MAX);
    uint64_t start = at_position ? (uint64_t)lseek(fd, 0, SEEK_CUR) - (uint64_t)result : args[3];
    memory_invalidate(start, start + (uint64_t)result);
}
