// SPDX-License-Identifier: MIT
//
// Names of guest functions, for logs. Each file that the guest has mapped is read once, when the first address in it is asked for;
// which file that is, the map of guest memory tells. The program itself is known by its path and load bias.
#include "linux/symbols.h"
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "linux/memory.h"

typedef struct Symbol {
    uint64_t start, end;
    const char *name;
} Symbol; // relative to the load bias

typedef struct File {
    struct File *next;
    uint64_t device, inode;
    Symbol *symbols; // sorted by start
    size_t count;
} File;

static File *files;
static struct {
    char path[PATH_MAX];
    uint64_t bias, device, inode;
} program;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void symbols_set_program(const char *path, uint64_t bias) {
    struct stat st = {0};
    snprintf(program.path, sizeof program.path, "%s", path);
    stat(path, &st);
    program.device = st.st_dev;
    program.inode = st.st_ino;
    program.bias = bias;
}

// ---- reading a file ----------------------------------------------------------------------------------------------------

static bool inside(uint64_t offset, uint64_t size, uint64_t total) { return offset <= total && size <= total - offset; }

static int by_start(const void *a, const void *b) {
    const Symbol *x = a, *y = b;
    return x->start < y->start ? -1 : x->start > y->start;
}

// Functions written in assembly have no size: they end where the next one begins.
static void end_at_next(File *file) {
    for (size_t i = 0; i < file->count; i++) {
        Symbol *s = &file->symbols[i];
        if (s->end == s->start) s->end = i + 1 < file->count ? file->symbols[i + 1].start : s->start + 1;
    }
}

static void take_symbols(File *file, const uint8_t *data, uint64_t size, const Elf64_Shdr *table, const Elf64_Shdr *names) {
    if (!inside(table->sh_offset, table->sh_size, size) || !inside(names->sh_offset, names->sh_size, size)) return;
    if (names->sh_size == 0 || data[names->sh_offset + names->sh_size - 1] != '\0') return;
    size_t n = table->sh_size / sizeof(Elf64_Sym);
    file->symbols = calloc(n + 1, sizeof *file->symbols);
    for (size_t i = 0; file->symbols && i < n; i++) {
        Elf64_Sym s;
        memcpy(&s, data + table->sh_offset + i * sizeof s, sizeof s);
        unsigned type = ELF64_ST_TYPE(s.st_info);
        if ((type != STT_FUNC && type != STT_GNU_IFUNC) || s.st_shndx == SHN_UNDEF || s.st_name >= names->sh_size) continue;
        file->symbols[file->count++] =
            (Symbol){s.st_value, s.st_value + s.st_size, (const char *)data + names->sh_offset + s.st_name};
    }
    if (file->count) qsort(file->symbols, file->count, sizeof *file->symbols, by_start);
    end_at_next(file);
}

// The first table of this type that has functions.
static void take_table(File *file, const uint8_t *data, uint64_t size, const Elf64_Ehdr *h, uint32_t type) {
    for (unsigned i = 0; i < h->e_shnum && !file->count; i++) {
        Elf64_Shdr table, names;
        memcpy(&table, data + h->e_shoff + i * sizeof table, sizeof table);
        if (table.sh_type != type || table.sh_link >= h->e_shnum) continue;
        memcpy(&names, data + h->e_shoff + table.sh_link * sizeof names, sizeof names);
        take_symbols(file, data, size, &table, &names);
    }
}

// The file stays mapped: the names are in it.
static void read_file(File *file, const char *path) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    bool same = fstat(fd, &st) == 0 && st.st_dev == file->device && st.st_ino == file->inode;
    uint64_t size = same ? (uint64_t)st.st_size : 0;
    const uint8_t *data = size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    close(fd);
    Elf64_Ehdr h;
    if (data == MAP_FAILED || size < sizeof h) return;
    memcpy(&h, data, sizeof h);
    if (memcmp(h.e_ident, ELFMAG, SELFMAG) != 0 || h.e_shentsize != sizeof(Elf64_Shdr)) return;
    if (!inside(h.e_shoff, (uint64_t)h.e_shnum * sizeof(Elf64_Shdr), size)) return;
    take_table(file, data, size, &h, SHT_SYMTAB);
    if (!file->count) take_table(file, data, size, &h, SHT_DYNSYM);
}

// ---- finding -----------------------------------------------------------------------------------------------------------

// What the kernel calls the file that is mapped at `address`.
static bool mapped_path(uint64_t address, char path[PATH_MAX]) {
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[PATH_MAX + 128];
    bool found = false;
    while (maps && !found && fgets(line, sizeof line, maps)) {
        unsigned long start, end;
        int name = 0;
        if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %n", &start, &end, &name) < 2 || !name) continue;
        found = start <= address && address < end && line[name] == '/';
        if (found) snprintf(path, PATH_MAX, "%.*s", (int)strcspn(line + name, "\n"), line + name);
    }
    if (maps) fclose(maps);
    return found;
}

static const File *file_of(const Mapping *m, uint64_t address) {
    char path[PATH_MAX];
    for (File *file = files; file; file = file->next)
        if (file->device == m->device && file->inode == m->inode) return file;
    File *file = calloc(1, sizeof *file);
    if (!file) return NULL;
    *file = (File){.next = files, .device = m->device, .inode = m->inode};
    files = file;
    bool is_program = m->device == program.device && m->inode == program.inode;
    if (is_program) read_file(file, program.path);
    else if (mapped_path(address, path)) read_file(file, path);
    return file;
}

static const Symbol *find(const File *file, uint64_t address) {
    size_t low = 0, high = file->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (file->symbols[middle].start <= address) low = middle + 1;
        else high = middle;
    }
    return low && address < file->symbols[low - 1].end ? &file->symbols[low - 1] : NULL;
}

const char *symbol_at(uint64_t pc, uint64_t *offset) {
    Mapping m;
    if (!memory_lookup(pc, &m) || !(m.flags & MAPPING_FILE)) return NULL;
    bool is_program = m.device == program.device && m.inode == program.inode;
    if (!is_program && !(m.flags & MAPPING_IMAGE)) return NULL;
    uint64_t bias = is_program ? program.bias : m.image_base;
    pthread_mutex_lock(&lock);
    const File *file = file_of(&m, pc);
    const Symbol *symbol = file ? find(file, pc - bias) : NULL;
    pthread_mutex_unlock(&lock);
    if (!symbol) return NULL;
    *offset = pc - bias - symbol->start;
    return symbol->name;
}

static bool has_symbol(const File *file, const char *name) {
    for (size_t i = 0; i < file->count; i++)
        if (!strcmp(file->symbols[i].name, name)) return true;
    return false;
}

bool symbol_is_known(const char *name) {
    bool known = false;
    pthread_mutex_lock(&lock);
    for (const File *file = files; file && !known; file = file->next) known = has_symbol(file, name);
    pthread_mutex_unlock(&lock);
    return known;
}
