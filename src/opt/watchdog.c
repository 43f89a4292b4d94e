// SPDX-License-Identifier: MIT
//
// An epoll set of its own, in which hub and channels ask for no event: so it reports the end alone, the other side's or that which the
// server makes (shutdown). It has copies of the descriptors, as what is closed would leave the set without a word.
#include "opt/watchdog.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <unistd.h>

static int set = -1;
static unsigned alive; // that are in the set and have not ended

void watchdog_sees(int channel) {
    int copy = set < 0 ? -1 : fcntl(channel, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) return;
    struct epoll_event event = {.data.fd = copy};
    __atomic_add_fetch(&alive, 1, __ATOMIC_ACQ_REL);
    if (epoll_ctl(set, EPOLL_CTL_ADD, copy, &event) == 0) return;
    __atomic_sub_fetch(&alive, 1, __ATOMIC_ACQ_REL);
    close(copy);
}

// Closing it is not enough, as what it is a copy of may still be open.
static void forget(int copy) {
    epoll_ctl(set, EPOLL_CTL_DEL, copy, NULL);
    close(copy);
}

static void *watch(void *context) {
    (void)context;
    bool over = false;
    for (;;) {
        struct epoll_event events[16];
        int count = epoll_wait(set, events, sizeof events / sizeof *events, over ? WATCHDOG_GRACE_MS : -1);
        if (count == 0 && over) _exit(1);
        for (int i = 0; i < count; i++) forget(events[i].data.fd);
        if (count > 0) over = __atomic_sub_fetch(&alive, (unsigned)count, __ATOMIC_ACQ_REL) == 0;
    }
    return NULL;
}

void watchdog_start(int hub) {
    enum { STACK = 64 << 10 };
    set = epoll_create1(EPOLL_CLOEXEC);
    watchdog_sees(hub);
    sigset_t all, before;
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    if (set >= 0 && pthread_create(&thread, &attributes, watch, NULL) == 0) pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}
