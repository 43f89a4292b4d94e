// SPDX-License-Identifier: MIT
// Which calls start again after a handler with SA_RESTART, and which answer EINTR with it and without.
// Calls: read readv write recvfrom accept wait4 waitid futex flock fcntl openat mq_timedreceive msgrcv semtimedop epoll_pwait ppoll
// Calls: pselect6 nanosleep clock_nanosleep rt_sigtimedwait rt_sigsuspend
// kiln: -lrt
#define _GNU_SOURCE
#include "check.h"
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

enum { PAUSE = 15000 };                         // microseconds
static uint32_t *word, *lock, *handled, *ended; // shared with the partner
static void handler(int signal) { __atomic_add_fetch(handled, signal == SIGALRM, __ATOMIC_RELEASE); }

static int ends[2], sockets[2], timed[2], listener, file, other_file, queue, messages, semaphores, events;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static char fifo[100];

// Each call waits; its partner, in a process of its own, lets it go on.
static long call_read(void) { return read(ends[0], &(char){0}, 1); }
static long call_readv(void) { return readv(ends[0], &(struct iovec){&(char){0}, 1}, 1); }
static void go_pipe(void) { (void)!write(ends[1], "x", 1); }
static long call_recv(void) { return recv(sockets[0], &(char){0}, 1, 0); }
static void go_recv(void) { send(sockets[1], "x", 1, 0); }
static long call_timed_recv(void) { return recv(timed[0], &(char){0}, 1, 0); }
static long call_accept(void) {
    int fd = accept(listener, NULL, NULL);
    if (fd >= 0) close(fd);
    return fd < 0 ? -1 : 1;
}
static void go_accept(void) { connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, sizeof address); }
static pid_t child;
static long call_wait(void) { return waitpid(child, NULL, 0) == child ? 1 : -1; }
static long call_waitid(void) { return waitid(P_PID, (id_t)child, &(siginfo_t){0}, WEXITED) == 0 ? 1 : -1; }
static void go_nowhere(void) {}
static long call_futex(void) { return syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL, NULL, 0) == 0 ? 1 : -1; }
static long call_timed_futex(void) {
    return syscall(SYS_futex, word, FUTEX_WAIT, 0, &(struct timespec){2, 0}, NULL, 0) == 0 ? 1 : -1;
}
static void go_futex(void) { syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0); }
// One with priority inheritance, which the partner holds. Who asks for it is never told of EINTR.
static long unlock(void) { return syscall(SYS_futex, lock, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0); }
static void wait_until_held(void) {
    while (!__atomic_load_n(lock, __ATOMIC_ACQUIRE)) usleep(100);
}
static long call_lock(void) {
    wait_until_held();
    return syscall(SYS_futex, lock, FUTEX_LOCK_PI, 0, NULL, NULL, 0) == 0 && unlock() == 0 ? 1 : -1;
}
static long call_timed_lock(void) {
    struct timespec end;
    wait_until_held();
    clock_gettime(CLOCK_REALTIME, &end), end.tv_sec += 20;
    return syscall(SYS_futex, lock, FUTEX_LOCK_PI, 0, &end, NULL, 0) == 0 && unlock() == 0 ? 1 : -1;
}
static void go_lock(void) { unlock(); }
static long call_moved(void) {
    wait_until_held();
    return syscall(SYS_futex, word, FUTEX_WAIT_REQUEUE_PI, 0, NULL, lock, 0) == 0 && unlock() == 0 ? 1 : -1;
}
static void go_moved(void) {
    while (syscall(SYS_futex, word, FUTEX_CMP_REQUEUE_PI, 1, (void *)1, lock, 0) != 1) usleep(100);
    unlock();
}
static long call_flock(void) { return flock(file, LOCK_EX) == 0 ? 1 : -1; }
static void go_flock(void) { flock(other_file, LOCK_UN); }
static long call_fifo(void) {
    int fd = open(fifo, O_RDONLY);
    if (fd >= 0) close(fd);
    return fd < 0 ? -1 : 1;
}
static void go_fifo(void) { close(open(fifo, O_WRONLY)); }
static long call_queue(void) { return mq_receive(queue, (char[64]){0}, 64, NULL); }
static void go_queue(void) { mq_send(queue, "x", 1, 0); }
static long call_message(void) {
    return msgrcv(messages, &(struct {
                      long type;
                      char text[8];
                  }){0},
                  8, 0, 0);
}
static long call_semaphore(void) { return semop(semaphores, &(struct sembuf){0, -1, 0}, 1) == 0 ? 1 : -1; }
static long call_epoll(void) { return epoll_wait(events, &(struct epoll_event){0}, 1, 2000); }
static long call_poll(void) { return poll(&(struct pollfd){ends[0], POLLIN, 0}, 1, 2000); }
static long call_select(void) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    return select(ends[0] + 1, &set, NULL, NULL, &(struct timeval){2, 0});
}
static long call_sleep(void) { return nanosleep(&(struct timespec){2, 0}, NULL); }
static long call_clock_sleep(void) {
    int error = clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){2, 0}, NULL);
    return error ? (errno = error, -1) : 1;
}
static long call_signal_wait(void) {
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGUSR2);
    return sigtimedwait(&set, NULL, &(struct timespec){2, 0});
}
static long call_suspend(void) {
    sigset_t none;
    sigemptyset(&none);
    return sigsuspend(&none);
}

