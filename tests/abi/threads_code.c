// SPDX-License-Identifier: MIT
// One thread changes code while others run it: patched in place, written to fresh memory, taken away and given back.
// Calls: mmap munmap mprotect riscv_flush_icache clone
#include "check.h"
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

enum { PAGE = 4096, READERS = 3, RW = PROT_READ | PROT_WRITE, RX = PROT_READ | PROT_EXEC };

static void brief(long microseconds) {
    struct timespec t = {0, microseconds * 1000};
    nanosleep(&t, NULL);
}

// A function that returns n, below 2048. Its number stands in one aligned word, so that it can be changed while it runs.
static void set_number(char *code, int n) {
#ifdef __riscv
    __atomic_store_n((uint32_t *)code, 0x00000513u | (uint32_t)n << 20, __ATOMIC_RELEASE);
#else
    __atomic_store_n((uint32_t *)(code + 4), (uint32_t)n, __ATOMIC_RELEASE);
#endif
}
static void emit(char *code, int n) {
#ifdef __riscv
    *(uint32_t *)(code + 4) = 0x00008067u;
#else
    memcpy(code, (uint8_t[]){0x90, 0x90, 0x90, 0xb8}, 4);
    code[8] = (char)0xc3;
#endif
    set_number(code, n);
}
#ifdef NO_FLUSH // kiln --guard-code: no instruction is needed
static void flush_range(char *start, char *end) { (void)start, (void)end; }
#elif defined(__riscv)
static void flush_range(char *start, char *end) { __builtin___clear_cache(start, end); }
#else
// As riscv_flush_icache does: no processor goes on with instructions that it has fetched before. x86 promises that for what a thread
// writes itself, not for what others write (Intel SDM volume 3, 9.1.3: cross-modifying code).
static void flush_range(char *start, char *end) {
    (void)start, (void)end;
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0) != 0) abort();
}
#endif
static void flush(char *code) { flush_range(code, code + 16); }
static int call(char *code) { return ((int (*)(void))(uintptr_t)code)(); }

static volatile int stop;
static int errors, last_error;
static void wrong(int what) { __atomic_add_fetch(&errors, 1, __ATOMIC_RELAXED), last_error = what; }

static void run(void *(*reader)(void *), void (*writer)(void)) {
    pthread_t threads[READERS];
    stop = errors = 0;
    for (intptr_t i = 0; i < READERS; i++) pthread_create(&threads[i], NULL, reader, (void *)i);
    writer();
    stop = 1;
    for (int i = 0; i < READERS; i++) pthread_join(threads[i], NULL);
    if (errors) printf("# %d errors, the last %d\n", errors, last_error);
    CHECK(errors == 0);
}

// ---- patched in place --------------------------------------------------------------------------------------------------
static char *patched;
static int published, announced;

// What was made known before the call is the least, what was announced by its end the most that it may return.
static void *call_patched(void *unused) {
    while (!stop) {
        int least = __atomic_load_n(&published, __ATOMIC_ACQUIRE), n = call(patched);
        int most = __atomic_load_n(&announced, __ATOMIC_ACQUIRE);
        if (n < least || n > most) wrong(n);
    }
    return unused;
}

static void patch(void) {
    for (int i = 1; i < 1500; i++) {
        __atomic_store_n(&announced, i, __ATOMIC_RELEASE);
        set_number(patched, i);
        flush(patched);
        __atomic_store_n(&published, i, __ATOMIC_RELEASE);
        if (call(patched) != i) wrong(-i);
        if (i % 50 == 0) brief(100);
    }
}

// ---- written elsewhere, made executable, published ------------------------------------------------------------------------
enum { GENERATIONS = 400, KEPT = 8 };
static char *pages[KEPT];
static int newest = -1, users[KEPT];

static void *call_newest(void *unused) {
    while (!stop) {
        int generation = __atomic_load_n(&newest, __ATOMIC_ACQUIRE);
        if (generation < 0) continue;
        int slot = generation % KEPT;
        __atomic_add_fetch(&users[slot], 1, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&newest, __ATOMIC_SEQ_CST) == generation && call(pages[slot]) != generation) wrong(generation);
        __atomic_sub_fetch(&users[slot], 1, __ATOMIC_SEQ_CST);
    }
    return unused;
}

static void write_elsewhere(void) {
    for (int i = 0; i < GENERATIONS; i++) {
        int slot = i % KEPT;
        if (i % 3 == 0 && pages[slot]) {
            while (__atomic_load_n(&users[slot], __ATOMIC_SEQ_CST)) sched_yield();
            munmap(pages[slot], PAGE);
            pages[slot] = NULL;
        }
        while (__atomic_load_n(&users[slot], __ATOMIC_SEQ_CST)) sched_yield();
        if (!pages[slot]) pages[slot] = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        else mprotect(pages[slot], PAGE, RW);
        emit(pages[slot], i);
        mprotect(pages[slot], PAGE, RX);
        flush(pages[slot]);
        __atomic_store_n(&newest, i, __ATOMIC_SEQ_CST);
    }
}

// ---- taken away ----------------------------------------------------------------------------------------------------------
static char *unsure;
static __thread sigjmp_buf back;
static __thread void *fault_address;
static void caught(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    fault_address = info->si_addr;
    siglongjmp(back, 1);
}

static int calls_done, faults_seen;
static void *call_unsure(void *unused) {
    while (!stop) {
        if (sigsetjmp(back, 1) == 0) {
            int n = call(unsure);
            if (n != 77) wrong(n);
            __atomic_add_fetch(&calls_done, 1, __ATOMIC_RELAXED);
        } else {
            // Any of its instructions can be the first that is gone.
            if ((char *)fault_address < unsure || (char *)fault_address > unsure + 8) wrong(-1);
            __atomic_add_fetch(&faults_seen, 1, __ATOMIC_RELAXED);
        }
    }
    return unused;
}

static void take_away(void) {
    struct sigaction action = {.sa_sigaction = caught, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    for (int i = 0; i < 600; i++) {
        if (i % 2) mprotect(unsure, PAGE, PROT_NONE);
        else munmap(unsure, PAGE);
        if (i % 5 == 0) brief(200);
        if (i % 2) mprotect(unsure, PAGE, RX);
        else {
            mmap(unsure, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
            emit(unsure, 77);
            mprotect(unsure, PAGE, RX);
            flush(unsure);
        }
        if (i % 7 == 0) brief(200);
    }
}

// ---- much code, made all the time by all ------------------------------------------------------------------------------------
static void *make_much(void *argument) {
    int me = (int)(intptr_t)argument;
    char *area = mmap(NULL, 64 * PAGE, RW | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 64 * PAGE; i += 128) emit(area + i, (i / 128 + me + round) % 2048);
        flush_range(area, area + 64 * PAGE);
        for (int i = 0; i < 64 * PAGE; i += 128)
            if (call(area + i) != (i / 128 + me + round) % 2048) wrong(i);
    }
    munmap(area, 64 * PAGE);
    return NULL;
}
static void make_much_too(void) { make_much((void *)100); }

int main(void) {
#ifndef __riscv
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0) != 0) abort();
#endif
    patched = mmap(NULL, PAGE, RW | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsure = mmap(NULL, PAGE, RW | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    emit(patched, 0);
    emit(unsure, 77);
    flush(patched), flush(unsure);
    run(call_patched, patch);
    run(call_newest, write_elsewhere);
    run(call_unsure, take_away);
    CHECK(calls_done > 0 && faults_seen > 0);
    run(make_much, make_much_too);
    return check_summary();
}
