// SPDX-License-Identifier: MIT
#include "linux/symbols.h"
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Symbol { uint64_t start, end; const char *name; } Symbol;

static struct {
    char path[PATH_MAX];
    uint64_t bias;
    bool read;
    Symbol *symbols; // sorted by start
    size_t count;
} program;

void symbols_set_program(const char *path, uint64_t bias) {
    snprintf(program.path, sizeof program.path, "%s", path);
    program.bias = bias;
}

static bool inside(uint64_t offset, uint64_t size, uint64_t total) { return offset <= total && size <= total - offset; }

static int by_start(const void *a, const void *b) {
    const Symbol *x = a, *y = b;
    return x->start < y->start ? -1 : x->start > y->start;
}

static void take_symbols(const uint8_t *file, uint64_t size, const Elf64_Shdr *table, const Elf64_Shdr *names) {
    if (!inside(table->sh_offset, table->sh_size, size) || !inside(names->sh_offset, names->sh_size, size)) return;
    if (names->sh_size == 0 || file[names->sh_offset + names->sh_size - 1] != '\0') return;
    size_t n = table->sh_size / sizeof(Elf64_Sym);
    program.symbols = calloc(n + 1, sizeof *program.symbols);
    for (size_t i = 0; program.symbols && i < n; i++) {
        Elf64_Sym s;
        memcpy(&s, file + table->sh_offset + i * sizeof s, sizeof s);
        if (ELF64_ST_TYPE(s.st_info) != STT_FUNC || s.st_name >= names->sh_size) continue;
        program.symbols[program.count++] = (Symbol){s.st_value + program.bias, s.st_value + s.st_size + program.bias,
                                                    (const char *)file + names->sh_offset + s.st_name};
    }
    if (program.count) qsort(program.symbols, program.count, sizeof *program.symbols, by_start);
}

// The file stays mapped: the names are in it.
static void read_program(void) {
    struct stat st;
    program.read = true;
    int fd = open(program.path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    uint64_t size = fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
    const uint8_t *file = size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    close(fd);
    Elf64_Ehdr h;
    if (file == MAP_FAILED || size < sizeof h) return;
    memcpy(&h, file, sizeof h);
    if (h.e_shentsize != sizeof(Elf64_Shdr) || !inside(h.e_shoff, (uint64_t)h.e_shnum * sizeof(Elf64_Shdr), size)) return;
    for (unsigned i = 0; i < h.e_shnum && !program.count; i++) {
        Elf64_Shdr table, names;
        memcpy(&table, file + h.e_shoff + i * sizeof table, sizeof table);
        if (table.sh_type != SHT_SYMTAB || table.sh_link >= h.e_shnum) continue;
        memcpy(&names, file + h.e_shoff + table.sh_link * sizeof names, sizeof names);
        take_symbols(file, size, &table, &names);
    }
}

const char *symbol_at(uint64_t pc, uint64_t *offset) {
    if (!program.read) read_program();
    size_t low = 0, high = program.count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (program.symbols[middle].start <= pc) low = middle + 1;
        else high = middle;
    }
    if (low == 0 || pc >= program.symbols[low - 1].end) return NULL;
    *offset = pc - program.symbols[low - 1].start;
    return program.symbols[low - 1].name;
}