typedef struct Case {
    const char *name;
    long (*call)(void);
    void (*go)(void);
    enum { NEVER, WITH_FLAG, ALWAYS } restarts;
} Case;
static const Case cases[] = {
    {"read", call_read, go_pipe, WITH_FLAG},
    {"readv", call_readv, go_pipe, WITH_FLAG},
    {"recv", call_recv, go_recv, WITH_FLAG},
    {"recv with SO_RCVTIMEO", call_timed_recv, go_nowhere, NEVER},
    {"accept", call_accept, go_accept, WITH_FLAG},
    {"wait4", call_wait, go_nowhere, WITH_FLAG},
    {"waitid", call_waitid, go_nowhere, WITH_FLAG},
    {"futex", call_futex, go_futex, WITH_FLAG},
    {"futex with timeout", call_timed_futex, go_nowhere, NEVER},
    {"futex that is a lock", call_lock, go_lock, ALWAYS},
    {"futex that is a lock, with timeout", call_timed_lock, go_lock, ALWAYS},
    {"futex that leads to a lock", call_moved, go_moved, ALWAYS},
    {"flock", call_flock, go_flock, WITH_FLAG},
    {"open of a FIFO", call_fifo, go_fifo, WITH_FLAG},
    {"mq_receive", call_queue, go_queue, WITH_FLAG},
    {"msgrcv", call_message, go_nowhere, NEVER},
    {"semop", call_semaphore, go_nowhere, NEVER},
    {"epoll_wait", call_epoll, go_nowhere, NEVER},
    {"poll", call_poll, go_nowhere, NEVER},
    {"select", call_select, go_nowhere, NEVER},
    {"nanosleep", call_sleep, go_nowhere, NEVER},
    {"clock_nanosleep", call_clock_sleep, go_nowhere, NEVER},
    {"sigtimedwait", call_signal_wait, go_nowhere, NEVER},
    {"sigsuspend", call_suspend, go_nowhere, NEVER},
};

static void prepare(void) {
    char name[40];
    temporary_enter();
    word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    handled = word + 1, ended = word + 2, lock = word + 3;
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    strcpy(address.sun_path, "listener");
    CHECK(pipe(ends) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, timed) == 0);
    CHECK(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 9) == 0);
    CHECK(setsockopt(timed[0], SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){2, 0}, sizeof(struct timeval)) == 0);
    file = open("lock", O_CREAT | O_RDWR, 0600), other_file = open("lock", O_RDWR);
    strcpy(fifo, "fifo");
    CHECK(file >= 0 && other_file >= 0 && mkfifo(fifo, 0600) == 0);
    snprintf(name, sizeof name, "/kiln-%d", getpid());
    queue = mq_open(name, O_CREAT | O_RDWR, 0600, &(struct mq_attr){.mq_maxmsg = 4, .mq_msgsize = 64});
    mq_unlink(name);
    messages = msgget(IPC_PRIVATE, 0600), semaphores = semget(IPC_PRIVATE, 1, 0600);
    events = epoll_create1(0);
    CHECK(queue >= 0 && messages >= 0 && semaphores >= 0 && events >= 0);
}

// A partner sends the signal. Where the call must end with EINTR it sends more until the call has ended, as no process knows whether another
// is in a call already; where the call must start again, one that came before the call began changes nothing.
static void interrupt(const Case *c, bool ends) {
    usleep(PAUSE);
    do {
        kill(getppid(), SIGALRM);
        usleep(PAUSE);
    } while (ends ? !__atomic_load_n(ended, __ATOMIC_ACQUIRE) : !__atomic_load_n(handled, __ATOMIC_ACQUIRE));
    if (ends) return;
    usleep(PAUSE);
    c->go();
}

static void one(const Case *c, bool restart) {
    bool ends = c->restarts == NEVER || (c->restarts == WITH_FLAG && !restart);
    struct sigaction action = {.sa_handler = handler, .sa_flags = restart ? SA_RESTART : 0};
    sigaction(SIGALRM, &action, NULL);
    flock(file, LOCK_UN), flock(other_file, LOCK_EX);
    *handled = *ended = *lock = 0;
    child = fork();
    if (child == 0) {
        syscall(SYS_futex, lock, FUTEX_LOCK_PI, 0, NULL, NULL, 0);
        interrupt(c, ends);
        _exit(0);
    }
    errno = 0;
    long r = c->call();
    int error = errno;
    __atomic_store_n(ended, 1, __ATOMIC_RELEASE);
    signal(SIGALRM, SIG_IGN);
    bool good = *handled >= 1 && (ends ? r == -1 && error == EINTR : r == 1);
    if (!good) printf("# %s %s: %ld, errno %d, %u handled\n", c->name, restart ? "with SA_RESTART" : "without", r, error, *handled);
    CHECK(good);
    waitpid(child, NULL, 0);
}

int main(void) {
    prepare();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) one(&cases[i], false), one(&cases[i], true);
    msgctl(messages, IPC_RMID, NULL), semctl(semaphores, 0, IPC_RMID);
    unlink("lock"), unlink("fifo"), unlink("listener");
    temporary_leave();
    return check_summary();
}
