// SPDX-License-Identifier: MIT
// Children that share the parent's memory (vfork, CLONE_VM) and are killed at any moment: the parent and its other children go on.
// Calls: kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal
// kiln: skip-qemu
// qemu: it cannot
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

enum { STACK = 1 << 16, ROUNDS = 28, COPIES = 64, COPY_BYTES = 512, COPIES_BYTES = COPIES * COPY_BYTES, LAST_CHANCE = 200 };
typedef uint64_t (*Mix)(uint64_t x, uint64_t rounds);

static char *stack;
static volatile pid_t child_id; // the child says who it is once it runs
static volatile uint64_t sink;
static Mix copies[COPIES];
static uint64_t random_state = 88172645463325252u;

static unsigned random_below(unsigned limit) {
    random_state ^= random_state << 13, random_state ^= random_state >> 7, random_state ^= random_state << 17;
    return (unsigned)(random_state >> 33) % limit;
}

static void sleep_us(unsigned us) { nanosleep(&(struct timespec){.tv_nsec = us * 1000L}, NULL); }

// ---- what children do ----------------------------------------------------------------------------------------------------

// Nothing in it depends on where it lies. COPY_BYTES are enough for it on each machine; what is copied beyond it is never run.
static __attribute__((noinline, noclone)) uint64_t mix(uint64_t x, uint64_t rounds) {
    for (uint64_t i = 0; i < rounds; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        if (x & 1) x += i;
        else x -= 3;
    }
    return x;
}

// Code that nobody has run yet.
static void new_copies(void) {
    static char *old;
    char *memory = mmap(NULL, COPIES_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < COPIES; i++) {
        memcpy(memory + i * COPY_BYTES, (const void *)(uintptr_t)mix, COPY_BYTES);
        copies[i] = (Mix)(uintptr_t)(memory + i * COPY_BYTES);
    }
    __builtin___clear_cache(memory, memory + COPIES_BYTES);
    if (old) munmap(old, COPIES_BYTES);
    old = memory;
}

static void run_hot(void) {
    for (;;) sink = mix(sink, 500);
}
static void run_cold(void) {
    for (int i = 0;; i = (i + 1) % COPIES) sink = copies[i](sink, 5);
}
static void run_calls(void) {
    for (;;) {
        char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memory[random_below(4096)] = 1;
        getppid();
        munmap(memory, 4096);
    }
}
static void run_waiting(void) {
    for (;;) pause();
}

typedef void (*Work)(void);
static const Work works[] = {run_hot, run_cold, run_calls, run_waiting};
enum { WORKS = sizeof works / sizeof works[0] };

static int child_main(void *argument) {
    Work work = works[(intptr_t)argument];
    child_id = getpid();
    work();
    return 1;
}

// ---- killing ---------------------------------------------------------------------------------------------------------------

static siginfo_t of_queue(int signal) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = signal;
    info.si_code = SI_QUEUE;
    info.si_pid = getpid();
    info.si_uid = getuid();
    return info;
}

static int by_kill(pid_t pid, int signal) { return kill(pid, signal); }
static int by_tkill(pid_t pid, int signal) { return (int)syscall(SYS_tkill, pid, signal); }
static int by_tgkill(pid_t pid, int signal) { return (int)syscall(SYS_tgkill, pid, pid, signal); }
static int by_queue(pid_t pid, int signal) {
    siginfo_t info = of_queue(signal);
    return (int)syscall(SYS_rt_sigqueueinfo, pid, signal, &info);
}
static int by_thread_queue(pid_t pid, int signal) {
    siginfo_t info = of_queue(signal);
    return (int)syscall(SYS_rt_tgsigqueueinfo, pid, pid, signal, &info);
}
static int by_descriptor(pid_t pid, int signal) {
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    int result = (int)syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0);
    close(fd);
    return result;
}
// The child becomes the first and only one of a group.
static int by_group(pid_t pid, int signal) { return setpgid(pid, pid) == 0 ? kill(-pid, signal) : -1; }

