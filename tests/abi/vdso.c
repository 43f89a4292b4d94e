// SPDX-License-Identifier: MIT
// kiln: skip-qemu
// (older versions have no vdso.)
// The vdso: found through the auxiliary vector and its own ELF tables, as a C library does; its answers are those of the
// system calls.
// Calls: clock_gettime clock_getres gettimeofday getcpu riscv_flush_icache riscv_hwprobe
#include "check.h"
#include <elf.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/time.h>
#include <time.h>

#ifdef __riscv
#define VERSION "LINUX_4.15"
enum { RISCV = 1 };
#else
#define VERSION "LINUX_2.6"
enum { RISCV = 0 };
#endif

// ---- the file ----------------------------------------------------------------------------------------------------------
static struct Vdso {
    const char *base, *strings, *soname;
    uint64_t size;
    const Elf64_Sym *symbols;
    const uint32_t *hash;
    const Elf64_Half *versions;
    const Elf64_Verdef *definitions;
    uint64_t definition_count, symbol_count;
} vdso;

static const Elf64_Phdr *segment(unsigned type) {
    const Elf64_Ehdr *header = (const void *)vdso.base;
    const Elf64_Phdr *segments = (const void *)(vdso.base + header->e_phoff);
    for (int i = 0; i < header->e_phnum; i++)
        if (segments[i].p_type == type) return &segments[i];
    return NULL;
}

static void read_dynamic(const Elf64_Dyn *entry) {
    uint64_t soname = 0;
    for (; entry->d_tag != DT_NULL; entry++) {
        const void *at = vdso.base + entry->d_un.d_ptr;
        switch (entry->d_tag) {
        case DT_STRTAB: vdso.strings = at; break;
        case DT_SYMTAB: vdso.symbols = at; break;
        case DT_HASH: vdso.hash = at; break;
        case DT_VERSYM: vdso.versions = at; break;
        case DT_VERDEF: vdso.definitions = at; break;
        case DT_VERDEFNUM: vdso.definition_count = entry->d_un.d_val; break;
        case DT_SONAME: soname = entry->d_un.d_val; break;
        default: break;
        }
    }
    vdso.soname = vdso.strings ? vdso.strings + soname : "";
    if (vdso.hash) vdso.symbol_count = vdso.hash[1];
}

static bool has_version(unsigned index) {
    const char *at = (const char *)vdso.definitions;
    for (uint64_t i = 0; i < vdso.definition_count; i++) {
        const Elf64_Verdef *definition = (const void *)at;
        const Elf64_Verdaux *name = (const void *)(at + definition->vd_aux);
        if (definition->vd_ndx == index) return strcmp(vdso.strings + name->vda_name, VERSION) == 0;
        at += definition->vd_next;
    }
    return false;
}

static unsigned elf_hash(const char *name) {
    unsigned h = 0;
    for (; *name; name++) {
        h = (h << 4) + (unsigned char)*name;
        h = (h ^ (h >> 24 & 0xf0)) & 0x0fffffff;
    }
    return h;
}

static void *look_up(const char *name) {
    if (!vdso.hash || !vdso.symbols || !vdso.versions) return NULL;
    const uint32_t *buckets = vdso.hash + 2, *chains = buckets + vdso.hash[0];
    for (uint32_t i = buckets[elf_hash(name) % vdso.hash[0]]; i; i = chains[i]) {
        const Elf64_Sym *s = &vdso.symbols[i];
        if (strcmp(vdso.strings + s->st_name, name) == 0 && s->st_shndx != SHN_UNDEF && has_version(vdso.versions[i] & 0x7fff))
            return (void *)(vdso.base + s->st_value);
    }
    return NULL;
}

