// SPDX-License-Identifier: MIT
//
// What a guest could notice of the optimizer's process: one case a run, `program CASE`. Prints `ok` and `FAIL` lines as the programs of
// tests/abi do. Each case has hot loops before and after what it looks at, whose results are checked.
#include "../abi/check.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *self;

// Two loops, hot after some thousand rounds, and a function that both call.
__attribute__((noinline)) static uint64_t mix(uint64_t x) {
    x ^= x >> 29;
    x *= 0x9e3779b97f4a7c15;
    return x ^ x >> 32;
}
__attribute__((noinline)) static uint64_t loops(uint64_t rounds) {
    uint64_t sum = 0, left = 0;
    for (uint64_t i = 0; i < rounds; i++) {
        sum += mix(i);
        if (i % 7 == 3)
            for (uint64_t k = 0; k < 5; k++) left ^= mix(sum + k);
    }
    return sum ^ left;
}
enum { ROUNDS = 200000 };
static const uint64_t EXPECTED = 0x9ed6748b23f63fd0;
static volatile uint64_t rounds = ROUNDS; // the compiler must not know that the result is the same each time
static bool hot(void) { return loops(rounds) == EXPECTED; }

static int status_of(pid_t child) {
    int status = -1;
    return waitpid(child, &status, 0) == child ? status : -1;
}

// ---- plain ------------------------------------------------------------------------------------------------------------------------------
static void plain(void) {
    enum { TIMES = 400 }; // long enough for an answer to come, and for an optimizer to be seen
    int good = 0;
    for (int i = 0; i < TIMES; i++) good += hot();
    CHECK(good == TIMES);
}

// ---- descriptors --------------------------------------------------------------------------------------------------------------------------
static int open_descriptors(void) {
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    for (struct dirent *entry; dir && (entry = readdir(dir));) count += *entry->d_name != '.';
    if (dir) closedir(dir);
    return count;
}

static void descriptors(void) {
    struct rlimit limit;
    int before = open_descriptors(), found = 0;
    CHECK(hot());
    CHECK(open_descriptors() == before);
    getrlimit(RLIMIT_NOFILE, &limit);
    for (int fd = before - 1; fd < 70000; fd++) found += fcntl(fd, F_GETFD) >= 0;
    CHECK(found == 0);
    CHECK(syscall(SYS_close_range, 3, ~0u, 0) == 0);
    CHECK(hot());
    int most = limit.rlim_cur < 1100 ? (int)limit.rlim_cur : 1100, taken = 0, wrong = 0;
    for (int fd = 3; fd < most; fd++) taken += dup2(1, fd) == fd;
    CHECK(taken == most - 3);
    CHECK(hot());
    for (int fd = 3; fd < most; fd++) wrong += close(fd) != 0;
    CHECK(wrong == 0);
    CHECK(hot());
    int fd = open("/dev/null", O_RDONLY);
    CHECK(fd == 3 && close(fd) == 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        execl(self, self, "child", (char *)NULL);
        _exit(99);
    }
    CHECK(status_of(child) == 0);
    CHECK(hot());
}
static int as_child(void) { return hot() && open_descriptors() == 4 ? 0 : 1; }

// As few descriptors as the guest needs itself.
static void few_descriptors(void) {
    struct rlimit limit = {8, 8};
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    int fds[8], count = 0;
    while (count < 5 && (fds[count] = dup(1)) >= 0) count++;
    CHECK(count == 5);
    CHECK_ERROR(dup(1), EMFILE);
    CHECK(hot());
    CHECK_ERROR(dup(1), EMFILE);
    while (count) close(fds[--count]);
    CHECK(hot() && dup(1) == 3);
}

// ---- children ---------------------------------------------------------------------------------------------------------------------------
static void no_children(void) {
    int status;
    siginfo_t info;
    CHECK_ERROR(waitpid(-1, &status, 0), ECHILD);
    CHECK_ERROR(waitpid(-1, &status, __WALL), ECHILD);
    CHECK_ERROR(waitpid(-1, &status, __WCLONE), ECHILD);
    CHECK_ERROR(waitpid(0, &status, __WALL), ECHILD);
    CHECK_ERROR(waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WCONTINUED | __WALL), ECHILD);
}

