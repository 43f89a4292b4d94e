// SPDX-License-Identifier: MIT
//
// What a guest could notice of the optimizer's process: one case a run, `program CASE`. Prints `ok` and `FAIL` lines as the programs of
// tests/abi do. Each case has hot loops before and after what it looks at, whose results are checked.
#include "../abi/check.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
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

// The optimizer is started again and again while another thread asks for children of every kind.
static volatile bool over;
static volatile int strangers;
static void *wait_for_any(void *known) {
    int status;
    siginfo_t info = {0};
    while (!over) {
        pid_t child = waitpid(-1, &status, __WALL);
        if (child > 0 && child != *(pid_t *)known) strangers++;
        if (child < 0 && waitid(P_ALL, 0, &info, WEXITED | __WALL) == 0 && info.si_pid) strangers++;
    }
    return NULL;
}

static void other_threads_wait(void) {
    enum { TIMES = 15 };
    int good = 0;
    for (int i = 0; i < TIMES; i++) {
        fflush(stdout);
        pid_t child = fork(), none = 0;
        if (child == 0) {
            pthread_t waiter;
            if (pthread_create(&waiter, NULL, wait_for_any, &none) != 0) _exit(9);
            bool right = hot() && hot();
            over = true;
            pthread_join(waiter, NULL);
            _exit(!right ? 1 : strangers ? 2 : 0);
        }
        good += status_of(child) == 0;
    }
    CHECK(good == TIMES);
}

// ---- reapers -----------------------------------------------------------------------------------------------------------------------------
// Its child and its grandchildren become hot, the latter as programs of their own, and the grandchildren outlive their parent.
static bool run_family(void) {
    enum { GRANDCHILDREN = 3 };
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        bool right = true;
        for (int i = 0; i < GRANDCHILDREN; i++) {
            pid_t grandchild = fork();
            if (grandchild == 0) {
                execl(self, self, "hot", (char *)NULL);
                _exit(99);
            }
            right &= grandchild > 0;
        }
        right &= hot();
        _exit(!right);
    }
    int ended = 0, good = 0, status;
    char pids[200] = "";
    for (pid_t pid; (pid = waitpid(-1, &status, 0)) > 0; ended++) { // who waits for an optimizer waits for long
        size_t length = strlen(pids);
        snprintf(pids + length, sizeof pids - length, " %d (%#x)", pid, (unsigned)status);
        good += status == 0;
    }
    bool right = ended == GRANDCHILDREN + 1 && good == ended;
    if (!right)
        printf("# a family of %d begun by %d: %d ended, %d of them well:%s\n", GRANDCHILDREN + 1, child, ended, good, pids),
            fflush(stdout);
    return right;
}
static int as_hot(void) {
    bool right = true;
    for (int i = 0; i < 30; i++) right &= hot();
    return right ? 0 : 1;
}

static void reaper(void) {
    alarm(60);
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    CHECK(run_family());
    CHECK(hot() && run_family());
    no_children();
}

// The first process of a namespace, before and after an execve.
static void first_process(void) {
    alarm(100);
    long child = syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
    if (child < 0) return;
    if (child == 0) {
        if (getpid() != 1 || !run_family() || !hot() || !run_family()) _exit(1);
        execl(self, self, "first", (char *)NULL);
        _exit(99);
    }
    CHECK(status_of((pid_t)child) == 0);
}
static int as_first(void) { return getpid() == 1 && run_family() && hot() && run_family() ? 0 : 1; }

// ---- losses ------------------------------------------------------------------------------------------------------------------------------
// No file can be executed any more.
static void landlock(void) {
    struct {
        uint64_t files;
    } rules = {1 /* LANDLOCK_ACCESS_FS_EXECUTE */};
    int set = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, 0);
    if (set >= 0) {
        CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
        CHECK(syscall(SYS_landlock_restrict_self, set, 0) == 0);
        execl(self, self, "hot", (char *)NULL);
        CHECK(errno == EACCES);
    }
    plain();
}

