// SPDX-License-Identifier: MIT
// Threads: made, joined, detached, ended in every order; what they share and what each has for itself.
// Calls: clone clone3 exit exit_group futex gettid set_tid_address set_robust_list get_robust_list sched_yield membarrier
// kiln: skip-qemu
// qemu: it has no robust futexes
#include "check.h"
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

static void brief(long microseconds) {
    struct timespec t = {microseconds / 1000000, microseconds % 1000000 * 1000};
    nanosleep(&t, NULL);
}

// ---- made and joined ------------------------------------------------------------------------------------------------
static __thread int own = 7;
static __thread char own_big[3000];

static void *add_up(void *argument) {
    int n = (int)(intptr_t)argument, good = own == 7 && own_big[2999] == 0;
    own += n;
    memset(own_big, n, sizeof own_big);
    for (int i = 0; i < 100; i++) sched_yield(), good &= own == 7 + n && own_big[i * 7] == (char)n;
    return (void *)(intptr_t)(good ? n * n : -1);
}

static void joining(void) {
    pthread_t threads[20];
    int good = 0;
    for (intptr_t i = 0; i < 20; i++) good += pthread_create(&threads[i], NULL, add_up, (void *)i) == 0;
    CHECK(good == 20);
    good = 0;
    for (intptr_t i = 0; i < 20; i++) {
        void *result = NULL;
        good += pthread_join(threads[i], &result) == 0 && (intptr_t)result == i * i;
    }
    CHECK(good == 20 && own == 7);
}

static pid_t ids[3];
static void *tell_ids(void *unused) {
    ids[0] = gettid(), ids[1] = getpid(), ids[2] = getppid();
    return unused;
}

static void identity(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, tell_ids, NULL);
    pthread_join(thread, NULL);
    CHECK(ids[0] != gettid() && ids[0] > 0 && ids[1] == getpid() && ids[2] == getppid());
    long r = 0; // a joined thread may still be on its last steps
    for (int i = 0; i < 2000 && r == 0; i++) brief(1000), r = syscall(SYS_tgkill, getpid(), ids[0], 0);
    CHECK(r == -1 && errno == ESRCH);
}

static int ended;
static void *end_soon(void *unused) {
    brief(2000);
    __atomic_add_fetch(&ended, 1, __ATOMIC_RELEASE);
    return unused;
}

static void detaching(void) {
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 1 << 20);
    for (int i = 0; i < 10; i++) {
        pthread_create(&thread, i & 1 ? &attributes : NULL, end_soon, NULL);
        if (!(i & 1)) pthread_detach(thread);
    }
    for (int i = 0; i < 5000 && __atomic_load_n(&ended, __ATOMIC_ACQUIRE) < 10; i++) brief(1000);
    CHECK(ended == 10);
}

// ---- waiting for each other --------------------------------------------------------------------------------------------
enum { ROUNDS = 2000, WORKERS = 4 };
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn_changed = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int counter, turn, once_runs, pair[2], torn, phase_errors, phases[WORKERS];

static void run_once(void) { once_runs++; }

static void *count(void *unused) {
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&mutex);
        counter++;
        pthread_mutex_unlock(&mutex);
    }
    pthread_once(&once, run_once);
    return unused;
}

