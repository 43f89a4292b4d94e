// SPDX-License-Identifier: MIT
// What the debugger's tests run, as told by the argument: calls, floating point, a signal, a child, an endless loop, a wait,
// threads.
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

volatile long shared = 7;
volatile int caught;
const char text_in_file[] = "read-only";

double scale(double x) { return x * 1.5; }

int twice(int n) {
    shared += n;
    return 2 * n;
}

int sum(const int *v, int n) {
    int s = 0;
    for (int i = 0; i < n; i++) s += twice(v[i]);
    return s;
}

static void on_signal(int number) { caught = number; }

static int calls(void) {
    int v[5] = {1, 2, 3, 4, 5};
    int total = sum(v, 5);
    printf("total %d scaled %g shared %ld\n", total, scale(2), shared);
    return total;
}

static int child(void) {
    int status;
    fflush(stdout);
    if (fork() == 0) _exit(twice(3));
    wait(&status);
    return WEXITSTATUS(status);
}

static volatile int running, go_on, meeting;

static void meet(int number) { meeting += number; }

static void *work(void *argument) {
    __atomic_add_fetch(&running, 1, __ATOMIC_SEQ_CST);
    while (!go_on) shared++;
    return argument;
}

static int threads(void) {
    pthread_t others[3];
    for (int i = 0; i < 3; i++) pthread_create(&others[i], NULL, work, NULL);
    while (running < 3) usleep(1000);
    meet(1);
    meet(2);
    go_on = 1;
    for (int i = 0; i < 3; i++) pthread_join(others[i], NULL);
    return meeting;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "calls";
    if (strcmp(what, "calls") == 0) return calls();
    if (strcmp(what, "child") == 0) return child();
    if (strcmp(what, "spawn") == 0) return WEXITSTATUS(system("exit 5"));
    if (strcmp(what, "threads") == 0) return threads();
    if (strcmp(what, "fault") == 0) *(volatile int *)8 = 1;
    if (strcmp(what, "loop") == 0)
        for (;;) shared++;
    if (strcmp(what, "wait") == 0)
        for (;;) pause();
    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
    if (strcmp(what, "die") == 0) raise(SIGTERM);
    return caught == SIGUSR1 ? 40 : 41;
}
