// SPDX-License-Identifier: MIT
#include "linux/elf_parse.h"
#include <elf.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include "linux/memory.h"

_Static_assert(ELF_HEADER_BYTES == sizeof(Elf64_Ehdr) && ELF_PHDR_BYTES == sizeof(Elf64_Phdr), "by the ELF standard");

#ifndef EM_LOONGARCH
#define EM_LOONGARCH 258
#endif

typedef struct MachineName {
    uint16_t machine;
    const char *name;
} MachineName;

static const MachineName machine_names[] = {
    {EM_386, "x86 (32-bit)"},   {EM_X86_64, "x86-64"}, {EM_ARM, "Arm (32-bit)"}, {EM_AARCH64, "AArch64"},
    {EM_RISCV, "RISC-V"},       {EM_PPC, "PowerPC"},   {EM_PPC64, "PowerPC 64"}, {EM_S390, "S/390"},
    {EM_MIPS, "MIPS"},          {EM_SPARC, "SPARC"},   {EM_SPARCV9, "SPARC V9"}, {EM_LOONGARCH, "LoongArch"},
    {EM_68K, "Motorola 68000"}, {EM_SH, "SuperH"},     {EM_IA_64, "Itanium"},    {EM_ALPHA, "Alpha"},
};

const char *elf_machine_name(uint16_t machine) {
    for (size_t i = 0; i < sizeof machine_names / sizeof *machine_names; i++)
        if (machine_names[i].machine == machine) return machine_names[i].name;
    return NULL;
}

uint16_t elf_machine_of(const uint8_t *bytes, size_t size) {
    Elf64_Ehdr h;
    if (size < sizeof h) return 0;
    memcpy(&h, bytes, sizeof h);
    if (memcmp(h.e_ident, ELFMAG, SELFMAG) != 0) return 0;
    return h.e_ident[EI_CLASS] == ELFCLASS64 && h.e_ident[EI_DATA] == ELFDATA2LSB ? h.e_machine : 0;
}

// The machine field in the file's own byte order, for messages.
static uint16_t machine_in_order(const uint8_t *bytes) {
    unsigned a = bytes[EI_NIDENT + 2], b = bytes[EI_NIDENT + 3];
    return (uint16_t)(bytes[EI_DATA] == ELFDATA2MSB ? a << 8 | b : b << 8 | a);
}

// What to do with a program for another machine.
static void say_wrong_machine(char *error, size_t error_size, const uint8_t *bytes, uint16_t wanted) {
    uint16_t machine = machine_in_order(bytes);
    bool is32 = bytes[EI_CLASS] == ELFCLASS32, big = bytes[EI_DATA] == ELFDATA2MSB;
    const char *name = elf_machine_name(machine), *wanted_name = elf_machine_name(wanted);
    char number[32], what[96];
    snprintf(number, sizeof number, "machine number %u", machine);
    snprintf(what, sizeof what, "a %s%sprogram for %s", is32 ? "32-bit " : "", big ? "big-endian " : "", name ? name : number);
    if (!is32 && !big && machine == EM_X86_64) snprintf(error, error_size, "it is %s: run it without kiln", what);
    else if (!is32 && !big && (machine == EM_RISCV || machine == EM_AARCH64))
        snprintf(error, error_size, "it is %s: run it with %s", what, machine == EM_RISCV ? "kiln-riscv64" : "kiln-aarch64");
    else
        snprintf(error, error_size, "it is %s, which kiln does not run (64-bit little-endian %s is needed here)", what,
                 wanted_name ? wanted_name : "code");
}

ElfError elf_parse_header(ElfImage *image, const uint8_t *bytes, size_t size, uint16_t machine, char *error, size_t error_size) {
    memset(image, 0, offsetof(ElfImage, segments));
    if (size == 0) return snprintf(error, error_size, "the file is empty"), ELF_NOT_ELF;
    if (size < SELFMAG || memcmp(bytes, ELFMAG, SELFMAG) != 0)
        return snprintf(error, error_size, "it is not an ELF program, and no script that starts with \"#!\""), ELF_NOT_ELF;
    if (size < sizeof(Elf64_Ehdr))
        return snprintf(error, error_size, "the file is truncated: %zu bytes do not hold an ELF header", size), ELF_TRUNCATED;
    Elf64_Ehdr h;
    memcpy(&h, bytes, sizeof h);
    if (h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_ident[EI_DATA] != ELFDATA2LSB || h.e_machine != machine)
        return say_wrong_machine(error, error_size, bytes, machine), ELF_WRONG_MACHINE;
    if (h.e_type != ET_EXEC && h.e_type != ET_DYN)
        return snprintf(error, error_size, "it is %s, not a program",
                        h.e_type == ET_REL    ? "an object file that must be linked first"
                        : h.e_type == ET_CORE ? "a core dump"
                                              : "an ELF file of unknown type"),
               ELF_WRONG_TYPE;
    if (h.e_phnum == 0)
        return snprintf(error, error_size, "it has no program headers, so there is nothing to load"), ELF_NO_SEGMENTS;
    if (h.e_phentsize != sizeof(Elf64_Phdr) || h.e_phnum > ELF_MAX_PHDRS || h.e_phoff > INT64_MAX / 2)
        return snprintf(error, error_size, "its ELF header is corrupt: %u program headers of %u bytes at 0x%llx", h.e_phnum,
                        h.e_phentsize, (unsigned long long)h.e_phoff),
               ELF_CORRUPT;
    image->movable = h.e_type == ET_DYN;
    image->entry = h.e_entry;
    image->phdr_offset = h.e_phoff;
    image->phdr_count = h.e_phnum;
    return ELF_OK;
}

