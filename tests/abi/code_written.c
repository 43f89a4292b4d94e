// SPDX-License-Identifier: MIT
// Code that the kernel writes, code that changes its own page, and code on the stack.
// Calls: read readv pread64 recvmsg getrandom ioctl mmap riscv_flush_icache
// kiln: -fno-stack-protector skip-qemu
// qemu: it lacks process_vm_readv
#define _GNU_SOURCE
#include "check.h"
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>

enum { PAGE = 4096, RWX = PROT_READ | PROT_WRITE | PROT_EXEC, SIZE = 16 };

static void emit(void *to, int n) {
    memset(to, 0, SIZE);
#ifdef __riscv
    uint32_t code[2] = {0x00000513u | (uint32_t)n << 20, 0x00008067u};
#else
    uint8_t code[6] = {0xb8, (uint8_t)n, (uint8_t)(n >> 8), 0, 0, 0xc3};
#endif
    memcpy(to, code, sizeof code);
}
static void flush(void *at) {
#ifdef NO_FLUSH // kiln --guard-code: no instruction is needed
    (void)at;
#else
    __builtin___clear_cache((char *)at, (char *)at + SIZE);
#endif
}
static int call(void *at) { return ((int (*)(void))(uintptr_t)at)(); }

// ---- the kernel writes it ---------------------------------------------------------------------------------------------------
static int pipe_ends[2], sockets[2], file;

static bool by_read(char *to, const char *code) {
    return write(pipe_ends[1], code, SIZE) == SIZE && read(pipe_ends[0], to, SIZE) == SIZE;
}
static bool by_readv(char *to, const char *code) {
    struct iovec pieces[2] = {{to, 4}, {to + 4, SIZE - 4}};
    return write(pipe_ends[1], code, SIZE) == SIZE && readv(pipe_ends[0], pieces, 2) == SIZE;
}
static bool by_pread(char *to, const char *code) {
    return pwrite(file, code, SIZE, 100) == SIZE && pread(file, to, SIZE, 100) == SIZE;
}
static bool by_recv(char *to, const char *code) {
    return send(sockets[1], code, SIZE, 0) == SIZE && recv(sockets[0], to, SIZE, 0) == SIZE;
}
static bool by_recvmsg(char *to, const char *code) {
    struct iovec piece = {to, SIZE};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    return send(sockets[1], code, SIZE, 0) == SIZE && recvmsg(sockets[0], &message, 0) == SIZE;
}
static bool by_process_read(char *to, const char *code) {
    struct iovec here = {to, SIZE}, there = {(void *)(uintptr_t)code, SIZE};
    return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == SIZE;
}
static bool by_memory(char *to, const char *code) { return memcpy(to, code, SIZE) == to; }

static bool (*const ways[])(char *, const char *) = {by_read, by_readv, by_pread, by_recv, by_recvmsg, by_process_read, by_memory};

static void written_by_the_kernel(char *page) {
    CHECK(pipe(pipe_ends) == 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets) == 0);
    file = memfd_create("code", 0);
    char code[SIZE];
    for (int w = 0; w < 7; w++) {
        int good = 0;
        for (int i = 0; i < 40; i++) {
            char *to = page + i % 5 * 64;
            emit(code, w * 100 + i);
            good += ways[w](to, code);
            flush(to);
            good += call(to) == w * 100 + i;
        }
        CHECK(good == 80);
    }
}

// What lies beside code and is written by calls that no table describes.
static void beside_code(char *page) {
    int *number = (int *)(page + 2048);
    struct timeval *now = (struct timeval *)(page + 2064);
    struct pollfd *fds = (struct pollfd *)(page + 2096);
    int good = 0;
    for (int i = 0; i < 20; i++) {
        emit(page, i), flush(page);
        good += call(page) == i;
        good += write(pipe_ends[1], "abc", 3) == 3 && ioctl(pipe_ends[0], FIONREAD, number) == 0 && *number == 3;
        good += call(page) == i;
        *fds = (struct pollfd){pipe_ends[0], POLLIN, 0};
        good += call(page) == i;
        good += poll(fds, 1, 0) == 1 && fds->revents == POLLIN;
        good += call(page) == i;
        good += gettimeofday(now, NULL) == 0 && now->tv_sec > 1000000;
        good += call(page) == i && read(pipe_ends[0], page + 2200, 3) == 3;
        good += call(page) == i && memcmp(page + 2200, "abc", 3) == 0;
    }
    CHECK(good == 180);
}

