// SPDX-License-Identifier: MIT
//
// Files of /proc/self for the guest. Each is made when it is opened, into a memfd, from what the process knows; `maps`,
// `smaps` and `stat` are the host's text with what belongs to Kiln taken out and what differs put in.
//
// Names understood: /proc/self/X, /proc/thread-self/X, /proc/PID/X and their task/TID/X, where PID is our own.
#include "linux/procfs.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "linux/memory.h"
#include "linux/own_fd.h"

// ---- names -------------------------------------------------------------------------------------------------------------

static const struct {
    const char *name;
    ProcFile file;
} proc_names[] = {
    {"exe", PROC_EXE},   {"cmdline", PROC_CMDLINE}, {"environ", PROC_ENVIRON}, {"auxv", PROC_AUXV},
    {"stat", PROC_STAT}, {"maps", PROC_MAPS},       {"smaps", PROC_SMAPS},
};
enum { PROC_NAMES = sizeof(proc_names) / sizeof(proc_names[0]) };

static const char *skip_number(const char *s, uint64_t *number) {
    if (!isdigit((unsigned char)*s)) return NULL;
    char *end;
    *number = strtoull(s, &end, 10);
    return *end == '/' ? end + 1 : NULL;
}

static const char *skip_word(const char *s, const char *word) {
    size_t length = strlen(word);
    return strncmp(s, word, length) == 0 ? s + length : NULL;
}

// What follows "/proc/<own process>/", or NULL.
static const char *in_own_process(const char *path) {
    const char *rest = skip_word(path, "/proc/"), *next;
    uint64_t number;
    if (!rest) return NULL;
    if ((next = skip_word(rest, "self/")) || (next = skip_word(rest, "thread-self/"))) rest = next;
    else if ((next = skip_number(rest, &number)) && number == (uint64_t)getpid()) rest = next;
    else return NULL;
    if ((next = skip_word(rest, "task/")) && (next = skip_number(next, &number))) rest = next;
    return rest;
}

ProcFile procfs_find(const char *path) {
    if (strcmp(path, "/proc/cpuinfo") == 0) return PROC_CPUINFO;
    const char *name = in_own_process(path);
    if (!name) return PROC_NONE;
    for (int i = 0; i < PROC_NAMES; i++)
        if (strcmp(name, proc_names[i].name) == 0) return proc_names[i].file;
    const char *fd = skip_word(name, "fd/");
    if (!fd) fd = skip_word(name, "fdinfo/");
    if (fd && isdigit((unsigned char)*fd) && own_fd_is(strtoull(fd, NULL, 10))) return PROC_OWN_FD;
    return PROC_NONE;
}

bool procfs_known_name(const char *name) {
    if (strcmp(name, "cpuinfo") == 0 || isdigit((unsigned char)*name)) return true;
    for (int i = 0; i < PROC_NAMES; i++)
        if (strcmp(name, proc_names[i].name) == 0) return true;
    return false;
}

bool procfs_is_fd_directory(int fd) {
    struct statfs fs;
    if (fstatfs(fd, &fs) != 0 || fs.f_type != PROC_SUPER_MAGIC) return false;
    char link[40], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/thread-self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return false;
    path[length] = 0;
    const char *name = in_own_process(path);
    return name && (strcmp(name, "fd") == 0 || strcmp(name, "fdinfo") == 0);
}

// ---- contents ----------------------------------------------------------------------------------------------------------

// Guest memory as the file's content. What cannot be read any more ends it.
static void copy_memory(FILE *out, uint64_t start, uint64_t end) {
    char piece[1024];
    for (uint64_t at = start; at < end; at += sizeof piece) {
        size_t size = end - at < sizeof piece ? end - at : sizeof piece;
        if (!guest_read(piece, at, size)) return;
        fwrite(piece, 1, size, out);
    }
}

// One line of the host's `maps`.
typedef struct MapLine {
    uint64_t start, end, offset, inode;
    char prot[5], device[16];
    const char *path; // with the blanks before it, and the newline
} MapLine;

static bool parse_map_line(const char *text, MapLine *line) {
    int at = 0;
    int fields = sscanf(text, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %15s %" SCNu64 "%n", &line->start, &line->end, line->prot,
                        &line->offset, line->device, &line->inode, &at);
    while (text[at] == ' ') at++;
    line->path = text + at;
    return fields == 6;
}

// How the kernel names memory that it made itself.
static const char *area_name(const LinuxProcess *p, const MapLine *line, uint64_t start, uint64_t end) {
    if (line->path[0] == '/') return line->path;
    if (p->stack_start < end && start < p->stack_end) return "[stack]\n";
    if (p->vdso_start < end && start < p->vdso_end) return "[vdso]\n";
    uint64_t heap = memory_brk_start();
    if (heap && heap < end && start < memory_brk(0)) return "[heap]\n";
    return "\n";
}

