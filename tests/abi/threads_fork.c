// SPDX-License-Identifier: MIT
// Processes made by threads of a process whose other threads run, allocate and map memory meanwhile.
// Calls: clone clone3 execve wait4 exit_group getpid gettid
// kiln: skip-qemu
// qemu: it does not run guest programs on execve
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;
static char self[4096];
static volatile int stop;
enum { BUSY = 3, FORKERS = 2 };

static void brief(long microseconds) {
    struct timespec t = {0, microseconds * 1000};
    nanosleep(&t, NULL);
}

// Allocates, maps, makes code and threads, all the time.
static void *nothing(void *unused) { return unused; }
static void *be_busy(void *argument) {
    unsigned state = (unsigned)(uintptr_t)argument;
    while (!stop) {
        state = state * 1103515245 + 12345;
        char *memory = malloc((state >> 16) % 20000 + 1);
        memory[0] = 1;
        void *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (state & 1 << 20) mprotect(pages, 4096, PROT_READ | PROT_EXEC);
        if (state & 1 << 21) fflush(stdout);
        if ((state >> 16) % 8 == 0) {
            pthread_t thread;
            if (pthread_create(&thread, NULL, nothing, NULL) == 0) pthread_join(thread, NULL);
        }
        munmap(pages, 8192);
        free(memory);
    }
    return NULL;
}

static int status_of(pid_t child) {
    int status = -1;
    return waitpid(child, &status, 0) == child ? status : -1;
}

static void *count_up(void *counter) {
    for (int i = 0; i < 100; i++) __atomic_add_fetch((int *)counter, 1, __ATOMIC_RELAXED);
    return counter;
}

// The child is alone, whatever thread made it; it can allocate, make threads and end.
static int in_child(pid_t parent) {
    int counter = 0;
    if (getpid() != gettid() || getppid() != parent) return 1;
    char *memory[100];
    for (int i = 0; i < 100; i++) memory[i] = malloc((size_t)i * 977 + 1), memory[i][0] = (char)i;
    for (int i = 0; i < 100; i++) free(memory[i]);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, count_up, &counter)) return 2;
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    if (counter != 200) return 3;
    pid_t grandchild = fork();
    if (grandchild == 0) _exit(7);
    return status_of(grandchild) == 7 << 8 ? 0 : 4;
}

static int fork_errors, fork_status;
static void *fork_often(void *unused) {
    for (int i = 0; i < 25; i++) {
        pid_t parent = getpid(), child = fork();
        if (child == 0) _exit(in_child(parent));
        int status = child > 0 ? status_of(child) : -1;
        if (status) __atomic_add_fetch(&fork_errors, 1, __ATOMIC_RELAXED), fork_status = status;
    }
    return unused;
}

static void *spawn_often(void *unused) {
    char *arguments[] = {self, "child", NULL}, *none[] = {"/nonexistent/program", NULL};
    for (int i = 0; i < 15; i++) {
        pid_t child;
        int error = posix_spawn(&child, i % 3 ? self : none[0], NULL, NULL, arguments, environ);
        bool good = i % 3 ? error == 0 && status_of(child) == 21 << 8 : error == ENOENT;
        if (!good) __atomic_add_fetch(&fork_errors, 1, __ATOMIC_RELAXED), fork_status = error;
    }
    return unused;
}

static void *vfork_often(void *unused) {
    for (int i = 0; i < 15; i++) {
        pid_t child = vfork();
        if (child == 0) {
            if (i & 1) execl(self, self, "child", NULL);
            _exit(21);
        }
        if (status_of(child) != 21 << 8) __atomic_add_fetch(&fork_errors, 1, __ATOMIC_RELAXED);
    }
    return unused;
}

static void while_busy(void *(*work)(void *)) {
    pthread_t busy[BUSY], threads[FORKERS];
    stop = fork_errors = 0;
    for (intptr_t i = 0; i < BUSY; i++) pthread_create(&busy[i], NULL, be_busy, (void *)(i + 1));
    for (int i = 0; i < FORKERS; i++) pthread_create(&threads[i], NULL, work, NULL);
    work(NULL);
    for (int i = 0; i < FORKERS; i++) pthread_join(threads[i], NULL);
    stop = 1;
    for (int i = 0; i < BUSY; i++) pthread_join(busy[i], NULL);
    if (fork_errors) printf("# %d errors, the last 0x%x\n", fork_errors, (unsigned)fork_status);
    CHECK(fork_errors == 0);
}

// execve by a thread: the others end, and the program has the process's id.
static pid_t expected_pid;
static void *execute(void *unused) {
    char text[20];
    snprintf(text, sizeof text, "%d", (int)expected_pid);
    brief(3000);
    execl(self, self, "pid", text, NULL);
    _exit(99);
    return unused;
}
static void *sleep_long(void *unused) {
    for (;;) pause();
    return unused;
}

static int exec_from_thread(bool main_ends) {
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        expected_pid = getpid();
        pthread_create(&thread, NULL, be_busy, NULL);
        pthread_create(&thread, NULL, sleep_long, NULL);
        pthread_create(&thread, NULL, execute, NULL);
        if (main_ends) pthread_exit(NULL);
        for (;;) pause();
    }
    return status_of(child);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "child") == 0) return 21;
    if (argc > 2) {
        int threads = 0;
        char line[100];
        FILE *f = fopen("/proc/self/status", "r");
        while (f && fgets(line, sizeof line, f)) sscanf(line, "Threads: %d", &threads);
        return getpid() == atoi(argv[2]) && gettid() == getpid() && threads == 1 ? 33 : 1;
    }
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0) self[n] = 0;
    while_busy(fork_often);
    while_busy(spawn_often);
    while_busy(vfork_often);
    int good = 0;
    for (int i = 0; i < 6; i++) good += exec_from_thread(i & 1) == 33 << 8;
    CHECK(good == 6);
    return check_summary();
}
