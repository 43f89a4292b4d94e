// SPDX-License-Identifier: MIT
// kiln: skip-qemu
// (epoll_pwait2 is absent there.)
// Waiting for descriptors, and descriptors made to be waited for.
// Calls: ppoll pselect6 epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 eventfd2 timerfd_create timerfd_settime
// Calls: timerfd_gettime signalfd4 inotify_init1 inotify_add_watch inotify_rm_watch pidfd_open
#include "check.h"
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>

static volatile int handled;
static void handler(int signal) { handled = signal; }

static void polling(void) {
    int p[2];
    CHECK(pipe(p) == 0);
    struct pollfd fds[3] = {{p[0], POLLIN, 0}, {p[1], POLLOUT, 0}, {-1, POLLIN, 0x55}};
    CHECK(poll(fds, 3, 0) == 1 && fds[0].revents == 0 && fds[1].revents == POLLOUT && fds[2].revents == 0);
    CHECK(write(p[1], "x", 1) == 1 && poll(fds, 2, 1000) == 2 && fds[0].revents == POLLIN);
    struct timespec ts = {0, 20000000};
    CHECK(read(p[0], fds, 1) == 1 && (fds[0].fd = p[0], ppoll(fds, 1, &ts, NULL) == 0));
    fds[0].fd = 999;
    CHECK(poll(fds, 1, 0) == 1 && fds[0].revents == POLLNVAL);
    CHECK_ERROR(syscall(SYS_ppoll, bad_address, 1, &ts, NULL, 8), EFAULT);
    CHECK_ERROR(syscall(SYS_ppoll, fds, 1, &ts, &ts, 4), EINVAL);
    close(p[1]);
    fds[0] = (struct pollfd){p[0], POLLIN, 0};
    CHECK(poll(fds, 1, -1) == 1 && fds[0].revents == POLLHUP);
    close(p[0]);
}

static void selecting(void) {
    int p[2];
    CHECK(pipe(p) == 0);
    fd_set in, out;
    struct timespec ts = {0, 1000000};
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(p[0], &in);
    FD_SET(p[1], &out);
    CHECK(pselect(p[1] + 1, &in, &out, NULL, &ts, NULL) == 1 && !FD_ISSET(p[0], &in) && FD_ISSET(p[1], &out));
    FD_ZERO(&in);
    FD_SET(p[0], &in);
    CHECK(pselect(p[0] + 1, &in, NULL, NULL, &ts, NULL) == 0);
    CHECK_ERROR(syscall(SYS_pselect6, 1, NULL, NULL, NULL, &ts, bad_address), EFAULT);
    close(p[0]), close(p[1]);
    FD_SET(p[0], &in);
    CHECK_ERROR(select(p[0] + 1, &in, NULL, NULL, NULL), EBADF);
}

// A blocked signal that is pending is let through by the mask of ppoll, pselect and epoll_pwait, and only by it.
static void masks(void) {
    sigset_t none, usr1, old;
    sigemptyset(&none), sigemptyset(&usr1), sigaddset(&usr1, SIGUSR1);
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    sigprocmask(SIG_BLOCK, &usr1, &old);
    struct timespec ts = {5, 0}, short_time = {0, 1000000};
    for (int i = 0; i < 3; i++) {
        handled = 0;
        kill(getpid(), SIGUSR1);
        CHECK(ppoll(NULL, 0, &short_time, &usr1) == 0 && !handled);
        int epoll = epoll_create1(0);
        struct epoll_event event;
        if (i == 0) CHECK_ERROR(ppoll(NULL, 0, &ts, &none), EINTR);
        if (i == 1) CHECK_ERROR(pselect(0, NULL, NULL, NULL, &ts, &none), EINTR);
        if (i == 2) CHECK_ERROR(epoll_pwait(epoll, &event, 1, 5000, &none), EINTR);
        CHECK(handled == SIGUSR1);
        sigset_t now;
        CHECK(sigprocmask(SIG_BLOCK, NULL, &now) == 0 && sigismember(&now, SIGUSR1) == 1);
        close(epoll);
    }
    sigprocmask(SIG_SETMASK, &old, NULL);
    struct itimerval timer = {.it_value = {0, 30000}};
    sigaction(SIGALRM, &action, NULL);
    handled = 0;
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    CHECK_ERROR(poll(NULL, 0, 5000), EINTR); // never restarted, SA_RESTART or not
    CHECK(handled == SIGALRM);
}

