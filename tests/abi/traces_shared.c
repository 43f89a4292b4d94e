// SPDX-License-Identifier: MIT
// kiln: skip-qemu
//
// Loops that became hot while the memory was one thread's, and go on when it is not: after a shared mapping, a second thread, a vfork.
// What a translator optimised under the first must not be seen under the second, at whatever moment the change comes: before the loop
// is hot, while it is compiled, before what was compiled has run, and afterwards. `AGES` are these moments.
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>

enum { AGES = 10, ADDS = 30000 };

typedef struct Shared {
    _Alignas(64) volatile int flag;
    _Alignas(64) volatile uint64_t data;
    _Alignas(64) uint64_t sum, exchanged, locked;
    _Alignas(64) int lock;
    _Alignas(64) volatile int ready;
} Shared;

static Shared private_one;

// ---- the loops --------------------------------------------------------------------------------------------------------------------------
__attribute__((noinline)) static uint64_t spin(volatile int *flag, uint64_t most) {
    uint64_t n = 0;
    while (!*flag && n < most) n++;
    return n;
}

__attribute__((noinline)) static void add(Shared *s, uint64_t rounds) {
    for (uint64_t i = 0; i < rounds; i++) {
        __atomic_fetch_add(&s->sum, 1, __ATOMIC_RELAXED);
        uint64_t old = __atomic_load_n(&s->exchanged, __ATOMIC_RELAXED);
        while (!__atomic_compare_exchange_n(&s->exchanged, &old, old + 3, true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {}
    }
}

// `locked` is no atomic variable: the lock alone guards it.
__attribute__((noinline)) static void add_locked(Shared *s, uint64_t rounds) {
    for (uint64_t i = 0; i < rounds; i++) {
        for (unsigned tries = 0; __atomic_exchange_n(&s->lock, 1, __ATOMIC_ACQUIRE); tries++)
            if (tries > 50) sched_yield();
        s->locked = s->locked * 3 - s->locked * 2 + 1;
        __atomic_store_n(&s->lock, 0, __ATOMIC_RELEASE);
    }
}

__attribute__((noinline)) static void produce(Shared *s, int rounds) {
    for (int i = 1; i <= rounds; i++) {
        s->data = (uint64_t)i;
        __atomic_thread_fence(__ATOMIC_RELEASE);
        s->flag = i;
    }
}
__attribute__((noinline)) static int consume(Shared *s, int until) {
    int wrong = 0, seen = 0;
    while (seen < until) {
        seen = s->flag;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        wrong += s->data < (uint64_t)seen;
    }
    return wrong;
}

// They get as hot as the age says, with calls between, at which answers of an optimizer may be taken in.
static void warm_up(int age) {
    static const int rounds[AGES] = {0, 20, 200, 1000, 3000, 3000, 8000, 20000, 50000, 100000};
    memset(&private_one, 0, sizeof private_one);
    for (int part = 0; part < 10; part++) {
        uint64_t n = (uint64_t)rounds[age] / 10;
        add(&private_one, n);
        add_locked(&private_one, n);
        private_one.flag = 0;
        spin(&private_one.flag, n);
        produce(&private_one, (int)n);
        consume(&private_one, (int)n);
        for (int i = 0; i < 20; i++) getppid();
        if (age % 2 && part > 7) usleep(3000);
    }
    private_one.flag = 0;
    private_one.ready = 0;
    private_one.sum = private_one.exchanged = private_one.locked = 0;
}

static bool sums(const Shared *s, uint64_t adds) { return s->sum == adds && s->exchanged == 3 * adds && s->locked == adds; }

static void both_add(Shared *s) {
    __atomic_fetch_add(&s->ready, 1, __ATOMIC_SEQ_CST);
    while (s->ready < 2) sched_yield();
    add(s, ADDS);
    add_locked(s, ADDS);
}

static int status_of(pid_t child) {
    int status = -1;
    return waitpid(child, &status, 0) == child ? status : -1;
}

// ---- what ends the privacy -----------------------------------------------------------------------------------------------------------------
static bool shared_mapping(int age) {
    warm_up(age);
    Shared *s = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = fork();
    if (child == 0) {
        both_add(s);
        produce(s, ADDS);
        _exit(0);
    }
    both_add(s);
    int wrong = consume(s, ADDS);
    return status_of(child) == 0 && sums(s, 2 * ADDS) && !wrong;
}

// Mapped for reading, made writable later.
static bool protected_mapping(int age) {
    Shared *s = mmap(0, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    warm_up(age);
    if (mprotect(s, 4096, PROT_READ | PROT_WRITE) != 0) return false;
    pid_t child = fork();
    if (child == 0) {
        both_add(s);
        _exit(0);
    }
    both_add(s);
    return status_of(child) == 0 && sums(s, 2 * ADDS);
}

static void *adds_in_thread(void *argument) {
    both_add(argument);
    produce(argument, ADDS);
    return argument;
}
static bool second_thread(int age) {
    pthread_t thread;
    warm_up(age);
    Shared *s = &private_one;
    if (pthread_create(&thread, NULL, adds_in_thread, s) != 0) return false;
    both_add(s);
    int wrong = consume(s, ADDS);
    pthread_join(thread, NULL);
    return sums(s, 2 * ADDS) && !wrong;
}

// The parent waits, so one after the other may assume that it is alone.
static bool vforked(int age) {
    warm_up(age);
    Shared *s = &private_one;
    add(s, ADDS);
    pid_t child = vfork();
    if (child == 0) {
        add(s, ADDS);
        add_locked(s, ADDS);
        _exit(7);
    }
    add_locked(s, ADDS);
    return status_of(child) == 7 << 8 && sums(s, 2 * ADDS);
}

// ---- waiting for somebody else ---------------------------------------------------------------------------------------------------------------
static const uint64_t FOREVER = UINT64_MAX;

// A file that another process writes to; here it is mapped for reading alone.
static bool read_only_mapping(int age) {
    int file = memfd_create("flag", 0);
    if (ftruncate(file, 4096) != 0) return false;
    volatile int *flag = mmap(0, 4096, PROT_READ, MAP_SHARED, file, 0);
    warm_up(age);
    pid_t child = fork();
    if (child == 0) {
        int one = 1;
        usleep(20000);
        _exit(pwrite(file, &one, sizeof one, 0) != sizeof one);
    }
    spin(flag, FOREVER);
    return status_of(child) == 0;
}

// A pair of numbers that another process writes and this one reads, with a counter that is odd while they change.
typedef struct Pair {
    uint64_t count, a, b;
} Pair;
__attribute__((noinline)) static void write_pairs(Pair *p) {
    for (uint64_t i = 1;; i++) {
        __atomic_store_n(&p->count, 2 * i + 1, __ATOMIC_SEQ_CST);
        __atomic_store_n(&p->a, i, __ATOMIC_SEQ_CST);
        for (volatile int k = 0; k < 20; k++) {}
        __atomic_store_n(&p->b, i, __ATOMIC_SEQ_CST);
        __atomic_store_n(&p->count, 2 * i + 2, __ATOMIC_SEQ_CST);
        for (volatile int k = 0; k < 20; k++) {}
    }
}
__attribute__((noinline)) static uint64_t torn_pairs(const Pair *p, uint64_t reads) {
    uint64_t torn = 0;
    for (uint64_t i = 0; i < reads; i++) {
        uint64_t count = __atomic_load_n(&p->count, __ATOMIC_ACQUIRE);
        uint64_t a = __atomic_load_n(&p->a, __ATOMIC_RELAXED), b = __atomic_load_n(&p->b, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (!(count & 1) && __atomic_load_n(&p->count, __ATOMIC_RELAXED) == count) torn += a != b;
    }
    return torn;
}
// A file in memory that was opened for reading.
static bool read_only_pairs(int age) {
    char name[64];
    int file = memfd_create("pairs", 0);
    snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    int for_reading = open(name, O_RDONLY);
    if (ftruncate(file, 4096) != 0) return false;
    pid_t child = fork();
    if (child == 0) write_pairs(mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
    close(file);
    warm_up(age);
    Pair alone = {0};
    uint64_t torn = torn_pairs(&alone, 20000);
    const Pair *pairs = mmap(0, 4096, PROT_READ, MAP_SHARED, for_reading, 0);
    for (int i = 0; i < 50; i++) {
        torn += torn_pairs(pairs, 20000);
        getppid();
    }
    kill(child, SIGKILL);
    return status_of(child) == SIGKILL && !torn;
}

static void *sets_flag(void *argument) {
    usleep(20000);
    *(volatile int *)argument = 1;
    return NULL;
}
static bool thread_sets_flag(int age) {
    pthread_t thread;
    warm_up(age);
    if (pthread_create(&thread, NULL, sets_flag, (void *)&private_one.flag) != 0) return false;
    spin(&private_one.flag, FOREVER);
    pthread_join(thread, NULL);
    return true;
}

static void on_alarm(int signal) { private_one.flag = signal; }
static bool handler_sets_flag(int age) {
    warm_up(age);
    signal(SIGALRM, on_alarm);
    struct itimerval timer = {{0, 0}, {0, 20000}};
    setitimer(ITIMER_REAL, &timer, NULL);
    spin(&private_one.flag, FOREVER);
    return private_one.flag == SIGALRM;
}

// The kernel writes into memory on behalf of this process.
static bool kernel_sets_flag(int age) {
    int ends[2], one = 1, got = 0;
    warm_up(age);
    if (pipe(ends) != 0) return false;
    for (int i = 0; i < 300; i++) {
        private_one.flag = 0;
        got += write(ends[1], &one, sizeof one) == sizeof one && spin(&private_one.flag, 50) == 50 &&
               read(ends[0], (void *)&private_one.flag, sizeof one) == sizeof one && spin(&private_one.flag, 50) == 0;
    }
    return got == 300;
}

static int ages_passed(bool (*test)(int age)) {
    int good = 0;
    fflush(stdout);
    for (int age = 0; age < AGES; age++) {
        pid_t child = fork();
        if (child == 0) _exit(!test(age));
        int status = status_of(child);
        good += status == 0;
        if (status) fprintf(stderr, "age %d: status %#x\n", age, status);
    }
    return good;
}

int main(void) {
    CHECK(ages_passed(shared_mapping) == AGES);
    CHECK(ages_passed(protected_mapping) == AGES);
    CHECK(ages_passed(second_thread) == AGES);
    CHECK(ages_passed(vforked) == AGES);
    CHECK(ages_passed(read_only_mapping) == AGES);
    CHECK(ages_passed(read_only_pairs) == AGES);
    CHECK(ages_passed(thread_sets_flag) == AGES);
    CHECK(ages_passed(handler_sets_flag) == AGES);
    CHECK(ages_passed(kernel_sets_flag) == AGES);
    return check_summary();
}