typedef int (*Killer)(pid_t pid, int signal);
static const Killer killers[] = {by_kill, by_tkill, by_tgkill, by_queue, by_thread_queue, by_descriptor, by_group};
enum { KILLERS = sizeof killers / sizeof killers[0] };

static int status_of(pid_t pid) {
    int status = -1;
    return waitpid(pid, &status, __WALL) == pid ? status : -1;
}

// The parent's own code still works: what it knows, and what it has not run yet.
static bool parent_works(void) {
    uint64_t expected = mix(7, 300);
    bool good = true;
    for (int i = 0; i < COPIES; i += 7) good &= copies[i](7, 300) == expected;
    char *text = NULL;
    return good && asprintf(&text, "%d", 42) == 2 && (free(text), true);
}

static pid_t start(unsigned work, int flags) {
    child_id = 0;
    return clone(child_main, stack + STACK, CLONE_VM | SIGCHLD | flags, (void *)(intptr_t)work);
}

static void wait_and_pick(void) {
    while (!child_id) sched_yield();
    sleep_us(random_below(1500));
}

static void beside_the_parent(void) {
    for (unsigned work = 0; work < WORKS; work++) {
        int good = 0;
        for (int i = 0; i < ROUNDS; i++) {
            new_copies();
            pid_t pid = start(work, 0);
            wait_and_pick();
            good += killers[i % KILLERS](pid, SIGKILL) == 0 && status_of(pid) == SIGKILL && parent_works();
        }
        CHECK(good == ROUNDS);
    }
}

static void *kill_vfork_child(void *argument) {
    Killer killer = killers[(intptr_t)argument];
    wait_and_pick();
    return (void *)(intptr_t)killer(child_id, SIGKILL);
}

static void vfork_by_thread(void) {
    for (unsigned work = 0; work < WORKS; work++) {
        int good = 0;
        for (int i = 0; i < ROUNDS; i++) {
            pthread_t thread;
            void *result = NULL;
            new_copies();
            child_id = 0;
            pthread_create(&thread, NULL, kill_vfork_child, (void *)(intptr_t)(i % KILLERS));
            pid_t pid = clone(child_main, stack + STACK, CLONE_VM | CLONE_VFORK | SIGCHLD, (void *)(intptr_t)work);
            pthread_join(thread, &result);
            good += pid > 0 && !result && status_of(pid) == SIGKILL && parent_works();
        }
        CHECK(good == ROUNDS);
    }
}

// Another process kills, by signals that nobody handles.
static void by_others(void) {
    static const int deadly[] = {SIGTERM, SIGHUP, SIGALRM, SIGUSR2, SIGPROF, SIGQUIT};
    enum { DEADLY = sizeof deadly / sizeof deadly[0] };
    int to_killer[2], good = 0;
    for (int i = 0; i < DEADLY; i++) signal(deadly[i], SIG_DFL); // whoever started this may ignore some
    CHECK(pipe(to_killer) == 0);
    fflush(stdout);
    pid_t other = fork();
    if (other == 0) {
        close(to_killer[1]);
        pid_t pid;
        for (int i = 0; read(to_killer[0], &pid, sizeof pid) == sizeof pid; i++) {
            sleep_us(random_below(1500));
            kill(pid, deadly[i % DEADLY]);
        }
        _exit(0);
    }
    close(to_killer[0]);
    for (int i = 0; i < ROUNDS; i++) {
        new_copies();
        child_id = 0;
        pid_t pid = vfork();
        if (pid == 0) {
            child_id = getpid();
            if (write(to_killer[1], (const void *)&child_id, sizeof child_id) > 0) works[(unsigned)i % WORKS]();
            _exit(0);
        }
        good += (status_of(pid) & 0x7f) == deadly[i % DEADLY] && parent_works();
    }
    CHECK(good == ROUNDS);
    close(to_killer[1]);
    CHECK(status_of(other) == 0);
}

int main(void) {
    alarm(LAST_CHANCE); // a parent that hangs
    stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    beside_the_parent();
    vfork_by_thread();
    by_others();
    return check_summary();
}
