// SPDX-License-Identifier: MIT
// Code that is written, changed, moved, unmapped and shared while it runs.
// Calls: mmap munmap mprotect mremap madvise riscv_flush_icache
// kiln: skip-qemu
// qemu: it misses code that changed without its knowledge (madvise, memory at two addresses)
#define _GNU_SOURCE
#include "check.h"
#include <fcntl.h>
#include <linux/membarrier.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
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
#ifdef NO_FLUSH // kiln --guard-code: no instruction is needed
static void flush(void *at) { (void)at; }
#define flush_by_instruction flush
#else
static void flush(void *at) { __builtin___clear_cache((char *)at, (char *)at + 16); }
static void flush_by_instruction(void *at) {
#ifdef __riscv
    (void)at;
    __asm__ volatile("fence.i" ::: "memory");
#else
    flush(at);
#endif
}
#endif
static int call(void *at) { return ((int (*)(void))(uintptr_t)at)(); }

static sigjmp_buf jump;
static void leave(int signal) { siglongjmp(jump, signal); }
static int try_call(void *at) {
    int signal = sigsetjmp(jump, 1);
    return signal ? -signal : call(at);
}

// Text, which no store can reach, through /proc/self/mem.
static int __attribute__((noinline, aligned(64))) patched_text(void) {
    __asm__ volatile("nop\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop");
    return 5;
}

static void through_proc(void) {
    int (*volatile text)(void) = patched_text;
    char code[16], old[16], path[64];
    int flags[] = {O_RDWR, O_RDWR, O_WRONLY | O_CLOEXEC}, wrong = 0;
    memcpy(old, (void *)(uintptr_t)text, sizeof old);
    memcpy(code, old, sizeof code);
    CHECK(text() == 5);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, i == 1 ? "/proc/%d/mem" : i == 2 ? "/proc/thread-self/mem" : "/proc/self/mem", getpid());
        int fd = open(path, flags[i]);
        CHECK(fd >= 0);
        for (int n = 0; n < 20; n++) {
            emit(code, 300 + n);
            off_t at = (off_t)(uintptr_t)text;
            struct iovec pieces[2] = {{code, 4}, {code + 4, 12}};
            switch (n % 4) {
            case 0: wrong += pwrite(fd, code, 16, at) != 16; break;
            case 1: wrong += lseek(fd, at, SEEK_SET) != at || write(fd, code, 16) != 16; break;
            case 2: wrong += pwritev(fd, pieces, 2, at) != 16; break;
            default: wrong += lseek(fd, at, SEEK_SET) != at || writev(fd, pieces, 2) != 16; break;
            }
            flush((void *)(uintptr_t)text);
            wrong += text() != 300 + n;
        }
        CHECK(pwrite(fd, old, 16, (off_t)(uintptr_t)text) == 16);
        CHECK(text() == 5);
        close(fd);
    }
    CHECK(wrong == 0);
}

// Functions whose addresses agree in their low bits, called in turn while one after the other changes, and while signals come.
static volatile int ticks;
static void tick(int signal) {
    (void)signal;
    ticks++;
}

static void far_apart(void) {
    enum { COUNT = 48, STEP = 64 << 10, ROUNDS = 200 };
    char *code = mmap(NULL, (size_t)COUNT * STEP, RWX, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int now[COUNT], wrong = 0;
    CHECK(code != MAP_FAILED);
    for (int i = 0; i < COUNT; i++) {
        emit(code + i * STEP, now[i] = i);
        flush(code + i * STEP);
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < COUNT; i++) wrong += call(code + i * STEP) != now[i];
        int changed = round * 7 % COUNT;
        emit(code + changed * STEP, now[changed] = 500 + round);
        flush(code + changed * STEP);
    }
    CHECK(wrong == 0);
    struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    signal(SIGALRM, tick);
    setitimer(ITIMER_REAL, &often, NULL);
    while (ticks < 20)
        for (int i = 0; i < COUNT; i++) wrong += call(code + i * STEP) != now[i];
    setitimer(ITIMER_REAL, &never, NULL);
    signal(SIGALRM, SIG_DFL);
    CHECK(wrong == 0);
    munmap(code, (size_t)COUNT * STEP);
}

// The file that code lies in is made shorter while it runs, and longer again.
static void truncated(void) {
    char name[] = "/tmp/kiln-abi-XXXXXX", page[PAGE] = {0};
    int fd = mkstemp(name);
    unlink(name);
    emit(page, 21), emit(page + 64, 22);
    CHECK(write(fd, page, PAGE) == PAGE);
    char *code = mmap(NULL, PAGE, RX, MAP_PRIVATE, fd, 0);
    CHECK(call(code) == 21);
    CHECK(ftruncate(fd, 0) == 0);
    CHECK(try_call(code + 64) == -SIGBUS);
    CHECK(pwrite(fd, page, PAGE, 0) == PAGE);
    CHECK(try_call(code + 64) == 22 && call(code) == 21);
    munmap(code, PAGE);
    close(fd);
}

// Much code is made and forgotten: what Kiln keeps of it does not grow.
static long resident(void) {
    char text[128] = "";
    int fd = open("/proc/self/statm", O_RDONLY);
    if (read(fd, text, sizeof text - 1) < 0) return -1;
    close(fd);
    long size = 0, pages = 0;
    return sscanf(text, "%ld %ld", &size, &pages) == 2 ? pages : -1;
}

static void made_often(char *code) {
    int wrong = 0;
    long before = 0;
    for (int i = 0; i < 60000; i++) {
        if (i == 1000) before = resident();
        emit(code, i % 2000), flush(code);
        wrong += call(code) != i % 2000;
    }
    CHECK(wrong == 0 && before > 0);
    CHECK(resident() - before < (96 << 20) / PAGE);
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

    // made known to all threads by a barrier
    CHECK(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0) == 0);
    for (int i = 0; i < 50; i++) {
        emit(code, 600 + i);
        CHECK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0) == 0);
        wrong += call(code) != 600 + i;
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

#ifndef NO_FLUSH // a store to another address is not seen
    // one page of memory at two addresses
    int fd = memfd_create("code", MFD_CLOEXEC);
    CHECK(ftruncate(fd, PAGE) == 0);
    char *writer = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0), *runner = mmap(NULL, PAGE, RX, MAP_SHARED, fd, 0);
    for (int i = 0; i < 50; i++) {
        emit(writer, 200 + i), flush(runner);
        wrong += call(runner) != 200 + i;
    }
    CHECK(wrong == 0);
#endif

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
    through_proc();
    far_apart();
    truncated();
    made_often(two);
    return check_summary();
}
