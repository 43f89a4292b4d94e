// SPDX-License-Identifier: MIT
// What a program finds on its stack when it starts.
// Calls: execve
#define _GNU_SOURCE
#include "check.h"
#include <elf.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/mman.h>

extern char **environ;

static const Elf64_auxv_t *find_auxv(void) {
    char **p = environ;
    while (*p) p++;
    return (const Elf64_auxv_t *)(p + 1);
}

static void vectors(int argc, char **argv) {
    CHECK(argc == 1 && argv[argc] == NULL && (uint64_t *)argv - 1 == __builtin_assume_aligned((uint64_t *)argv - 1, 16));
    CHECK(((uintptr_t)argv - 8) % 16 == 0 && *((uint64_t *)argv - 1) == (uint64_t)argc);
    CHECK(environ == argv + argc + 1);
    CHECK(argv[0] + strlen(argv[0]) + 1 == environ[0]); // one piece, in order
    int gaps = 0;
    for (char **e = environ; e[0] && e[1]; e++) gaps += e[0] + strlen(e[0]) + 1 != e[1];
    CHECK(gaps == 0);
}

static void auxiliary(char **argv) {
    const Elf64_auxv_t *aux = find_auxv();
    int seen = 0, repeated = 0;
    uint64_t types = 0;
    for (; aux->a_type != AT_NULL; aux++) {
        seen++;
        if (aux->a_type < 64) repeated += types >> aux->a_type & 1, types |= UINT64_C(1) << aux->a_type;
    }
    CHECK(seen >= 15 && repeated == 0);
    CHECK(getauxval(AT_PAGESZ) == 4096 && getauxval(AT_CLKTCK) == 100 && sysconf(_SC_CLK_TCK) == 100);
    CHECK(getauxval(AT_PHENT) == sizeof(Elf64_Phdr) && getauxval(AT_PHNUM) > 0);
    CHECK(getauxval(AT_BASE) == 0 && getauxval(AT_FLAGS) == 0 && getauxval(AT_SECURE) == 0);
    CHECK(getauxval(AT_UID) == getuid() && getauxval(AT_EUID) == geteuid());
    CHECK(getauxval(AT_GID) == getgid() && getauxval(AT_EGID) == getegid());
    CHECK(getauxval(AT_HWCAP) != 0);
    CHECK(strcmp((const char *)getauxval(AT_EXECFN), argv[0]) == 0);
    const uint8_t *random = (const uint8_t *)getauxval(AT_RANDOM);
    int different = 0;
    for (int i = 1; i < 16; i++) different += random[i] != random[0];
    CHECK(different > 3);
    const Elf64_Phdr *phdr = (const Elf64_Phdr *)getauxval(AT_PHDR);
    bool holds_entry = false;
    uint64_t bias = 0;
    for (unsigned i = 0; i < getauxval(AT_PHNUM); i++)
        if (phdr[i].p_type == PT_PHDR) bias = (uint64_t)phdr - phdr[i].p_vaddr;
    for (unsigned i = 0; i < getauxval(AT_PHNUM); i++)
        holds_entry |= phdr[i].p_type == PT_LOAD && getauxval(AT_ENTRY) - bias - phdr[i].p_vaddr < phdr[i].p_memsz;
    CHECK(holds_entry);
}

static char zeroes[100000];
static int initialised = 12345;

static void sections(void) {
    size_t sum = 0;
    for (size_t i = 0; i < sizeof zeroes; i++) sum += (unsigned char)zeroes[i];
    CHECK(sum == 0 && initialised == 12345);
    extern char end[];
    CHECK((char *)sbrk(0) >= end);
    volatile char deep[1 << 20];
    deep[0] = 1, deep[sizeof deep - 1] = 2; // the stack is as large as it should be
    CHECK(deep[0] == 1 && deep[sizeof deep - 1] == 2);
}

int main(int argc, char **argv) {
    vectors(argc, argv);
    auxiliary(argv);
    sections();
    return check_summary();
}