static bool find_vdso(void) {
    vdso.base = (const char *)getauxval(AT_SYSINFO_EHDR);
    if (!CHECK(vdso.base != NULL && memcmp(vdso.base, ELFMAG, SELFMAG) == 0)) return false;
    const Elf64_Phdr *load = segment(PT_LOAD), *dynamic = segment(PT_DYNAMIC);
    CHECK(((const Elf64_Ehdr *)vdso.base)->e_type == ET_DYN && ((uintptr_t)vdso.base & 4095) == 0);
    if (!CHECK(load && load->p_vaddr == 0 && load->p_flags == (PF_R | PF_X) && dynamic)) return false;
    vdso.size = load->p_memsz;
    read_dynamic((const void *)(vdso.base + dynamic->p_vaddr));
    CHECK(strcmp(vdso.soname, "linux-vdso.so.1") == 0);
    return CHECK(vdso.hash && vdso.symbols && vdso.versions && vdso.definitions);
}

static void mapping(void) {
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512], prot[5] = "";
    unsigned long start = 0, end = 0, found = 0;
    while (maps && fgets(line, sizeof line, maps))
        if (strstr(line, "[vdso]") && sscanf(line, "%lx-%lx %4s", &start, &end, prot) == 3) found++;
    if (maps) fclose(maps);
    CHECK(found == 1 && start == (uintptr_t)vdso.base && end - start >= vdso.size && strcmp(prot, "r-xp") == 0);
}

// ---- answers -----------------------------------------------------------------------------------------------------------
typedef long ClockCall(clockid_t, struct timespec *);

static int64_t nanoseconds(const struct timespec *t) { return t->tv_sec * INT64_C(1000000000) + t->tv_nsec; }

// The call's time lies between two of the system call's.
static bool clock_agrees(ClockCall *call, clockid_t clock) {
    struct timespec before, now = {-1, -1}, after;
    syscall(SYS_clock_gettime, clock, &before);
    long r = call(clock, &now);
    syscall(SYS_clock_gettime, clock, &after);
    return r == 0 && now.tv_nsec >= 0 && now.tv_nsec < 1000000000 && nanoseconds(&before) <= nanoseconds(&now) &&
           nanoseconds(&now) <= nanoseconds(&after);
}

static bool resolution_agrees(ClockCall *call, clockid_t clock) {
    struct timespec expected, got = {-1, -1};
    syscall(SYS_clock_getres, clock, &expected);
    return call(clock, &got) == 0 && expected.tv_sec == got.tv_sec && expected.tv_nsec == got.tv_nsec;
}

static void clocks(void) {
    static const clockid_t all[] = {CLOCK_REALTIME,          CLOCK_MONOTONIC,     CLOCK_PROCESS_CPUTIME_ID,
                                    CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE,
                                    CLOCK_MONOTONIC_COARSE,  CLOCK_BOOTTIME,      CLOCK_TAI};
    ClockCall *time_of = look_up("__vdso_clock_gettime"), *resolution_of = look_up("__vdso_clock_getres");
    if (!CHECK(time_of && resolution_of)) return;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        CHECK(clock_agrees(time_of, all[i]));
        CHECK(resolution_agrees(resolution_of, all[i]));
    }
    struct timespec t = {5, 5};
    for (int i = 0; i < 5; i++) {
        static const clockid_t wrong[] = {10, 12, 99, INT32_MAX, INT32_MIN};
        CHECK(time_of(wrong[i], &t) == -EINVAL && resolution_of(wrong[i], &t) == -EINVAL && t.tv_sec == 5 && t.tv_nsec == 5);
    }
    CHECK(resolution_of(CLOCK_MONOTONIC, NULL) == 0);
    bool rises = true;
    struct timespec last = {0, 0};
    for (int i = 0; i < 100000; i++) {
        rises &= time_of(CLOCK_MONOTONIC, &t) == 0 && nanoseconds(&t) >= nanoseconds(&last);
        last = t;
    }
    CHECK(rises);
}

