// SPDX-License-Identifier: MIT
// kiln: skip-qemu skip-soon skip-tiniest
// (a fork under qemu costs milliseconds, and takes memory with it; a parent that makes traces all the time uses more memory for them.)
// Many short processes from one parent: nothing may be left behind. MANY_PROCESSES says how many (default 500).
// Calls: clone wait4 execve
#include "check.h"
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;
static char self[4096];
static char *const child_argv[] = {self, "child", NULL};

static pid_t start_fork(void) {
    pid_t pid = fork();
    if (pid == 0) _exit(7);
    return pid;
}

static pid_t start_vfork(void) {
    pid_t pid = vfork();
    if (pid == 0) _exit(7);
    return pid;
}

static pid_t start_vfork_failing_exec(void) {
    pid_t pid = vfork();
    if (pid == 0) {
        execve("/does/not/exist", child_argv, environ);
        _exit(7);
    }
    return pid;
}

static pid_t start_spawn(void) {
    pid_t pid;
    return posix_spawn(&pid, self, NULL, NULL, child_argv, environ) == 0 ? pid : -1;
}

static pid_t start_exec(void) {
    pid_t pid = fork();
    if (pid == 0) {
        execve(self, child_argv, environ);
        _exit(1);
    }
    return pid;
}

static pid_t start_killed(void) {
    pid_t pid = fork();
    if (pid == 0) {
        raise(SIGKILL);
        _exit(1);
    }
    return pid;
}

// ---- what could be left --------------------------------------------------------------------------------------------------
static int open_descriptors(void) {
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (directory && readdir(directory)) count++;
    if (directory) closedir(directory);
    return count;
}

static int mappings(void) {
    int count = 0, c;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && (c = getc(maps)) != EOF) count += c == '\n';
    if (maps) fclose(maps);
    return count;
}

// Of the host's process, Kiln's own memory included.
static long status_value(const char *key) {
    char line[256];
    long value = -1;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (strncmp(line, key, strlen(key)) == 0) sscanf(line + strlen(key), ": %ld", &value);
    if (status) fclose(status);
    return value;
}

typedef struct Size {
    long virtual_kb, resident_kb, threads;
    int descriptors, mappings;
} Size;

static Size measure(void) {
    return (Size){status_value("VmSize"), status_value("RssAnon"), status_value("Threads"), open_descriptors(), mappings()};
}

static bool run(pid_t (*start)(void), int count, int expected) {
    for (int i = 0; i < count; i++) {
        int status;
        pid_t pid = start();
        if (pid <= 0 || waitpid(pid, &status, 0) != pid || status != expected) return false;
    }
    return true;
}

static void try(const char *name, pid_t (*start)(void), int count, int expected) {
    printf("# %d times %s\n", count, name);
    // What is made at first use is there afterwards, translations of this code included.
    measure();
    CHECK(run(start, 20, expected));
    Size before = measure();
    CHECK(run(start, count, expected));
    Size after = measure();
    CHECK(after.descriptors == before.descriptors && after.mappings == before.mappings && after.threads == before.threads);
    CHECK(after.virtual_kb - before.virtual_kb < 512);
    CHECK(after.resident_kb - before.resident_kb < 512);
    CHECK_ERROR(waitpid(-1, NULL, WNOHANG), ECHILD);
}

// Children of a parent that does not wait leave no zombies if it says so.
static void ignored(int count) {
    signal(SIGCHLD, SIG_IGN);
    bool good = true;
    for (int i = 0; i < count; i++) good &= start_fork() > 0;
    CHECK(good);
    CHECK_ERROR(waitpid(-1, NULL, 0), ECHILD); // all have gone by then
    signal(SIGCHLD, SIG_DFL);
}

static void *spawner(void *argument) { return run(start_vfork, *(int *)argument, 7 << 8) ? argument : NULL; }

// Several threads at once.
static void from_threads(int count) {
    pthread_t threads[4];
    int each = count / 4, made = 0;
    for (int i = 0; i < 4; i++) made += pthread_create(&threads[i], NULL, spawner, &each) == 0;
    CHECK(made == 4);
    void *result = &each;
    for (int i = 0; i < made && result; i++) pthread_join(threads[i], &result);
    CHECK(result == &each);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "child") == 0) return 7;
    const char *many = getenv("MANY_PROCESSES");
    int count = many ? atoi(many) : 500;
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (!CHECK(length > 0 && count >= 20)) return check_summary();
    try("vfork", start_vfork, count, 7 << 8);
    try("vfork, exec that fails", start_vfork_failing_exec, count / 5, 7 << 8);
    try("fork", start_fork, count / 2, 7 << 8);
    try("fork, killed", start_killed, count / 20, SIGKILL);
    try("fork, exec", start_exec, count / 20, 7 << 8);
    try("posix_spawn", start_spawn, count / 10, 7 << 8);
    ignored(count / 5);
    from_threads(count / 5);
    return check_summary();
}