static volatile sig_atomic_t children_ended;
static void on_child(int signal) { children_ended += signal == SIGCHLD; }

static void waiting(void) {
    signal(SIGCHLD, on_child);
    CHECK(hot());
    no_children();
    CHECK(children_ended == 0);
}

static void subreaper(void) {
    int is = 0;
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    CHECK(hot());
    no_children();
    CHECK(prctl(PR_GET_CHILD_SUBREAPER, &is) == 0 && is == 1);
}

// Ignored children are reaped by the kernel; a wait for one says so when the last is gone.
static void ignored_children(void) {
    signal(SIGCHLD, SIG_IGN);
    CHECK(hot());
    pid_t child = fork();
    if (child == 0) _exit(!hot());
    CHECK_ERROR(waitpid(-1, NULL, 0), ECHILD);
}

// ---- sessions, users, namespaces ------------------------------------------------------------------------------------------------------------
static void session(void) {
    pid_t child = fork();
    if (child == 0) {
        bool good = setsid() == getpid() && hot() && getpgid(0) == getpid() && getsid(0) == getpid();
        _exit(!good);
    }
    CHECK(status_of(child) == 0);
    CHECK(hot());
    child = fork();
    if (child == 0) {
        setpgid(0, 0);
        hot();
        signal(SIGTERM, SIG_IGN);
        kill(0, SIGTERM);
        _exit(!hot());
    }
    CHECK(status_of(child) == 0);
}

static void other_user(void) {
    if (getuid() != 0) return;
    pid_t child = fork();
    if (child == 0) _exit(!(setgid(65534) == 0 && setuid(65534) == 0 && hot()));
    CHECK(status_of(child) == 0);
    child = fork();
    if (child == 0) _exit(!(chroot("/proc/self") == 0 && chdir("/") == 0 && hot()));
    CHECK(status_of(child) == 0);
    CHECK(hot());
    child = fork();
    if (child == 0) _exit(!(setgid(65534) == 0 && setuid(65534) == 0 && hot()));
    CHECK(status_of(child) == 0);
}

// The next child after unshare(CLONE_NEWPID) is the namespace's first process, and without it there can be no others.
static void namespaces(void) {
    if (unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0) return;
    CHECK(hot());
    pid_t first = fork();
    if (first == 0) {
        bool good = getpid() == 1 && hot();
        pid_t second = fork();
        if (second == 0) _exit(!(getpid() == 2 && hot()));
        good = good && status_of(second) == 0 && hot() && waitpid(-1, NULL, __WALL | WNOHANG) == -1 && errno == ECHILD;
        _exit(!good);
    }
    CHECK(status_of(first) == 0);
}

// ---- forks by the hundred ---------------------------------------------------------------------------------------------------------------------
static void forks(void) {
    enum { ALL = 1000, AT_ONCE = 50 };
    CHECK(hot());
    int good = 0, running = 0, status;
    for (int i = 0; i < ALL; i++) {
        pid_t child = fork();
        if (child == 0) _exit(loops(rounds / 64) != loops(rounds / 64));
        running += child > 0;
        while (running && waitpid(-1, &status, running < AT_ONCE ? WNOHANG : 0) > 0) running--, good += status == 0;
    }
    while (running-- > 0 && waitpid(-1, &status, 0) > 0) good += status == 0;
    CHECK(good == ALL);
    good = 0;
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        if (child == 0) _exit(!hot());
        good += status_of(child) == 0;
    }
    CHECK(good == 20);
    no_children();
}

// A child of a fork, whose first hot loop comes after a vfork: the channel must not be the grandchild's.
static void vforks(void) {
    CHECK(hot());
    pid_t child = fork();
    if (child == 0) {
        pid_t grandchild = vfork();
        if (grandchild == 0) {
            for (int i = 0; i < 3; i++) loops(20000);
            _exit(3);
        }
        _exit(!(status_of(grandchild) == 3 << 8 && hot()));
    }
    CHECK(status_of(child) == 0);
    child = vfork();
    if (child == 0) {
        loops(50000);
        _exit(4);
    }
    CHECK(status_of(child) == 4 << 8 && hot());
}

