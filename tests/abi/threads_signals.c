// SPDX-License-Identifier: MIT
// Signals and threads: to one thread, to whichever lets them in, storms, masks, cancellation, timers, faults of several at once.
// Calls: tkill tgkill kill rt_tgsigqueueinfo rt_sigqueueinfo rt_sigtimedwait signalfd4 sigaltstack timer_create rt_sigaction
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <time.h>
#include <ucontext.h>

enum { THREADS = 4 };

static void brief(long microseconds) {
    struct timespec t = {microseconds / 1000000, microseconds % 1000000 * 1000};
    nanosleep(&t, NULL);
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *), int flags) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigemptyset(&action.sa_mask);
    sigaction(signal, &action, NULL);
}

static sigset_t set_of(int signal) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    return set;
}

static int patiently(volatile int *value, int wanted) {
    for (int i = 0; i < 20000 && __atomic_load_n(value, __ATOMIC_ACQUIRE) < wanted; i++) brief(500);
    return *value == wanted;
}

// ---- to one thread --------------------------------------------------------------------------------------------------
static __thread int hits;
static volatile int total_hits, stop, wrong_value;
static pthread_t threads[THREADS];

static void hit(int signal, siginfo_t *info, void *context) {
    (void)context;
    hits++;
    if (info->si_signo != signal) wrong_value = 1;
    __atomic_add_fetch(&total_hits, 1, __ATOMIC_RELEASE);
}

static void *spin(void *unused) {
    (void)unused;
    uint64_t n = 0;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) n++;
    return (void *)(intptr_t)hits;
}

static void *sleep_or_call(void *unused) {
    (void)unused;
    int fds[2];
    char c = 0;
    if (pipe(fds)) return NULL;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        if (write(fds[1], &c, 1) != 1 || read(fds[0], &c, 1) != 1) wrong_value = 2;
        brief(50);
        getppid();
    }
    close(fds[0]), close(fds[1]);
    return (void *)(intptr_t)hits;
}

// Queued signals: none is lost, whatever their thread does.
static void directed(void *(*work)(void *), int rounds) {
    int sent = 0, received = 0;
    total_hits = stop = wrong_value = 0;
    handle(SIGRTMIN + 1, hit, SA_RESTART);
    for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, work, NULL);
    for (int i = 0; i < rounds; i++)
        while (pthread_kill(threads[i % THREADS], SIGRTMIN + 1) != 0) brief(1000);
    sent = rounds;
    bool all = patiently(&total_hits, sent);
    stop = 1;
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        int share = (int)(intptr_t)result;
        received += share;
        if (share != rounds / THREADS) wrong_value = 3;
    }
    CHECK(all && received == sent && wrong_value == 0);
}

// Every thread at every other one.
static void *shoot_around(void *argument) {
    unsigned state = (unsigned)(uintptr_t)argument;
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) sched_yield();
    for (int i = 0; i < 400; i++) {
        state = state * 1103515245 + 12345;
        if (pthread_kill(threads[(state >> 16) % THREADS], (state >> 20) & 1 ? SIGUSR1 : SIGUSR2)) wrong_value = 4;
        if (i % 16 == 0) brief(10);
    }
    return NULL;
}

static void storms(void) {
    total_hits = stop = wrong_value = 0;
    handle(SIGUSR1, hit, SA_RESTART);
    handle(SIGUSR2, hit, SA_RESTART | SA_NODEFER);
    // All exist before the first shot, and none is joined before the last.
    for (intptr_t i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, shoot_around, (void *)i);
    stop = 1;
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    CHECK(total_hits > 0 && wrong_value == 0);
}

// ---- to the process -------------------------------------------------------------------------------------------------
static pthread_t taker;
static volatile int taken, taken_elsewhere;
static void note_taker(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info, (void)context;
    __atomic_add_fetch(pthread_equal(pthread_self(), taker) ? &taken : &taken_elsewhere, 1, __ATOMIC_RELEASE);
}

static volatile int ready;
static void *let_in(void *unused) {
    sigset_t set = set_of(SIGRTMIN + 2);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    ready = 1;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {}
    return unused;
}

