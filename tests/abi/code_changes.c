// SPDX-License-Identifier: MIT
// Code that is written, changed, moved, unmapped and shared while it runs.
// Calls: mmap munmap mprotect mremap madvise riscv_flush_icache
// kiln: skip-qemu
// qemu: it misses code that changed without its knowledge (madvise, memory at two addresses)
#define _GNU_SOURCE
#include "check.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { PAGE = 4096, RW = PROT_READ | PROT_WRITE, RX = PROT_READ | PROT_EXEC, RWX = RW | PROT_EXEC };

// Writes a function that returns n (below 2048).
static void emit(void *to, int n) {
#ifdef __riscv
    uint32_t code[2] = {0x00000513u | (uint32_t)n << 20, 0x00008067u};
    memcpy(to, code, sizeof code);
#else
    uint8_t code[6] = {0xb8, (uint8_t)n, (uint8_t)(n >> 8), 0, 0, 0xc3};
    memcpy(to, code, sizeof code);
#endif
}
static void flush(void *at) { __builtin___clear_cache((char *)at, (char *)at + 16); }
static void flush_by_instruction(void *at) {
#ifdef __riscv
    (void)at;
    __asm__ volatile("fence.i" ::: "memory");
#else
    flush(at);
#endif
}
static int call(void *at) { return ((int (*)(void))(uintptr_t)at)(); }

static sigjmp_buf jump;
static void leave(int signal) { siglongjmp(jump, signal); }
static int try_call(void *at) {
    int signal = sigsetjmp(jump, 1);
    return signal ? -signal : call(at);
}

static void *map(int prot) { return mmap(NULL, PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }

int main(void) {
    int wrong = 0;
    signal(SIGSEGV, leave);
    signal(SIGBUS, leave);
    signal(SIGILL, leave);

    char *code = map(RWX);
    for (int i = 0; i < 500; i++) {
        emit(code, i), (i & 1 ? flush : flush_by_instruction)(code);
        wrong += call(code) != i;
    }
    CHECK(wrong == 0);

    // written, then made executable, again and again
    char *turns = map(RW);
    for (int i = 0; i < 50; i++) {
        mprotect(turns, PAGE, RW);
        emit(turns, i + 7);
        mprotect(turns, PAGE, RX);
        flush(turns);
        wrong += call(turns) != i + 7;
    }
    CHECK(wrong == 0);
    mprotect(turns, PAGE, RW);
    CHECK(try_call(turns) == -SIGSEGV);
    mprotect(turns, PAGE, RX);
    CHECK(try_call(turns) == 56);

    // other memory at the same address
    for (int i = 0; i < 20; i++) {
        CHECK(mmap(turns, PAGE, RWX, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == turns);
        emit(turns, 100 + i), flush(turns);
        wrong += call(turns) != 100 + i;
    }
    CHECK(wrong == 0);
    munmap(turns, PAGE);
    CHECK(try_call(turns) == -SIGSEGV);

    // moved
    char *moved = mremap(code, PAGE, 2 * PAGE, MREMAP_MAYMOVE), *target = map(RWX);
    emit(moved, 33), flush(moved), emit(target, 44), flush(target);
    CHECK(call(moved) == 33 && call(target) == 44);
    CHECK(mremap(moved, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target);
    CHECK(call(target) == 33 && try_call(moved) == -SIGSEGV);
    CHECK(madvise(target, PAGE, MADV_DONTNEED) == 0 && try_call(target) < 0); // zeroes are no code

    // one page of memory at two addresses
    int fd = memfd_create("code", MFD_CLOEXEC);
    CHECK(ftruncate(fd, PAGE) == 0);
    char *writer = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0), *runner = mmap(NULL, PAGE, RX, MAP_SHARED, fd, 0);
    for (int i = 0; i < 50; i++) {
        emit(writer, 200 + i), flush(runner);
        wrong += call(runner) != 200 + i;
    }
    CHECK(wrong == 0);

    // a child that changes its copy
    emit(target, 1), flush(target);
    CHECK(call(target) == 1);
    pid_t child = fork();
    if (child == 0) {
        emit(target, 2), flush(target);
        _exit(call(target));
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 2 << 8 && call(target) == 1);

    // instructions that lie across two pages
    char *two = mmap(NULL, 2 * PAGE, RWX, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    emit(two + PAGE - 2, 77), flush(two + PAGE - 2);
    CHECK(call(two + PAGE - 2) == 77);
    emit(two + PAGE - 2, 78), flush(two + PAGE - 2);
    CHECK(call(two + PAGE - 2) == 78);
    munmap(two + PAGE, PAGE);
    CHECK(try_call(two + PAGE - 2) == -SIGSEGV);
    return check_summary();
}
