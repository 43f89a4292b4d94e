// SPDX-License-Identifier: MIT
// A process that holds a robust mutex and executes another program has lost it: whoever shares it gets EOWNERDEAD, while the new program
// runs. So have threads that end because another one executes a program.
// Calls: execve set_robust_list futex
// kiln: skip-qemu
// (It has no robust futexes.)
#include "check.h"
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

typedef struct Shared {
    pthread_mutex_t mutex;
    volatile int held;
} Shared;

static Shared *shared;

static void make_mutex(void) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&shared->mutex, &attributes);
    shared->held = 0;
}

static void *hold(void *ends) {
    pthread_mutex_lock(&shared->mutex);
    shared->held = 1;
    while (!ends) pause();
    return NULL;
}

// The new program writes a byte when it runs, and ends when its input does.
static int new_program(void) {
    char byte;
    bool good = write(1, "x", 1) == 1 && read(0, &byte, 1) == 0;
    return good ? 7 : 1;
}

static void become_another(bool by_thread, int input, int output) {
    pthread_t thread;
    if (by_thread) pthread_create(&thread, NULL, hold, NULL);
    else hold("");
    while (!shared->held) usleep(1000);
    dup2(input, 0);
    dup2(output, 1);
    execl("/proc/self/exe", "robust_exec", "again", NULL);
    _exit(1);
}

static void owner_execs(bool by_thread) {
    int to[2], from[2], status;
    char byte = 0;
    make_mutex();
    CHECK(pipe2(to, O_CLOEXEC) == 0 && pipe2(from, O_CLOEXEC) == 0);
    pid_t child = fork();
    if (child == 0) become_another(by_thread, to[0], from[1]);
    close(to[0]), close(from[1]);
    while (!shared->held) usleep(1000);
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 30;
    CHECK(pthread_mutex_timedlock(&shared->mutex, &limit) == EOWNERDEAD);
    CHECK(waitpid(child, &status, WNOHANG) == 0);
    CHECK(pthread_mutex_consistent(&shared->mutex) == 0 && pthread_mutex_unlock(&shared->mutex) == 0);
    CHECK(pthread_mutex_lock(&shared->mutex) == 0 && pthread_mutex_unlock(&shared->mutex) == 0);
    CHECK(read(from[0], &byte, 1) == 1 && byte == 'x');
    close(to[1]), close(from[0]);
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "again")) return new_program();
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    for (int i = 0; i < 5; i++) {
        owner_execs(false);
        owner_execs(true);
    }
    return check_summary();
}