static void new_root(void) {
    if (getuid() == 0) CHECK(chroot("/proc/self") == 0 && chdir("/") == 0);
    plain();
}

static void new_user(void) {
    if (getuid() == 0) CHECK(setgid(65534) == 0 && setuid(65534) == 0);
    plain();
}

static void closed_stderr(void) {
    CHECK(close(2) == 0);
    plain();
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

// Children that are hot at the same time, of a parent that never is.
static void cold_parent(void) {
    enum { CHILDREN = 30 };
    int good = 0;
    for (int i = 0; i < CHILDREN; i++) {
        fflush(stdout);
        if (fork() == 0) _exit(as_hot());
    }
    for (int i = 0, status; i < CHILDREN; i++) good += waitpid(-1, &status, 0) > 0 && status == 0;
    CHECK(good == CHILDREN);
    no_children();
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

// A child in this memory with a table of descriptors of its own, which it fills: the numbers of Kiln's are the parent's still.
static void claiming_child(void) {
    CHECK(hot());
    int status, files[2];
    for (int i = 0; i < 3; i++) {
        pid_t child = vfork();
        if (child == 0) {
            int taken = 0;
            for (int fd = 3; fd < 1100; fd++) taken += dup2(1, fd) == fd;
            for (int fd = 3; fd < 1100; fd++) taken -= fcntl(fd, F_GETFD) >= 0;
            _exit(taken ? 1 : 0);
        }
        CHECK(waitpid(child, &status, 0) == child && status == 0);
        CHECK(many_loops(i) == 0);
        CHECK(pipe(files) == 0 && files[1] < 1000);
        for (int k = 0; k < 30; k++) CHECK(many_loops(i) == 0);
        CHECK(close(files[0]) == 0 && close(files[1]) == 0);
    }
}

// The same with a thread that has a table of its own from then on.
static void *claim_all(void *mode) {
    if (*(int *)mode == 0) CHECK(unshare(CLONE_FILES) == 0);
    else CHECK(syscall(SYS_close_range, 70000, 70001, 2 /* CLOSE_RANGE_UNSHARE */) == 0);
    int taken = 0;
    for (int fd = 3; fd < 1100; fd++) taken += dup2(1, fd) == fd;
    CHECK(taken == 1097);
    for (int k = 0; k < 10; k++) CHECK(many_loops(2) == 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        int lost = 0;
        for (int fd = 3; fd < 1100; fd++) lost += fcntl(fd, F_GETFD) < 0;
        _exit(lost || many_loops(3) || many_loops(3) || !hot());
    }
    CHECK(status_of(child) == 0);
    return NULL;
}
static void claiming_thread(void) {
    CHECK(hot());
    for (int mode = 0; mode < 2; mode++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, claim_all, &mode) == 0);
        for (int k = 0; k < 20; k++) CHECK(many_loops(mode) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
        CHECK(dup(1) == 3 && close(3) == 0);
        for (int k = 0; k < 20; k++) CHECK(many_loops(mode) == 0);
    }
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
             {"small-files", small_files},
             {"cold-parent", cold_parent},
             {"other-threads-wait", other_threads_wait},
             {"reaper", reaper},
             {"first-process", first_process},
             {"landlock", landlock},
             {"new-root", new_root},
             {"new-user", new_user},
             {"closed-stderr", closed_stderr},
             {"claiming-child", claiming_child},
             {"claiming-thread", claiming_thread}};

int main(int argc, char **argv) {
    self = argv[0];
    if (argc < 2) {
        printf("%llx\n", (unsigned long long)loops(ROUNDS));
        return 0;
    }
    if (!strcmp(argv[1], "child")) return as_child();
    if (!strcmp(argv[1], "hot")) return as_hot();
    if (!strcmp(argv[1], "first")) return as_first();
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!strcmp(argv[1], cases[i].name)) cases[i].run();
    return check_summary();
}