static void epolling(void) {
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0x123456789abcdef0}, events[4];
    int epoll = epoll_create1(EPOLL_CLOEXEC), a = eventfd(0, EFD_NONBLOCK), b = eventfd(1, 0);
    CHECK(epoll >= 0 && fcntl(epoll, F_GETFD) == FD_CLOEXEC);
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, a, &event) == 0);
    CHECK_ERROR(epoll_ctl(epoll, EPOLL_CTL_ADD, a, &event), EEXIST);
    CHECK(epoll_wait(epoll, events, 4, 0) == 0);
    uint64_t one = 1;
    CHECK(write(a, &one, 8) == 8 && epoll_wait(epoll, events, 4, -1) == 1);
    CHECK(events[0].events == EPOLLIN && events[0].data.u64 == 0x123456789abcdef0);
    event.data.u64 = 2, event.events = EPOLLIN | EPOLLET;
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, b, &event) == 0);
    CHECK(epoll_wait(epoll, events, 4, 100) == 2 && events[0].data.u64 + events[1].data.u64 == 0x123456789abcdef2);
    CHECK(epoll_wait(epoll, events, 4, 100) == 1);
    event.data.u64 = 7, event.events = EPOLLOUT;
    CHECK(epoll_ctl(epoll, EPOLL_CTL_MOD, a, &event) == 0);
    struct timespec ts = {1, 0};
    long n = syscall(SYS_epoll_pwait2, epoll, events, 1, &ts, NULL, 8);
    CHECK(n == 1 && events[0].data.u64 == 7 && events[0].events == EPOLLOUT);
    CHECK(epoll_ctl(epoll, EPOLL_CTL_DEL, a, NULL) == 0);
    CHECK_ERROR(epoll_ctl(epoll, EPOLL_CTL_DEL, a, NULL), ENOENT);
    CHECK_ERROR(epoll_wait(epoll, events, 0, 0), EINVAL);
    CHECK_ERROR(epoll_ctl(epoll, EPOLL_CTL_ADD, a, bad_address), EFAULT);
    close(epoll), close(a), close(b);
}

static void event_counters(void) {
    uint64_t value = 5;
    int fd = eventfd(3, EFD_NONBLOCK | EFD_SEMAPHORE);
    CHECK(write(fd, &value, 8) == 8 && read(fd, &value, 8) == 8 && value == 1);
    for (int i = 0; i < 7; i++) CHECK(read(fd, &value, 8) == 8);
    CHECK_ERROR(read(fd, &value, 8), EAGAIN);
    CHECK_ERROR(write(fd, &value, 4), EINVAL);
    close(fd);
}

static void timers(void) {
    uint64_t count = 0;
    struct itimerspec set = {{0, 5000000}, {0, 5000000}}, now;
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    CHECK(fd >= 0 && timerfd_settime(fd, 0, &set, NULL) == 0);
    usleep(22000);
    CHECK(read(fd, &count, 8) == 8 && count >= 4);
    CHECK(timerfd_gettime(fd, &now) == 0 && now.it_interval.tv_nsec == 5000000 && now.it_value.tv_nsec <= 5000000);
    CHECK_ERROR(timerfd_create(99, 0), EINVAL);
    close(fd);
}

static void signals_as_files(void) {
    sigset_t set;
    struct signalfd_siginfo info;
    sigemptyset(&set), sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_NONBLOCK);
    CHECK(fd >= 0);
    CHECK_ERROR(read(fd, &info, sizeof info), EAGAIN);
    CHECK(kill(getpid(), SIGUSR2) == 0 && read(fd, &info, sizeof info) == sizeof info);
    CHECK(info.ssi_signo == SIGUSR2 && info.ssi_pid == (uint32_t)getpid() && info.ssi_uid == getuid());
    close(fd);
}

static void watching(void) {
    char text[512] __attribute__((aligned(8)));
    temporary_enter();
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), watch = inotify_add_watch(fd, ".", IN_CREATE | IN_DELETE);
    CHECK(fd >= 0 && watch >= 0);
    CHECK_ERROR(read(fd, text, sizeof text), EAGAIN);
    int file = open("new", O_CREAT | O_WRONLY, 0600);
    close(file);
    struct inotify_event *event = (struct inotify_event *)text;
    CHECK(read(fd, text, sizeof text) > 0 && event->wd == watch && event->mask == IN_CREATE && !strcmp(event->name, "new"));
    unlink("new");
    CHECK(read(fd, text, sizeof text) > 0 && event->mask == IN_DELETE);
    CHECK(inotify_rm_watch(fd, watch) == 0);
    CHECK_ERROR(inotify_rm_watch(fd, 99), EINVAL);
    close(fd);
    temporary_leave();
}

static void process_descriptors(void) {
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    CHECK(fd >= 0);
    struct pollfd p = {fd, POLLIN, 0};
    CHECK(poll(&p, 1, 0) == 0);
    close(fd);
}

int main(void) {
    polling();
    selecting();
    masks();
    epolling();
    event_counters();
    timers();
    signals_as_files();
    watching();
    process_descriptors();
    return check_summary();
}