static void time_of_day(void) {
    long (*call)(struct timeval *, struct timezone *) = look_up("__vdso_gettimeofday");
    if (!CHECK(call != NULL)) return;
    bool good = true;
    for (int i = 0; i < 1000; i++) {
        struct timeval before, now, after;
        syscall(SYS_gettimeofday, &before, NULL);
        good &= call(&now, NULL) == 0;
        syscall(SYS_gettimeofday, &after, NULL);
        good &= !timercmp(&now, &before, <) && !timercmp(&now, &after, >) && now.tv_usec >= 0 && now.tv_usec < 1000000;
    }
    CHECK(good);
    struct timezone expected = {7, 7}, zone = {8, 8};
    struct timeval now = {0, 0};
    syscall(SYS_gettimeofday, NULL, &expected);
    CHECK(call(&now, &zone) == 0 && now.tv_sec > 0 && zone.tz_minuteswest == expected.tz_minuteswest &&
          zone.tz_dsttime == expected.tz_dsttime);
    CHECK(call(NULL, NULL) == 0);
}

static void processor(void) {
    long (*call)(unsigned *, unsigned *, void *) = look_up("__vdso_getcpu");
    if (!CHECK(call != NULL)) return;
    bool agreed = false;
    for (int i = 0; i < 100 && !agreed; i++) { // the thread may move between the calls
        unsigned cpu = 9999, node = 9999, real_cpu, real_node;
        agreed = syscall(SYS_getcpu, &real_cpu, &real_node, NULL) == 0 && call(&cpu, &node, NULL) == 0 && cpu == real_cpu &&
                 node == real_node;
    }
    CHECK(agreed);
    CHECK(call(NULL, NULL, NULL) == 0);
}

// ---- faults, and what RISC-V alone has -----------------------------------------------------------------------------------
static sigjmp_buf jump;
static volatile int caught;
static void *volatile caught_address;
static void on_fault(int signal, siginfo_t *info, void *context) {
    (void)context;
    caught = signal;
    caught_address = info->si_addr;
    siglongjmp(jump, 1);
}

static void faults(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    ClockCall *call = look_up("__vdso_clock_gettime");
    if (sigsetjmp(jump, 1) == 0) call(CLOCK_MONOTONIC, (void *)0x18);
    CHECK(caught == SIGSEGV && caught_address == (void *)0x18);
    caught = 0;
    if (sigsetjmp(jump, 1) == 0) *(volatile char *)vdso.base = 0; // cannot be written
    CHECK(caught == SIGSEGV && caught_address == vdso.base);
    caught = 0;
    sigaction(SIGILL, &action, NULL);
#ifdef __riscv
    if (sigsetjmp(jump, 1) == 0) __asm__ volatile(".insn i 0x0b, 0, t0, x0, 0" ::: "t0");
#else
    if (sigsetjmp(jump, 1) == 0) __asm__ volatile("ud2");
#endif
    CHECK(caught == SIGILL); // what the vdso is made of means nothing elsewhere
}

static volatile uintptr_t return_address;
__attribute__((noinline)) static void on_signal(int signal) {
    (void)signal;
    return_address = (uintptr_t)__builtin_return_address(0);
}

static void riscv_alone(void) {
    void *sigreturn = look_up("__vdso_rt_sigreturn");
    long (*flush)(void *, void *, unsigned long) = look_up("__vdso_flush_icache");
    struct {
        int64_t key;
        uint64_t value;
    } pair = {3, 0};
    long (*probe)(void *, size_t, size_t, void *, unsigned) = look_up("__vdso_riscv_hwprobe");
    CHECK(RISCV ? sigreturn && flush && probe : !sigreturn);
    CHECK(!RISCV || (flush && flush(&pair, &pair + 1, 0) == 0));
    CHECK(!RISCV || (probe && probe(&pair, 1, 0, NULL, 0) == 0 && pair.key == 3 && pair.value == 1));
    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
    CHECK(RISCV ? return_address == (uintptr_t)sigreturn : return_address != 0);
}

int main(void) {
    if (find_vdso()) {
        mapping();
        clocks();
        time_of_day();
        processor();
        faults();
        riscv_alone();
    }
    return check_summary();
}