static void *take_turns(void *argument) {
    int me = (int)(intptr_t)argument;
    for (int i = 0; i < 100; i++) {
        pthread_mutex_lock(&mutex);
        while (turn % WORKERS != me) pthread_cond_wait(&turn_changed, &mutex);
        turn++;
        pthread_cond_broadcast(&turn_changed);
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

static void *read_and_write(void *argument) {
    bool writer = (intptr_t)argument == 0;
    for (int i = 0; i < ROUNDS; i++) {
        if (writer) {
            pthread_rwlock_wrlock(&rwlock);
            pair[0]++, pair[1]++;
        } else {
            pthread_rwlock_rdlock(&rwlock);
            if (pair[0] != pair[1]) __atomic_add_fetch(&torn, 1, __ATOMIC_RELAXED);
        }
        pthread_rwlock_unlock(&rwlock);
    }
    return NULL;
}

static void *keep_step(void *argument) {
    int me = (int)(intptr_t)argument;
    for (int i = 0; i < 50; i++) {
        phases[me] = i;
        pthread_barrier_wait(&barrier);
        for (int k = 0; k < WORKERS; k++)
            if (phases[k] != i) __atomic_add_fetch(&phase_errors, 1, __ATOMIC_RELAXED);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

static void together(void *(*work)(void *)) {
    pthread_t threads[WORKERS];
    for (intptr_t i = 0; i < WORKERS; i++) pthread_create(&threads[i], NULL, work, (void *)i);
    for (int i = 0; i < WORKERS; i++) pthread_join(threads[i], NULL);
}

static void synchronising(void) {
    pthread_barrier_init(&barrier, NULL, WORKERS);
    together(count);
    CHECK(counter == ROUNDS * WORKERS && once_runs == 1);
    together(take_turns);
    CHECK(turn == 100 * WORKERS);
    together(read_and_write);
    CHECK(pair[0] == ROUNDS && pair[1] == ROUNDS && torn == 0);
    together(keep_step);
    CHECK(phase_errors == 0);
}

static uint32_t word;
static void *wait_for_word(void *unused) {
    (void)unused;
    long r;
    do r = syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0);
    while (__atomic_load_n(&word, __ATOMIC_ACQUIRE) == 0);
    return (void *)r;
}

static void futexes(void) {
    pthread_t threads[5];
    struct timespec now, later = {0, 20000000};
    uint32_t other = 0;
    for (int i = 0; i < 5; i++) pthread_create(&threads[i], NULL, wait_for_word, NULL);
    brief(50000);
    // They wait on one word and go on on another.
    long moved = syscall(SYS_futex, &word, FUTEX_CMP_REQUEUE, 1, (void *)100, &other, 0);
    CHECK(moved == 5);
    __atomic_store_n(&word, 1, __ATOMIC_RELEASE);
    CHECK(syscall(SYS_futex, &other, FUTEX_WAKE, 100, NULL, NULL, 0) == 4);
    syscall(SYS_futex, &word, FUTEX_WAKE, 100, NULL, NULL, 0);
    for (int i = 0; i < 5; i++) pthread_join(threads[i], NULL);
    CHECK_ERROR(syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0), EAGAIN);
    CHECK_ERROR(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 1, &later, NULL, 0), ETIMEDOUT);
    clock_gettime(CLOCK_MONOTONIC, &now);
    CHECK_ERROR(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, 1, &now, NULL, 1), ETIMEDOUT);
    CHECK_ERROR(syscall(SYS_futex, bad_address, FUTEX_WAIT, 1, NULL, NULL, 0), EFAULT);
    CHECK(syscall(SYS_futex, &word, FUTEX_WAKE_OP, 1, (void *)1, &other, FUTEX_OP(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_EQ, 0)) == 0 &&
          other == 5);
}

// A mutex whose owner ends without letting it go.
static pthread_mutex_t robust, inherits;
static int have_both;
static void *die_with_them(void *unused) {
    pthread_mutex_lock(&robust);
    pthread_mutex_lock(&inherits);
    __atomic_store_n(&have_both, 1, __ATOMIC_RELEASE);
    return unused;
}

static void dead_owners(void) {
    pthread_mutexattr_t attributes;
    pthread_t thread;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&robust, &attributes);
    pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(&inherits, &attributes);
    int good = 0;
    for (int i = 0; i < 30; i++) {
        pthread_create(&thread, NULL, die_with_them, NULL);
        if (i & 1) pthread_join(thread, NULL);
        else
            while (!__atomic_load_n(&have_both, __ATOMIC_ACQUIRE)) sched_yield();
        have_both = 0;
        good += pthread_mutex_lock(&robust) == EOWNERDEAD && pthread_mutex_lock(&inherits) == EOWNERDEAD;
        good += pthread_mutex_consistent(&robust) == 0 && pthread_mutex_consistent(&inherits) == 0;
        pthread_mutex_unlock(&inherits);
        good += pthread_mutex_unlock(&robust) == 0;
        if (!(i & 1)) pthread_join(thread, NULL);
    }
    CHECK(good == 90);
}

// Lists that are no lists: what comes before the bad place is let go, and the thread ends as any other.
typedef struct Held {
    struct robust_list entry;
    uint32_t futex;
} Held;
static Held held[2100];
static struct robust_list_head held_head;
enum { HELD_BAD_NEXT, HELD_BAD_FIRST, HELD_CYCLE, HELD_MANY, HELD_READ_ONLY, HELD_SORTS };

