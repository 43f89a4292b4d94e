// SPDX-License-Identifier: MIT
//
// -L: absolute names are looked for under a directory that holds the guest's libraries, then as they stand.
//
// Links are followed here, not by the host, which would take an absolute one below the sysroot for a name of its own: "awk" leads to
// "/etc/alternatives/awk", which means the sysroot's. Such a target is looked for as if the guest had named it: below the
// sysroot, then on the host. That takes one readlink for each component up to the first one that is not there.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "linux/linux.h"

enum { LINKS_MAX = 40 }; // as in the kernel

typedef enum Outcome { FOUND, MISSING, ELSEWHERE } Outcome;

typedef struct Walk {
    const char *root;
    size_t root_length;
    bool follow;         // the last component too
    bool clamped;        // ".." of the sysroot itself was met
    unsigned links;      // followed so far
    size_t length;       // of `at`
    char at[PATH_MAX];   // the sysroot and what is resolved, without links
    char name[PATH_MAX]; // what is looked for, as a name of the guest
    char rest[PATH_MAX]; // what is left of it
} Walk;

// /dev, /proc, /sys and what is below: a sysroot has empty directories there, which must not hide the real ones.
static bool is_of_kernel(const char *path) {
    static const char *const names[] = {"/dev", "/proc", "/sys"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        size_t length = strlen(names[i]);
        if (strncmp(path, names[i], length) == 0 && (path[length] == '/' || path[length] == '\0')) return true;
    }
    return false;
}

static void go_up(Walk *w) {
    if (w->length == w->root_length) w->clamped = true;
    else
        while (w->at[--w->length] != '/') {}
    w->at[w->length] = '\0';
}

static bool go_down(Walk *w, const char *component, size_t size) {
    if (w->length + 1 + size >= PATH_MAX) return false;
    w->at[w->length] = '/';
    memcpy(w->at + w->length + 1, component, size);
    w->length += 1 + size;
    w->at[w->length] = '\0';
    return true;
}

// `at` is a link to `target`, and `rest` follows it. FOUND: the walk goes on.
static Outcome go_through(Walk *w, const char *target, const char *rest) {
    char joined[PATH_MAX];
    int n = snprintf(joined, sizeof joined, "%s%s", target, rest);
    if (n >= PATH_MAX) return MISSING;
    if (++w->links > LINKS_MAX) return w->rest[0] = '\0', FOUND; // the host is to say so
    if (*target == '/') {
        memcpy(w->name, joined, (size_t)n + 1);
        return ELSEWHERE;
    }
    go_up(w);
    memcpy(w->rest, joined, (size_t)n + 1);
    return FOUND;
}

static Outcome step(Walk *w, const char *component, size_t size, const char **rest) {
    if (size == 1 && component[0] == '.') return FOUND;
    if (size == 2 && memcmp(component, "..", 2) == 0) return go_up(w), FOUND;
    if (!go_down(w, component, size)) return MISSING;
    char target[PATH_MAX];
    ssize_t n = readlink(w->at, target, sizeof target - 1);
    if (n < 0) return errno == EINVAL ? FOUND : MISSING;
    if (!**rest && !w->follow) return FOUND;
    target[n] = '\0';
    Outcome outcome = go_through(w, target, *rest);
    *rest = w->rest;
    return outcome;
}

// Looks for `name` below the sysroot. ELSEWHERE: a link leads to another name, which is now `name`.
static Outcome walk(Walk *w) {
    memcpy(w->at, w->root, w->root_length + 1);
    w->length = w->root_length;
    w->clamped = false;
    Outcome outcome = FOUND;
    for (const char *rest = w->name + strspn(w->name, "/"); *rest && outcome == FOUND; rest += strspn(rest, "/")) {
        const char *component = rest;
        rest += strcspn(rest, "/");
        outcome = step(w, component, (size_t)(rest - component), &rest);
    }
    return outcome;
}

const char *sysroot_path(const LinuxProcess *process, const char *path, bool follow, char buffer[PATH_MAX]) {
    size_t length = strlen(path);
    if (!process->sysroot || path[0] != '/' || length >= PATH_MAX || is_of_kernel(path)) return path;
    Walk w; // not initialised: three quarters of it are not used
    w.root = process->sysroot;
    w.root_length = strlen(process->sysroot);
    w.follow = follow;
    w.links = 0;
    // A program that was started by its name on the host goes on with such names: below the sysroot they mean the same.
    bool below = strncmp(path, w.root, w.root_length) == 0 && path[w.root_length] == '/';
    memcpy(w.name, below ? path + w.root_length : path, length + 1 - (below ? w.root_length : 0));
    Outcome outcome = walk(&w);
    if (outcome == MISSING) return path;
    while (outcome == ELSEWHERE) outcome = is_of_kernel(w.name) ? MISSING : walk(&w);
    if (outcome == FOUND && w.clamped) return memcpy(buffer, w.at, w.length + 1);
    int n = snprintf(buffer, PATH_MAX, "%s%s", outcome == FOUND ? w.root : "", w.name);
    return n < PATH_MAX ? buffer : path;
}
