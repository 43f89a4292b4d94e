// SPDX-License-Identifier: MIT
//
// Mapping a program. First its whole place is reserved without touching what is there already, then its segments are mapped
// over the reservation; so a conflict with Kiln's own memory is found before anything is half done.
#include "linux/elf_load.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/random.h>
#include <unistd.h>
#include "base/error.h"
#include "linux/load_error.h"
#include "linux/memory.h"
#include "linux/stack.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

enum { PIE_RANDOM_BITS = 18 };
#define PIE_BASE UINT64_C(0x2aaaaaa000) // two thirds of the guest's area, as Linux does

typedef struct ElfFile {
    int fd;
    const char *name; // what the user calls it
    char interp[ELF_MAX_INTERP + 1];
    ElfImage image;
} ElfFile;

// The next number of splitmix64, a generator whose whole state is one counter.
static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

void random_bytes(LinuxProcess *process, void *to, size_t size) {
    uint8_t *bytes = to;
    if (!process->seeded) {
        ssize_t got = getrandom(bytes, size, GRND_NONBLOCK);
        if (got == (ssize_t)size) return;
        // Early in a boot; the kernel gave us a few at the start.
        memcpy(&process->random, (const void *)getauxval(AT_RANDOM), sizeof process->random);
        process->seeded = true;
    }
    for (size_t i = 0; i < size; i += 8) {
        uint64_t value = next_random(&process->random);
        memcpy(bytes + i, &value, size - i < 8 ? size - i : 8);
    }
}

uint64_t random_pages(LinuxProcess *process, unsigned bits) {
    uint64_t value;
    if (personality(0xffffffff) & ADDR_NO_RANDOMIZE) return 0;
    random_bytes(process, &value, sizeof value);
    return (value & ((UINT64_C(1) << bits) - 1)) * GUEST_PAGE;
}

static int elf_errno(ElfError e) { return e == ELF_CORRUPT || e == ELF_TRUNCATED ? EINVAL : ENOEXEC; }

// ---- reading ----------------------------------------------------------------------------------------------------------

static bool read_interp(ElfFile *file, LoadError *error) {
    ElfImage *image = &file->image;
    if (image->interp_size == 0) return true;
    ssize_t n = read_at(file->fd, file->interp, image->interp_size, image->interp_offset);
    if (n != (ssize_t)image->interp_size || file->interp[n - 1] != '\0' || file->interp[0] == '\0')
        return load_error(error, ENOEXEC, "cannot run '%s': it is corrupt: the name of its interpreter is no string", file->name);
    return true;
}

static bool read_headers(const LinuxProcess *process, ElfFile *file, uint64_t size, LoadError *error) {
    uint8_t head[ELF_HEADER_BYTES];
    char why[300];
    ssize_t n = read_at(file->fd, head, sizeof head, 0);
    if (n < 0) return load_error(error, EIO, "cannot read '%s': %s", file->name, strerror((int)-n));
    ElfError e = elf_parse_header(&file->image, head, (size_t)n, process->guest->elf_machine, why, sizeof why);
    if (e != ELF_OK) return load_error(error, elf_errno(e), "cannot run '%s': %s", file->name, why);
    size_t bytes = (size_t)file->image.phdr_count * ELF_PHDR_BYTES;
    uint8_t *phdrs = malloc(bytes);
    if (!phdrs) return load_error(error, ENOMEM, "cannot run '%s': out of memory", file->name);
    n = read_at(file->fd, phdrs, bytes, file->image.phdr_offset);
    if (n == (ssize_t)bytes) e = elf_parse_segments(&file->image, phdrs, size, why, sizeof why);
    free(phdrs);
    if (n != (ssize_t)bytes)
        return load_error(error, ENOEXEC, "cannot run '%s': the file is truncated: it ends before its program headers", file->name);
    if (e != ELF_OK) return load_error(error, elf_errno(e), "cannot run '%s': %s", file->name, why);
    return read_interp(file, error);
}

// Opens and reads everything but the segments' content.
static bool elf_open(const LinuxProcess *process, const char *path, const char *name, ElfFile *file, LoadError *error) {
    struct stat st;
    file->name = name;
    file->fd = program_open(path, name, &st, error);
    if (file->fd < 0) return false;
    if (read_headers(process, file, (uint64_t)st.st_size, error)) return true;
    close(file->fd);
    return false;
}

