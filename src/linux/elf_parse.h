// SPDX-License-Identifier: MIT
//
// Reading an ELF file's header and program headers, and finding everything that is wrong with them. Pure: bytes in,
// description or one line of text out; no file, no memory map.
#ifndef KILN_LINUX_ELF_PARSE_H
#define KILN_LINUX_ELF_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ELF_HEADER_BYTES = 64, ELF_PHDR_BYTES = 56, ELF_MAX_PHDRS = 1170, ELF_MAX_INTERP = 4096 };

// What is wrong, for tests and for the errno of execve.
typedef enum ElfError {
    ELF_OK,
    ELF_NOT_ELF,       // no ELF magic (also: empty)
    ELF_TRUNCATED,     // the file ends before what its headers promise
    ELF_WRONG_MACHINE, // a sound ELF file, but not for this guest: class, byte order or machine
    ELF_WRONG_TYPE,    // not a program (object file, core dump)
    ELF_CORRUPT,       // headers contradict themselves or the rules
    ELF_NO_SEGMENTS,   // nothing to load
} ElfError;

typedef struct ElfSegment {
    uint64_t address, file_size, memory_size, offset;
    int prot;
} ElfSegment;

typedef struct ElfImage {
    bool movable; // ET_DYN
    uint64_t entry;
    uint64_t phdr_offset;
    unsigned phdr_count;
    uint64_t phdr_address; // where the program headers lie in memory (unbiased), 0 if they are not loaded
    uint64_t low, high;    // all segments, page aligned (unbiased)
    uint64_t end;          // end of the highest segment: where the break starts
    uint64_t align;        // largest alignment asked for, a power of two, at least a page
    bool exec_stack;
    uint64_t interp_offset, interp_size; // PT_INTERP; size 0: none
    unsigned segment_count;
    ElfSegment segments[ELF_MAX_PHDRS];
} ElfImage;

// The first ELF_HEADER_BYTES (or the whole file if shorter). On ELF_OK phdr_offset, phdr_count, entry, movable are set.
ElfError elf_parse_header(ElfImage *image, const uint8_t *bytes, size_t size, uint16_t machine, char *error, size_t error_size);
// The phdr_count program headers. `file_size` is the file's.
ElfError elf_parse_segments(ElfImage *image, const uint8_t *phdrs, uint64_t file_size, char *error, size_t error_size);
// The machine of a file that begins with these bytes (64-bit little-endian ELF only), or 0.
uint16_t elf_machine_of(const uint8_t *bytes, size_t size);
// "AArch64", or NULL if unknown.
const char *elf_machine_name(uint16_t machine);

#endif