static void *die_with_list(void *argument) {
    int sort = (int)(intptr_t)argument, n = sort == HELD_MANY ? 2100 : 3;
    memset(held, 0, sizeof held);
    for (int i = 0; i < n; i++) {
        held[i].entry.next = i + 1 < n ? &held[i + 1].entry : &held_head.list;
        held[i].futex = (uint32_t)gettid();
    }
    held_head = (struct robust_list_head){.list = {&held[0].entry}, .futex_offset = offsetof(Held, futex)};
    if (sort == HELD_BAD_NEXT) held[1].entry.next = bad_address;
    if (sort == HELD_BAD_FIRST) held_head.list.next = bad_address;
    if (sort == HELD_CYCLE) held[2].entry.next = &held[0].entry;
    if (sort == HELD_READ_ONLY) { // an owner's id that cannot be overwritten
        Held *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        *page = held[1];
        held[0].entry.next = &page->entry;
        mprotect(page, 4096, PROT_READ);
    }
    syscall(SYS_set_robust_list, &held_head, sizeof held_head);
    return NULL;
}

static void bad_lists(void) {
    static const int released[HELD_SORTS] = {2, 0, 3, 2048, 1};
    pthread_t thread;
    for (int sort = 0; sort < HELD_SORTS; sort++) {
        int n = 0;
        CHECK(pthread_create(&thread, NULL, die_with_list, (void *)(intptr_t)sort) == 0 && pthread_join(thread, NULL) == 0);
        for (int i = 0; i < 2100; i++) n += held[i].futex == FUTEX_OWNER_DIED;
        CHECK(n == released[sort]);
    }
}

// ---- ends ------------------------------------------------------------------------------------------------------------------
static void *work_long(void *unused) {
    for (volatile uint64_t i = 0;; i++) {}
    return unused;
}
static void *sleep_long(void *unused) {
    for (;;) pause();
    return unused;
}
static void *exit_group_7(void *unused) {
    brief(5000);
    exit(7);
    return unused;
}
static void *return_later(void *unused) {
    brief(20000);
    return unused;
}
static void *abort_now(void *unused) {
    brief(5000);
    signal(SIGABRT, SIG_DFL);
    abort();
    return unused;
}
static void *fault_now(void *unused) {
    brief(5000);
    *(volatile int *)bad_address = 1;
    return unused;
}
static void *bare_exit(void *unused) {
    syscall(SYS_exit, 3);
    return unused;
}
static void *bare_exit_later(void *unused) {
    brief(20000);
    return bare_exit(unused);
}

static int status_after(void *(*first)(void *), void *(*second)(void *), int main_ends) {
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        if (first) pthread_create(&thread, NULL, first, NULL);
        if (second) pthread_create(&thread, NULL, second, NULL);
        if (main_ends == 1) pthread_exit(NULL);
        if (main_ends == 2) syscall(SYS_exit, 3);
        if (main_ends == 3) _exit(4);
        if (main_ends == 4) brief(20000), kill(getpid(), SIGTERM);
        for (;;) pause();
    }
    int status = -1;
    return waitpid(child, &status, 0) == child ? status : -1;
}

static void ends(void) {
    CHECK(status_after(exit_group_7, work_long, 0) == 7 << 8);
    CHECK(status_after(exit_group_7, sleep_long, 1) == 7 << 8);
    CHECK(status_after(return_later, return_later, 1) == 0);
    CHECK(status_after(bare_exit_later, bare_exit, 2) == 3 << 8);
    CHECK(status_after(work_long, sleep_long, 3) == 4 << 8);
    CHECK(status_after(work_long, sleep_long, 4) == SIGTERM);
    CHECK((status_after(abort_now, work_long, 0) & 0x7f) == SIGABRT);
    CHECK((status_after(fault_now, work_long, 0) & 0x7f) == SIGSEGV);
    CHECK((status_after(fault_now, sleep_long, 1) & 0x7f) == SIGSEGV);
    CHECK(status_after(bare_exit, exit_group_7, 0) == 7 << 8);
}

// ---- refused -----------------------------------------------------------------------------------------------------------------
static void refusals(void) {
    char stack[64];
    CHECK_ERROR(syscall(SYS_clone, CLONE_THREAD | CLONE_VM, stack, 0, 0, 0), EINVAL);
    CHECK_ERROR(syscall(SYS_clone, CLONE_SIGHAND, stack, 0, 0, 0), EINVAL);
    CHECK(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0) >= 0);
    CHECK(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0);
    CHECK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0);
}

int main(void) {
    joining();
    identity();
    detaching();
    synchronising();
    futexes();
    dead_owners();
    bad_lists();
    ends();
    refusals();
    return check_summary();
}