static bool open_interp(const LinuxProcess *process, const ElfFile *program, ElfFile *interp, LoadError *error) {
    char buffer[PATH_MAX];
    LoadError inner;
    const char *path = sysroot_path(process, program->interp, true, buffer);
    if (elf_open(process, path, program->interp, interp, &inner)) return true;
    if (inner.error == ENOENT || inner.error == ENOTDIR)
        return load_error(error, ENOENT, "cannot run '%s': its dynamic linker '%s' is not there%s%s%s", program->name,
                          program->interp, process->sysroot ? ", nor under " : "", process->sysroot ? process->sysroot : "",
                          process->sysroot ? "" : " (-L names the directory that holds the guest's libraries)");
    int number = inner.error == ENOEXEC || inner.error == EINVAL ? ELIBBAD : inner.error;
    return load_error(error, number, "cannot run '%s': its dynamic linker: %s", program->name, inner.text);
}

// ---- mapping ----------------------------------------------------------------------------------------------------------

// Reserves [start, end) but for what is the guest's already (segments may share a page).
static long reserve_fixed(uint64_t start, uint64_t end) {
    while (start < end) {
        Mapping m;
        bool next = memory_next(start, &m) && m.start < end;
        if (next && m.start <= start) {
            start = m.end;
            continue;
        }
        uint64_t stop = next ? m.start : end;
        long r =
            memory_map(start, stop - start, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
        if (r < 0) return r;
        start = stop;
    }
    return 0;
}

static bool reserve_error(const ElfFile *file, long r, uint64_t low, uint64_t high, LoadError *error) {
    unsigned long long from = low, to = high;
    if (r == -EPERM)
        return load_error(error, ENOMEM,
                          "cannot run '%s': it must lie at 0x%llx, which vm.mmap_min_addr forbids "
                          "(sysctl vm.mmap_min_addr=%llu allows it)",
                          file->name, from, from & ~UINT64_C(4095));
    if (r == -EEXIST)
        return load_error(error, ENOMEM,
                          "cannot run '%s': it must lie at 0x%llx-0x%llx, where kiln itself is "
                          "(try again, or link it with -pie)",
                          file->name, from, to);
    return load_error(error, ENOMEM, "cannot run '%s': there are no %llu bytes of memory for it at 0x%llx: %s", file->name,
                      to - from, from, strerror((int)-r));
}

// Finds the load bias and reserves the program's place.
static bool reserve_image(const ElfFile *file, uint64_t hint, uint64_t *bias, LoadError *error) {
    const ElfImage *image = &file->image;
    *bias = 0;
    if (!image->movable) {
        for (unsigned i = 0; i < image->segment_count; i++) {
            const ElfSegment *s = &image->segments[i];
            long r = reserve_fixed(page_down(s->address), page_up(s->address + s->memory_size));
            if (r < 0) return reserve_error(file, r, s->address, s->address + s->memory_size, error);
        }
        return true;
    }
    uint64_t span = image->high - image->low, slack = image->align - GUEST_PAGE;
    long r = memory_map(hint, span + slack, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (r < 0) return reserve_error(file, r, image->low, image->high, error);
    // The bias is a multiple of the alignment, so addresses keep their remainder.
    uint64_t got = (uint64_t)r, got_end = got + span + slack;
    *bias = (got - image->low + image->align - 1) & ~(image->align - 1);
    uint64_t start = image->low + *bias, end = start + span;
    if (start > got) memory_unmap(got, start - got);
    if (end < got_end) memory_unmap(end, got_end - end);
    return true;
}

static long map_anonymous(uint64_t start, uint64_t end, int prot) {
    if (start >= end) return 0;
    return memory_map(start, end - start, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

static long map_segment(const ElfFile *file, const ElfSegment *s, uint64_t bias) {
    uint64_t start = page_down(s->address + bias), file_end = s->address + s->file_size + bias;
    uint64_t memory_end = page_up(s->address + s->memory_size + bias), zero_end = page_up(file_end);
    bool zero_tail = s->memory_size > s->file_size && file_end < zero_end;
    long r = 0;
    if (s->file_size == 0) return map_anonymous(start, memory_end, s->prot);
    int prot = zero_tail ? s->prot | PROT_READ | PROT_WRITE : s->prot;
    r = memory_map(start, zero_end - start, prot, MAP_PRIVATE | MAP_FIXED, file->fd, page_down(s->offset));
    if (r < 0) return r;
    if (zero_tail) memset((void *)file_end, 0, zero_end - file_end);
    if (prot != s->prot) r = memory_protect(start, zero_end - start, s->prot);
    return r < 0 ? r : map_anonymous(zero_end, memory_end, s->prot);
}

// Holes between the segments of a movable image belong to nobody.
static void release_holes(const ElfImage *image, uint64_t bias) {
    uint64_t at = image->low;
    while (at < image->high) {
        uint64_t next = image->high;
        bool used = false;
        for (unsigned i = 0; i < image->segment_count && !used; i++) {
            uint64_t start = page_down(image->segments[i].address);
            uint64_t end = page_up(image->segments[i].address + image->segments[i].memory_size);
            used = start <= at && at < end;
            if (used) next = end;
            else if (start > at && start < next) next = start;
        }
        if (!used) memory_unmap(at + bias, next - at);
        at = next;
    }
}

static bool map_image(const ElfFile *file, uint64_t hint, uint64_t *bias, LoadError *error) {
    const ElfImage *image = &file->image;
    if (!reserve_image(file, hint, bias, error)) return false;
    for (unsigned i = 0; i < image->segment_count; i++) {
        long r = map_segment(file, &image->segments[i], *bias);
        if (r < 0)
            return load_error(error, ENOMEM, "cannot run '%s': its segment at 0x%llx (%llu bytes) cannot be mapped: %s", file->name,
                              (unsigned long long)image->segments[i].address, (unsigned long long)image->segments[i].memory_size,
                              strerror((int)-r));
    }
    if (image->movable) release_holes(image, *bias);
    memory_set_image(image->low + *bias, image->high + *bias, image->movable, *bias);
    return true;
}

// A program and its dynamic linker. Too large for a stack, which may be that of a guest's small thread.
typedef struct ElfFiles {
    ElfFile program, interp;
} ElfFiles;

static ElfFiles *new_files(const ExecTarget *target, LoadError *error) {
    void *files = mmap(NULL, sizeof(ElfFiles), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (files != MAP_FAILED) return files;
    load_error(error, ENOMEM, "cannot run '%s': %s", target->name, strerror(errno));
    return NULL;
}

static bool load_interp(const LinuxProcess *process, ElfFiles *files, LoadedProgram *out, LoadError *error) {
    ElfFile *interp = &files->interp;
    if (!open_interp(process, &files->program, interp, error)) return false;
    bool good = map_image(interp, 0, &out->base, error);
    close(interp->fd);
    out->start = interp->image.entry + out->base;
    return good;
}

static bool load_files(LinuxProcess *process, const ExecTarget *target, ElfFiles *files, LoadedProgram *out, LoadError *error) {
    ElfFile *program = &files->program;
    if (!elf_open(process, target->path, target->name, program, error)) return false;
    const ElfImage *image = &program->image;
    uint64_t bias;
    bool good = map_image(program, PIE_BASE + random_pages(process, PIE_RANDOM_BITS), &bias, error);
    close(program->fd);
    if (!good) return false;
    *out = (LoadedProgram){
        .start = image->entry + bias,
        .entry = image->entry + bias,
        .phdr = image->phdr_address ? image->phdr_address + bias : 0,
        .phdr_count = image->phdr_count,
        .bias = bias,
        .end = image->end + bias,
        .exec_stack = image->exec_stack,
    };
    return image->interp_size == 0 || load_interp(process, files, out, error);
}

static bool check_files(const LinuxProcess *process, const ExecTarget *target, ElfFiles *files, LoadError *error) {
    if (!elf_open(process, target->path, target->name, &files->program, error)) return false;
    close(files->program.fd);
    if (files->program.image.interp_size == 0) return true;
    if (!open_interp(process, &files->program, &files->interp, error)) return false;
    close(files->interp.fd);
    return true;
}

bool elf_load(LinuxProcess *process, const ExecTarget *target, LoadedProgram *out, LoadError *error) {
    ElfFiles *files = new_files(target, error);
    bool good = files && load_files(process, target, files, out, error);
    if (files) munmap(files, sizeof *files);
    return good;
}

bool elf_check(const LinuxProcess *process, const ExecTarget *target, LoadError *error) {
    ElfFiles *files = new_files(target, error);
    bool good = files && check_files(process, target, files, error);
    if (files) munmap(files, sizeof *files);
    return good;
}
