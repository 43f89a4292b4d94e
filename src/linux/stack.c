// SPDX-License-Identifier: MIT
//
// From the high end down:
//
//   8 bytes 0, file name, environment strings, argument strings   (one after the other: programs overwrite them as one
//   platform name, 16 random bytes, up to 15 bytes gap             piece to change their title)
//   auxiliary vector, envp[], argv[], argc                        <- stack pointer, 16-byte aligned
#include "linux/stack.h"
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include "linux/load_error.h"
#include "linux/memory.h"

enum { STACK_GAP = 256 * GUEST_PAGE, STACK_RANDOM_BITS = 11, MMAP_RANDOM_BITS = 16, AUXV_MAX = 32, CLOCK_TICKS = 100 };
#define STACK_DEFAULT (UINT64_C(8) << 20)
#define STACK_LEAST   (UINT64_C(128) << 10)
#define STACK_MOST    (UINT64_C(16) << 30)

static uint64_t stack_bytes(const LinuxProcess *process) {
    struct rlimit limit;
    uint64_t size = process->stack_size;
    if (!size) {
        if (getrlimit(RLIMIT_STACK, &limit) < 0) size = STACK_DEFAULT;
        else size = limit.rlim_cur == RLIM_INFINITY ? 32 * STACK_DEFAULT : limit.rlim_cur;
    }
    if (size < STACK_LEAST) size = STACK_LEAST;
    return page_up(size < STACK_MOST ? size : STACK_MOST);
}

uint64_t stack_plan(LinuxProcess *process) {
    process->stack_end = GUEST_AREA_HIGH - GUEST_PAGE - random_pages(process, STACK_RANDOM_BITS);
    process->stack_start = process->stack_end - stack_bytes(process);
    return process->stack_start - STACK_GAP - random_pages(process, MMAP_RANDOM_BITS);
}

// A cursor that moves down through the stack's memory.
typedef struct Writer {
    uint64_t at;
} Writer;

static uint64_t push(Writer *w, const void *bytes, size_t size) {
    w->at -= size;
    memcpy((void *)w->at, bytes, size);
    return w->at;
}

static uint64_t push_string(Writer *w, const char *s) { return push(w, s, strlen(s) + 1); }

static size_t count_strings(char *const *list, uint64_t *bytes) {
    size_t n = 0;
    for (; list[n]; n++) *bytes += strlen(list[n]) + 1;
    return n;
}

// Pushes the last string first, so that they lie in order.
static void push_strings(Writer *w, char *const *list, size_t count) {
    for (size_t i = count; i > 0; i--) push_string(w, list[i - 1]);
}

// Writes the addresses of `count` consecutive strings that begin at `string`, and a 0.
static uint64_t *write_pointers(uint64_t *to, uint64_t string, size_t count) {
    for (size_t i = 0; i < count; i++) {
        *to++ = string;
        string += strlen((const char *)string) + 1;
    }
    *to++ = 0;
    return to;
}

typedef struct Auxv {
    Elf64_auxv_t items[AUXV_MAX];
    unsigned count;
} Auxv;

static void aux(Auxv *v, uint64_t type, uint64_t value) {
    v->items[v->count++] = (Elf64_auxv_t){.a_type = type, .a_un = {.a_val = value}};
}

static void fill_auxv(Auxv *v, const LinuxProcess *process, const LoadedProgram *program, uint64_t execfn, uint64_t platform,
                      uint64_t random) {
    const GuestLinux *abi = &process->guest->linux_abi;
    aux(v, AT_SYSINFO_EHDR, process->vdso_start);
    aux(v, AT_HWCAP, abi->hwcap ? abi->hwcap(process->features) : 0);
    aux(v, AT_PAGESZ, GUEST_PAGE);
    aux(v, AT_CLKTCK, CLOCK_TICKS);
    aux(v, AT_PHDR, program->phdr);
    aux(v, AT_PHENT, ELF_PHDR_BYTES);
    aux(v, AT_PHNUM, program->phdr_count);
    aux(v, AT_BASE, program->base);
    aux(v, AT_FLAGS, 0);
    aux(v, AT_ENTRY, program->entry);
    aux(v, AT_UID, getuid());
    aux(v, AT_EUID, geteuid());
    aux(v, AT_GID, getgid());
    aux(v, AT_EGID, getegid());
    aux(v, AT_SECURE, getauxval(AT_SECURE));
    aux(v, AT_RANDOM, random);
    aux(v, AT_HWCAP2, abi->hwcap2 ? abi->hwcap2(process->features) : 0);
    aux(v, AT_EXECFN, execfn);
    if (platform) aux(v, AT_PLATFORM, platform);
    aux(v, AT_NULL, 0);
}

// Places the pointers below the strings and returns the stack pointer.
static uint64_t build_vectors(LinuxProcess *process, Writer *w, const Auxv *v, size_t argc, size_t envc) {
    size_t words = 1 + argc + 1 + envc + 1 + 2 * (size_t)v->count;
    uint64_t sp = (w->at - words * 8) & ~UINT64_C(15);
    uint64_t *to = (uint64_t *)sp;
    *to++ = argc;
    to = write_pointers(to, process->arg_start, argc);
    to = write_pointers(to, process->env_start, envc);
    memcpy(to, v->items, v->count * sizeof v->items[0]);
    process->auxv_start = (uint64_t)to;
    process->auxv_size = v->count * sizeof v->items[0];
    return sp;
}

uint64_t stack_build(LinuxProcess *process, const StackInput *input, LoadError *error) {
    uint64_t size = process->stack_end - process->stack_start, bytes = 0;
    size_t argc = count_strings(input->argv, &bytes), envc = count_strings(input->envp, &bytes);
    if (bytes + 8 * (argc + envc) + strlen(input->execfn) + 2 * GUEST_PAGE > size / 2)
        return load_error(error, E2BIG,
                          "cannot run '%s': its arguments and environment need more than half of the stack "
                          "(-s makes it larger)",
                          input->execfn),
               0;
    int prot = PROT_READ | PROT_WRITE | (input->program->exec_stack ? PROT_EXEC : 0);
    long r = memory_map(process->stack_start, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (r < 0)
        return load_error(error, ENOMEM, "cannot run '%s': no memory for a stack of %llu bytes: %s", input->execfn,
                          (unsigned long long)size, strerror((int)-r)),
               0;
    process->stack_start = (uint64_t)r; // elsewhere if the program itself lies there
    process->stack_end = (uint64_t)r + size;

    const char *platform_name = process->guest->linux_abi.platform;
    Writer w = {process->stack_end - 8};
    uint64_t execfn = push_string(&w, input->execfn);
    process->env_end = w.at;
    push_strings(&w, input->envp, envc);
    process->env_start = process->arg_end = w.at;
    push_strings(&w, input->argv, argc);
    process->arg_start = w.at;
    uint64_t platform = platform_name ? push_string(&w, platform_name) : 0;
    uint8_t random[16];
    random_bytes(process, random, sizeof random);
    w.at &= ~UINT64_C(15);
    uint64_t random_at = push(&w, random, sizeof random);
    Auxv v = {.count = 0};
    fill_auxv(&v, process, input->program, execfn, platform, random_at);
    return build_vectors(process, &w, &v, argc, envc);
}