static int segment_prot(uint32_t flags) {
    return ((flags & PF_R) ? PROT_READ : 0) | ((flags & PF_W) ? PROT_WRITE : 0) | ((flags & PF_X) ? PROT_EXEC : 0);
}

// NULL, or what is wrong with a PT_LOAD by itself.
static const char *segment_fault(const Elf64_Phdr *p) {
    if (p->p_filesz > p->p_memsz) return "holds more of the file than it has room in memory";
    if (p->p_vaddr > HOST_AREA_HIGH || p->p_memsz > HOST_AREA_HIGH || p->p_vaddr + p->p_memsz > HOST_AREA_HIGH)
        return "lies outside of what can be addressed";
    if (p->p_filesz && (p->p_vaddr - p->p_offset) % GUEST_PAGE)
        return "is misaligned: its address and its file offset differ within a page";
    if (p->p_offset > INT64_MAX - p->p_filesz) return "has an impossible file offset";
    return NULL;
}

static ElfError add_load(ElfImage *image, const Elf64_Phdr *p, unsigned number, uint64_t file_size, char *error,
                         size_t error_size) {
    const char *fault = segment_fault(p);
    if (fault) return snprintf(error, error_size, "it is corrupt: program header %u %s", number, fault), ELF_CORRUPT;
    if (p->p_filesz && p->p_offset + p->p_filesz > file_size)
        return snprintf(error, error_size, "the file is truncated: program header %u needs %llu bytes, there are %llu", number,
                        (unsigned long long)(p->p_offset + p->p_filesz), (unsigned long long)file_size),
               ELF_TRUNCATED;
    if (p->p_memsz == 0) return ELF_OK;
    image->segments[image->segment_count++] =
        (ElfSegment){p->p_vaddr, p->p_filesz, p->p_memsz, p->p_offset, segment_prot(p->p_flags)};
    uint64_t end = p->p_vaddr + p->p_memsz;
    if (image->segment_count == 1 || page_down(p->p_vaddr) < image->low) image->low = page_down(p->p_vaddr);
    if (end > image->end) image->end = end;
    if (p->p_align > image->align && (p->p_align & (p->p_align - 1)) == 0 && p->p_align <= HOST_AREA_HIGH / 4)
        image->align = p->p_align;
    // Program headers are found in memory if a segment holds their place in the file.
    uint64_t bytes = (uint64_t)image->phdr_count * ELF_PHDR_BYTES;
    if (!image->phdr_address && p->p_offset <= image->phdr_offset && image->phdr_offset + bytes <= p->p_offset + p->p_filesz)
        image->phdr_address = image->phdr_offset - p->p_offset + p->p_vaddr;
    return ELF_OK;
}

static ElfError check_overlaps(const ElfImage *image, char *error, size_t error_size) {
    for (unsigned i = 0; i < image->segment_count; i++) {
        const ElfSegment *a = &image->segments[i];
        for (unsigned j = 0; j < i; j++) {
            const ElfSegment *b = &image->segments[j];
            if (a->address >= b->address + b->memory_size || b->address >= a->address + a->memory_size) continue;
            return snprintf(error, error_size, "it is corrupt: its segments at 0x%llx and 0x%llx overlap",
                            (unsigned long long)b->address, (unsigned long long)a->address),
                   ELF_CORRUPT;
        }
    }
    return ELF_OK;
}

ElfError elf_parse_segments(ElfImage *image, const uint8_t *phdrs, uint64_t file_size, char *error, size_t error_size) {
    image->align = GUEST_PAGE;
    for (unsigned i = 0; i < image->phdr_count; i++) {
        Elf64_Phdr p;
        memcpy(&p, phdrs + (size_t)i * sizeof p, sizeof p);
        ElfError result = ELF_OK;
        if (p.p_type == PT_LOAD) result = add_load(image, &p, i, file_size, error, error_size);
        if (result != ELF_OK) return result;
        if (p.p_type == PT_GNU_STACK) image->exec_stack = (p.p_flags & PF_X) != 0;
        if (p.p_type != PT_INTERP || image->interp_size) continue;
        if (p.p_filesz < 2 || p.p_filesz > ELF_MAX_INTERP)
            return snprintf(error, error_size, "it is corrupt: the name of its interpreter has %llu bytes",
                            (unsigned long long)p.p_filesz),
                   ELF_CORRUPT;
        if (p.p_offset > file_size || p.p_filesz > file_size - p.p_offset)
            return snprintf(error, error_size, "the file is truncated: it ends before the name of its interpreter"), ELF_TRUNCATED;
        image->interp_offset = p.p_offset;
        image->interp_size = p.p_filesz;
    }
    if (image->segment_count == 0)
        return snprintf(error, error_size, "it has no loadable segment (PT_LOAD), so there is nothing to run"), ELF_NO_SEGMENTS;
    image->high = page_up(image->end);
    return check_overlaps(image, error, error_size);
}