static void print_piece(FILE *out, const LinuxProcess *p, const MapLine *line, const Mapping *m) {
    uint64_t start = line->start > m->start ? line->start : m->start, end = line->end < m->end ? line->end : m->end;
    bool file = line->path[0] == '/';
    int width = fprintf(out, "%08" PRIx64 "-%08" PRIx64 " %c%c%c%c %08" PRIx64 " %s %" PRIu64, start, end,
                        m->prot & PROT_READ ? 'r' : '-', m->prot & PROT_WRITE ? 'w' : '-', m->prot & PROT_EXEC ? 'x' : '-',
                        line->prot[3], file ? line->offset + (start - line->start) : 0, line->device, line->inode);
    const char *name = area_name(p, line, start, end);
    fprintf(out, "%*s%s", *name == '\n' || width >= 73 ? 1 : 73 - width, "", name);
}

// The pieces of a host mapping that are the guest's; false: none.
static bool print_guest_pieces(FILE *out, const LinuxProcess *p, const MapLine *line) {
    Mapping m;
    bool any = false;
    for (uint64_t at = line->start; at < line->end && memory_next(at, &m) && m.start < line->end; at = m.end) {
        print_piece(out, p, line, &m);
        any = true;
    }
    return any;
}

// maps, and smaps, whose lines after each mapping describe it.
static void print_maps(FILE *out, const LinuxProcess *p, const char *host_file) {
    FILE *host = fopen(host_file, "re");
    if (!host) return;
    char *text = NULL;
    size_t size = 0;
    bool guest = false;
    while (getline(&text, &size, host) > 0) {
        MapLine line;
        if (parse_map_line(text, &line)) guest = print_guest_pieces(out, p, &line);
        else if (guest) fputs(text, out);
    }
    free(text);
    fclose(host);
}

// Fields are counted from 1 as in the manual. The name in parentheses (2) may hold anything, so count from the last ')'.
static void print_stat(FILE *out, const LinuxProcess *p) {
    char text[2048];
    int fd = open("/proc/thread-self/stat", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    if (size <= 0) return;
    text[size] = 0;
    char *rest = strrchr(text, ')');
    if (!rest) return;
    fprintf(out, "%.*s", (int)(rest + 1 - text), text);
    int field = 3;
    char *next = rest + 1;
    for (char *word; (word = strsep(&next, " \n")) != NULL;) {
        if (!*word) continue;
        uint64_t value = 0;
        bool ours = true;
        switch (field++) {
        case 28: value = p->stack_start ? p->arg_start & ~UINT64_C(15) : 0; break;
        case 29:
        case 30: value = 0; break; // stack and instruction pointer: of Kiln
        case 48: value = p->arg_start; break;
        case 49: value = p->arg_end; break;
        case 50: value = p->env_start; break;
        case 51: value = p->env_end; break;
        default: ours = false;
        }
        if (ours) fprintf(out, " %" PRIu64, value);
        else fprintf(out, " %s", word);
    }
    fputc('\n', out);
}

static void print_cpuinfo(FILE *out, const LinuxProcess *p) {
    const GuestLinux *abi = &p->guest->linux_abi;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    for (long i = 0; i < processors; i++) {
        char text[2048] = "";
        if (abi->cpuinfo) abi->cpuinfo(p->features, (unsigned)i, text, sizeof text);
        else snprintf(text, sizeof text, "processor\t: %ld\nmachine\t\t: %s\n", i, abi->machine);
        fprintf(out, "%s\n", text);
    }
}

static void print_file(FILE *out, const LinuxProcess *p, ProcFile file) {
    switch (file) {
    case PROC_CMDLINE: copy_memory(out, p->arg_start, p->arg_end); break;
    case PROC_ENVIRON: copy_memory(out, p->env_start, p->env_end); break;
    case PROC_AUXV: copy_memory(out, p->auxv_start, p->auxv_start + p->auxv_size); break;
    case PROC_STAT: print_stat(out, p); break;
    case PROC_MAPS: print_maps(out, p, "/proc/thread-self/maps"); break;
    case PROC_SMAPS: print_maps(out, p, "/proc/thread-self/smaps"); break;
    case PROC_CPUINFO: print_cpuinfo(out, p); break;
    case PROC_NONE:
    case PROC_EXE:
    case PROC_OWN_FD: break;
    }
}

long procfs_open(const LinuxThread *t, ProcFile file, bool close_on_exec) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out) return -ENOMEM;
    print_file(out, t->process, file);
    if (fclose(out) != 0) return -ENOMEM;
    int fd = memfd_create("proc", close_on_exec ? MFD_CLOEXEC : 0);
    long result = fd < 0 ? -errno : fd;
    if (fd >= 0 && (write(fd, text, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET) != 0)) {
        result = -ENOMEM;
        close(fd);
    }
    free(text);
    return result;
}