// ---- code that stores to its own page -----------------------------------------------------------------------------------------
static void own_page(char *page) {
#ifdef __riscv
    // lw a1, 0(a0); addi a1, a1, 1; sw a1, 0(a0); amoadd.w a1, a1, (a0); lw a0, 0(a0); ret
    static const uint32_t code[] = {0x00052583, 0x00158593, 0x00b52023, 0x00b525af, 0x00052503, 0x00008067};
#else
    // mov (%rdi), %eax; inc %eax; mov %eax, (%rdi); add %eax, (%rdi); mov (%rdi), %eax; ret
    static const uint8_t code[] = {0x8b, 0x07, 0xff, 0xc0, 0x89, 0x07, 0x01, 0x07, 0x8b, 0x07, 0xc3};
#endif
    memcpy(page + 512, code, sizeof code);
    flush(page + 512), flush(page + 528);
    int *counter = (int *)(page + 1024), good = 0, expected = 0;
    *counter = 0;
    for (int i = 0; i < 20; i++) {
        expected = (expected + 1) * 2;
        good += ((int (*)(int *))(uintptr_t)(page + 512))(counter) == expected;
    }
    CHECK(good == 20);
}

#ifdef __riscv
// A loop that changes an instruction of its own, in front of it, each time around.
static void own_code(char *page) {
    static const uint32_t code[] = {
        0x00050613, // mv a2, a0            a0: address of the changed instruction, a1: rounds
        0x00000513, // li a0, 0
        0x00062683, // lw a3, 0(a2)         loop
        0x00100737, // lui a4, 0x100
        0x00e686b3, // add a3, a3, a4       its immediate grows by one
        0x00d62023, // sw a3, 0(a2)
#ifdef NO_FLUSH
        0x00000013, // nop
#else
        0x0000100f, // fence.i
#endif
        0x00050513, // addi a0, a0, 0       changed
        0xfff58593, // addi a1, a1, -1
        0xfe0592e3, // bnez a1, loop
        0x00008067, // ret
    };
    memcpy(page + 3072, code, sizeof code);
    flush(page + 3072), flush(page + 3088), flush(page + 3104);
    int (*run)(void *, long) = (int (*)(void *, long))(uintptr_t)(page + 3072);
    CHECK(run(page + 3072 + 28, 50) == 50 * 51 / 2);
}
#else
static void own_code(char *page) { CHECK(page != NULL); }
#endif

// ---- code on the stack, with frames of signals beside it ----------------------------------------------------------------------
static volatile int handled;
static void handler(int signal) { handled += signal == SIGUSR1; }

static void on_the_stack(void) {
    _Alignas(PAGE) char area[PAGE * 4];
    static char alternate[65536];
    mprotect(area, sizeof area, RWX);
    int good = 0;
    stack_t stack = {.ss_sp = area, .ss_size = sizeof area}, none = {.ss_sp = alternate, .ss_flags = SS_DISABLE};
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &action, NULL);
    CHECK(sigaltstack(&stack, NULL) == 0);
    for (int i = 0; i < 20; i++) {
        char *code = area + PAGE * 3 + 64 * (i % 4); // within the frame to come
        emit(code, i), flush(code);
        good += call(code) == i;
        raise(SIGUSR1);
        emit(area, i + 100), flush(area);
        good += call(area) == i + 100;
    }
    CHECK(good == 40 && handled == 20);
    sigaltstack(&none, NULL);
    mprotect(area, sizeof area, PROT_READ | PROT_WRITE);
}

int main(void) {
    char *page = mmap(NULL, PAGE, RWX, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    written_by_the_kernel(page);
    beside_code(page);
    own_page(page);
    own_code(page);
    on_the_stack();
    return check_summary();
}