// Sets of loops of which each is another piece of code, checked against themselves: the first run is that of untranslated or slow code.
#define LOOP(k)                                                                                                                    \
    __attribute__((noinline)) static uint64_t loop_##k(uint64_t x) {                                                               \
        for (uint64_t i = 0; i < rounds / 40; i++) {                                                                               \
            x = x * (2 * k + 12345) + k;                                                                                           \
            x = x & 1 << k % 13 ? x ^ x >> (k % 7 + 3) : x + (x << (k % 5 + 1));                                                   \
        }                                                                                                                          \
        return x;                                                                                                                  \
    }
#define EIGHT(k) LOOP(k##0) LOOP(k##1) LOOP(k##2) LOOP(k##3) LOOP(k##4) LOOP(k##5) LOOP(k##6) LOOP(k##7)
#define NAMES(k)                                                                                                                   \
    { loop_##k##0, loop_##k##1, loop_##k##2, loop_##k##3, loop_##k##4, loop_##k##5, loop_##k##6, loop_##k##7 }
EIGHT(1)
EIGHT(2)
EIGHT(3)
EIGHT(4)
static uint64_t (*const sets[4][8])(uint64_t) = {NAMES(1), NAMES(2), NAMES(3), NAMES(4)};
// How many results differ from what they were the first time in this process.
static int many_loops(int set) {
    static uint64_t known[4][8];
    int wrong = 0;
    for (int i = 0; i < 8; i++) {
        uint64_t result = sets[set][i](1);
        if (!known[set][i]) known[set][i] = result;
        wrong += known[set][i] != result;
    }
    return wrong;
}

// A child in memory of its own that shares the descriptors: what it does with numbers, its parent feels.
static void shared_descriptors(void) {
    CHECK(hot());
    int good = 0;
    for (int i = 0; i < 4; i++) {
        pid_t child = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
        if (child == 0) {
            bool right = true;
            for (int k = 0; k < 20; k++) right &= many_loops(k % 2) == 0;
            _exit(!right);
        }
        for (int k = 0; k < 20; k++) good += many_loops(2 + k % 2) == 0;
        good += status_of(child) == 0;
    }
    CHECK(good == 84 && hot());
}

// ---- a small limit on the size of files ------------------------------------------------------------------------------------------
#define TIMES_4(x)  x x x x
#define TIMES_64(x) TIMES_4(TIMES_4(TIMES_4(x)))
// A path whose request is larger than a packet.
__attribute__((noinline)) static uint64_t long_path(uint64_t x, uint64_t count) {
    static volatile uint64_t memory[64];
    for (uint64_t i = 0; i < count; i++) {
        TIMES_64(
            TIMES_4(TIMES_4(memory[x % 8] += x * 0x9e3779b97f4a7c15 ^ memory[x % 16]; x = x * 12345 + 7;)) if (x == i) return 0;)
    }
    return x;
}
static void small_files(void) {
    struct rlimit old, none = {0, 0};
    CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0);
    none.rlim_max = old.rlim_max;
    CHECK(setrlimit(RLIMIT_FSIZE, &none) == 0);
    uint64_t first = long_path(1, rounds / 40);
    CHECK(first == long_path(1, rounds / 40) && hot());
    CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {{"plain", plain},
             {"descriptors", descriptors},
             {"few-descriptors", few_descriptors},
             {"waiting", waiting},
             {"subreaper", subreaper},
             {"ignored-children", ignored_children},
             {"session", session},
             {"other-user", other_user},
             {"namespaces", namespaces},
             {"forks", forks},
             {"vforks", vforks},
             {"shared-descriptors", shared_descriptors},
             {"small-files", small_files}};

int main(int argc, char **argv) {
    self = argv[0];
    if (argc < 2) {
        printf("%llx\n", (unsigned long long)loops(ROUNDS));
        return 0;
    }
    if (!strcmp(argv[1], "child")) return as_child();
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!strcmp(argv[1], cases[i].name)) cases[i].run();
    return check_summary();
}