static void to_the_process(void) {
    sigset_t set = set_of(SIGRTMIN + 2), old;
    handle(SIGRTMIN + 2, note_taker, 0);
    pthread_sigmask(SIG_BLOCK, &set, &old);
    stop = ready = 0;
    pthread_create(&threads[0], NULL, sleep_or_call, NULL);
    pthread_create(&taker, NULL, let_in, NULL);
    patiently(&ready, 1);
    for (int i = 0; i < 200; i++) kill(getpid(), SIGRTMIN + 2);
    CHECK(patiently(&taken, 200) && taken_elsewhere == 0);
    stop = 1;
    pthread_join(taker, NULL);
    pthread_join(threads[0], NULL);
    // Nobody lets it in: it waits for who asks.
    siginfo_t info;
    union sigval value = {.sival_int = 42};
    struct timespec moment = {5, 0};
    sigqueue(getpid(), SIGRTMIN + 2, value);
    CHECK(sigtimedwait(&set, &info, &moment) == SIGRTMIN + 2 && info.si_value.sival_int == 42);
    int fd = signalfd(-1, &set, SFD_CLOEXEC);
    struct signalfd_siginfo record;
    sigqueue(getpid(), SIGRTMIN + 2, value);
    CHECK(read(fd, &record, sizeof record) == sizeof record && record.ssi_int == 42);
    close(fd);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void *wait_for_it(void *unused) {
    (void)unused;
    sigset_t set = set_of(SIGRTMIN + 3);
    siginfo_t info;
    ready = 1;
    return (void *)(intptr_t)(sigwaitinfo(&set, &info) == SIGRTMIN + 3 ? info.si_value.sival_int : -1);
}

static void waited_for(void) {
    sigset_t set = set_of(SIGRTMIN + 3), old;
    union sigval value = {.sival_int = 99};
    void *result;
    pthread_sigmask(SIG_BLOCK, &set, &old);
    ready = 0;
    pthread_create(&threads[0], NULL, wait_for_it, NULL);
    patiently(&ready, 1);
    pthread_sigqueue(threads[0], SIGRTMIN + 3, value);
    pthread_join(threads[0], &result);
    CHECK((intptr_t)result == 99);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

// ---- masks are each thread's own -----------------------------------------------------------------------------------------
static void *own_mask(void *unused) {
    sigset_t now, set = set_of(SIGUSR1);
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    bool inherited = sigismember(&now, SIGUSR2) && !sigismember(&now, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    stack_t alternate;
    sigaltstack(NULL, &alternate);
    bool none = (alternate.ss_flags & SS_DISABLE) != 0;
    pthread_kill(pthread_self(), SIGUSR1);
    sigpending(&now);
    (void)unused;
    return (void *)(intptr_t)(inherited && none && hits == 0 && sigismember(&now, SIGUSR1));
}

static void masks(void) {
    static char stack[65536];
    sigset_t set = set_of(SIGUSR2), old, now;
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    void *result;
    handle(SIGUSR1, hit, 0);
    sigaltstack(&alternate, NULL);
    pthread_sigmask(SIG_BLOCK, &set, &old);
    pthread_create(&threads[0], NULL, own_mask, NULL);
    pthread_join(threads[0], &result);
    pthread_sigmask(SIG_SETMASK, &old, &now);
    CHECK((intptr_t)result == 1 && !sigismember(&now, SIGUSR1));
    sigpending(&now);
    CHECK(!sigismember(&now, SIGUSR1)); // a thread's own end with it
    alternate.ss_flags = SS_DISABLE;
    sigaltstack(&alternate, NULL);
}

// ---- cancellation ----------------------------------------------------------------------------------------------------------
static volatile int cleaned;
static void clean(void *unused) { (void)unused, __atomic_add_fetch(&cleaned, 1, __ATOMIC_RELAXED); }

static void *cancelled_asleep(void *unused) {
    pthread_cleanup_push(clean, NULL);
    for (;;) brief(1000000);
    pthread_cleanup_pop(0);
    return unused;
}

static void *cancelled_awake(void *unused) {
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    pthread_cleanup_push(clean, NULL);
    for (volatile uint64_t i = 0;; i++) {}
    pthread_cleanup_pop(0);
    return unused;
}

static void cancelling(void) {
    int good = 0;
    for (int i = 0; i < 20; i++) {
        void *result = NULL;
        pthread_create(&threads[0], NULL, i & 1 ? cancelled_awake : cancelled_asleep, NULL);
        brief(i * 100);
        good += pthread_cancel(threads[0]) == 0;
        pthread_join(threads[0], &result);
        good += result == PTHREAD_CANCELED;
    }
    CHECK(good == 40);
    // glibc changes the credentials of all threads by a signal to each.
    stop = 0;
    for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, i & 1 ? spin : sleep_or_call, NULL);
    good = 0;
    for (int i = 0; i < 20; i++) good += setresuid(-1, -1, -1) == 0 && setresgid(-1, -1, -1) == 0;
    stop = 1;
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    CHECK(good == 20);
}

// ---- timers ---------------------------------------------------------------------------------------------------------------
static void *with_timer(void *unused) {
    (void)unused;
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 4};
    event._sigev_un._tid = gettid();
    struct itimerspec often = {{0, 1000000}, {0, 1000000}}, never = {{0, 0}, {0, 0}};
    if (timer_create(CLOCK_MONOTONIC, &event, &timer)) return NULL;
    timer_settime(timer, 0, &often, NULL);
    for (int i = 0; hits < 20 && i < 2000000000; i++) __asm__ volatile("" ::: "memory");
    timer_settime(timer, 0, &never, NULL);
    timer_delete(timer);
    return (void *)(intptr_t)(hits >= 20);
}

static void timers(void) {
    int good = 0;
    handle(SIGRTMIN + 4, hit, 0);
    for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, with_timer, NULL);
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        good += result == (void *)1;
    }
    CHECK(good == THREADS);
}

// ---- faults ---------------------------------------------------------------------------------------------------------------
static __thread sigjmp_buf back;
static __thread void *expected_address;
static void caught(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    siglongjmp(back, info->si_addr == expected_address ? 1 : 2);
}

static void *fault_often(void *argument) {
    volatile intptr_t good = 0, i; // changed between sigsetjmp and siglongjmp
    for (i = 0; i < 300; i++) {
        expected_address = (char *)argument + i * 8;
        int r = sigsetjmp(back, 1);
        if (r == 0) *(volatile int *)expected_address = 1;
        good += r == 1;
    }
    return (void *)good;
}

static void faults(void) {
    char *nothing = mmap(NULL, THREADS * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int good = 0;
    handle(SIGSEGV, caught, 0);
    for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, fault_often, nothing + 4096 * i);
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        good += (intptr_t)result == 300;
    }
    CHECK(good == THREADS);
    signal(SIGSEGV, SIG_DFL);
}

int main(void) {
    directed(spin, 2000);
    directed(sleep_or_call, 2000);
    storms();
    to_the_process();
    waited_for();
    masks();
    cancelling();
    timers();
    faults();
    return check_summary();
}
