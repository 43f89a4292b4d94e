// SPDX-License-Identifier: MIT
//
// A loop that became hot in memory that nobody else sees, and the moment at which others come to see it: by a shared mapping in its place, by
// a segment of System V in its place, by a thread, by a process that shares all memory; or the kernel, by asynchronous I/O.
//
//   compiling   the loop has just run often enough for its better form to be asked for
//   unused      that has come, and has not run yet
//   inside      a signal interrupts the loop in it, and the handler does it. (Another thread cannot be inside: it would be seen itself.)
//
// What a translator makes of the loop in private memory is visibly wrong afterwards: atomic additions that are none, and two loads of
// one word made one. So the loop adds to a sum together with somebody else, and ends when two loads have differed. (The kernel does neither.)
//
// Without arguments: the moments with some of these each. With `MOMENT BY MILLISECONDS [FILE]`: one, with that long a wait for the
// optimizer, and a file that is made when memory is shared (tests/retraction.py, which looks whether the moment was hit).
#include "check.h"
#include "retract.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

enum { PAGE = 4096, WARM = 6000, ROUNDS = 20000 };

typedef struct Shared {
    _Alignas(64) uint64_t sum;
    _Alignas(64) volatile uint64_t word[2];
    _Alignas(64) int ready;
    _Alignas(64) volatile int over;
    _Alignas(64) uint64_t rounds_of_other;
} Shared;

static Shared *shared; // a page
static int patience_ms = 20;
static const char *file;

// Somebody adds to the sum and to a word of its own, so many rounds at least; then until the other's word has changed between two looks.
__attribute__((noinline)) static uint64_t loop(Shared *s, int who, uint64_t rounds, bool until_different) {
    volatile uint64_t *own = &s->word[who], *other = &s->word[!who];
    uint64_t i = 0;
    bool different = !until_different, done;
    do {
        __atomic_fetch_add(&s->sum, 1, __ATOMIC_RELAXED);
        *own = i;
        uint64_t first = *other;
        __atomic_thread_fence(__ATOMIC_SEQ_CST); // gives the other one time
        different |= first != *other;
        done = ((++i >= rounds) & different) | (s->over != 0);
        __asm__("" : "+r"(done)); // one branch: there is one way round
    } while (!done);
    return i;
}

// ---- the other one -----------------------------------------------------------------------------------------------------------------------
static void meet(void) {
    __atomic_fetch_add(&shared->ready, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&shared->ready, __ATOMIC_SEQ_CST) < 2) sched_yield();
}

static void *be_the_other(void *unused) {
    meet();
    shared->rounds_of_other = loop(shared, 1, UINT64_MAX, false);
    return unused;
}

static int as_process(void *unused) {
    be_the_other(unused);
    _exit(0);
}

typedef enum By { MAPPING, SEGMENT, THREAD, PROCESS, KERNEL, WAYS } By;
static const char *const by_name[WAYS] = {"mapping", "segment", "thread", "process", "kernel"};
static pthread_t thread;
static pid_t child;
static char stack[64 << 10] __attribute__((aligned(16)));

static void fork_other(void) {
    child = fork();
    if (child == 0) as_process(NULL);
}

static bool share_with_kernel(void) {
    unsigned long context = 0;
    return syscall(SYS_io_setup, 1, &context) == 0 || errno == ENOSYS; // qemu has none
}

static bool share_with_other(By by) {
    Shared kept = *shared;
    if (by == PROCESS && (child = clone(as_process, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL)) < 0)
        by = MAPPING; // qemu has none
    if (by == MAPPING) {
        if (mmap(shared, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != shared) return false;
        *shared = kept;
        fork_other();
    } else if (by == SEGMENT) {
        int segment = shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0600);
        void *at = shmat(segment, shared, SHM_REMAP);
        shmctl(segment, IPC_RMID, NULL);
        if (at != shared) return false;
        *shared = kept;
        fork_other();
    } else if (by == THREAD && pthread_create(&thread, NULL, be_the_other, NULL) != 0) {
        return false;
    }
    meet();
    return child >= 0;
}

static bool share(By by) {
    bool good = by == KERNEL ? share_with_kernel() : share_with_other(by);
    if (file) close(open(file, O_CREAT | O_WRONLY, 0600));
    return good;
}

static bool leave(By by) {
    if (by == KERNEL) return true;
    shared->over = 1;
    if (by == THREAD) return pthread_join(thread, NULL) == 0;
    int status = -1;
    return waitpid(child, &status, 0) == child && status == 0;
}

// ---- the moments -------------------------------------------------------------------------------------------------------------------------
typedef enum Moment { COMPILING, UNUSED, INSIDE, MOMENTS } Moment;
static const char *const moment_name[MOMENTS] = {"compiling", "unused", "inside"};

static By handler_does;
static volatile int handled;
static void on_alarm(int signal) {
    handled = signal && share(handler_does) ? 1 : -1;
    shared->over = handler_does == KERNEL;
}

static uint64_t interrupted(By by) {
    struct itimerval timer = {{0, 0}, {patience_ms / 1000, patience_ms % 1000 * 1000}};
    handler_does = by;
    signal(SIGALRM, on_alarm);
    setitimer(ITIMER_REAL, &timer, NULL);
    uint64_t rounds = loop(shared, 0, by == KERNEL ? UINT64_MAX : ROUNDS, by != KERNEL);
    shared->over = 0;
    return rounds;
}

static bool test(Moment moment, By by) {
    shared = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t rounds;
    if (moment == INSIDE) {
        rounds = interrupted(by);
        if (handled != 1) return false;
    } else {
        rounds = loop(shared, 0, WARM, false);
        if (moment == UNUSED) wait_with_calls(patience_ms);
        if (!share(by)) return false;
        rounds += loop(shared, 0, ROUNDS, by != KERNEL);
    }
    // By now the answer to what was asked for before has come, and another one under what holds now.
    wait_with_calls(patience_ms);
    for (int i = 0; i < 2; i++) {
        rounds += loop(shared, 0, ROUNDS, false);
        wait_with_calls(patience_ms);
    }
    rounds += loop(shared, 0, ROUNDS, by != KERNEL);
    if (!leave(by)) return false;
    bool good = shared->sum == rounds + shared->rounds_of_other;
    if (!good) printf("# %lu of %lu additions\n", shared->sum, rounds + shared->rounds_of_other);
    return good;
}

static bool test_in_child(Moment moment, By by) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) _exit(!test(moment, by));
    int status = -1;
    bool good = waitpid(pid, &status, 0) == pid && status == 0;
    if (!good) printf("# %s, %s: status %#x\n", moment_name[moment], by_name[by], status);
    return good;
}

int main(int argc, char **argv) {
    if (argc > 3) {
        Moment moment = (Moment)index_in(moment_name, MOMENTS, argv[1]);
        By by = (By)index_in(by_name, WAYS, argv[2]);
        patience_ms = atoi(argv[3]);
        file = argc > 4 ? argv[4] : NULL;
        CHECK(test(moment, by));
        return check_summary();
    }
    CHECK(test_in_child(COMPILING, MAPPING));
    CHECK(test_in_child(COMPILING, THREAD));
    CHECK(test_in_child(UNUSED, SEGMENT));
    CHECK(test_in_child(UNUSED, PROCESS));
    CHECK(test_in_child(UNUSED, KERNEL));
    CHECK(test_in_child(INSIDE, MAPPING));
    CHECK(test_in_child(INSIDE, SEGMENT));
    CHECK(test_in_child(INSIDE, THREAD));
    CHECK(test_in_child(INSIDE, PROCESS));
    return check_summary();
}
