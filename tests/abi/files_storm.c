// SPDX-License-Identifier: MIT
// Waiting calls while signals rain: nothing is lost, nothing happens twice, with SA_RESTART and without. Calls that have no need to wait
// are never interrupted: a signal comes before them or after.
// Calls: read write openat wait4 ppoll epoll_pwait pselect6 nanosleep setitimer
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/wait.h>

enum { ROUNDS = 3000 };
static volatile sig_atomic_t signals;
static void handler(int signal) { (void)signal, signals++; }

static bool wait_for(int way, int fd, int epoll) {
    struct pollfd p = {fd, POLLIN, 0};
    struct epoll_event event;
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    switch (way) {
    case 0: return poll(&p, 1, 2000) == 1 || errno == EINTR;
    case 1: return epoll_wait(epoll, &event, 1, 2000) == 1 || errno == EINTR;
    case 2: return select(fd + 1, &set, NULL, NULL, NULL) == 1 || errno == EINTR;
    default: return true;
    }
}

// Sends counters to a child that sends them back; how many came back in order.
static int exchange(int flags) {
    int there[2], back[2], good = 0, number;
    if (pipe(there) != 0 || pipe(back) != 0) return -1;
    pid_t child = fork();
    if (child == 0) {
        close(there[1]);
        while (read(there[0], &number, sizeof number) == sizeof number)
            if (write(back[1], &number, sizeof number) != sizeof number) _exit(1);
        _exit(0);
    }
    close(there[0]);
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(epoll, EPOLL_CTL_ADD, back[0], &event);
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval timer = {{0, 150}, {0, 150}};
    setitimer(ITIMER_REAL, &timer, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        ssize_t n;
        while ((n = write(there[1], &i, sizeof i)) == -1 && errno == EINTR && !(flags & SA_RESTART)) {}
        if (n != sizeof i || !wait_for(i % 4, back[0], epoll)) break;
        while ((n = read(back[0], &number, sizeof number)) == -1 && errno == EINTR && !(flags & SA_RESTART)) {}
        if (n != sizeof number) break;
        good += number == i;
    }
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    close(there[1]);
    int status;
    while (waitpid(child, &status, 0) == -1 && errno == EINTR) {}
    close(back[0]), close(back[1]), close(epoll);
    return status == 0 ? good : -1;
}

// How often a call that finds all it needs fails.
static int failures_without_wait(void) {
    char name[] = "/tmp/kiln-storm-XXXXXX", bytes[64] = {0};
    int file = mkstemp(name), failures = 0;
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 30}, {0, 30}}, NULL);
    for (int i = 0; i < ROUNDS * 4 || signals < 100; i++) {
        int fd = open("/dev/null", O_WRONLY);
        failures += fd < 0 || close(fd) != 0;
        failures += pwrite(file, bytes, sizeof bytes, 0) != sizeof bytes || pread(file, bytes, sizeof bytes, 0) != sizeof bytes;
        failures += lseek(file, 0, SEEK_SET) != 0 || write(file, bytes, 7) != 7;
        failures += waitpid(-1, NULL, 0) != -1 || errno != ECHILD;
    }
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    close(file), unlink(name);
    return failures;
}

int main(void) {
    CHECK(exchange(SA_RESTART) == ROUNDS && signals > 0);
    signals = 0;
    CHECK(exchange(0) == ROUNDS && signals > 0);
    signals = 0;
    CHECK(failures_without_wait() == 0);
    return check_summary();
}
