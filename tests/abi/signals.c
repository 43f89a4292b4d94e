// SPDX-License-Identifier: MIT
// Handlers, masks, queues, alternate stacks, interrupted calls.
// Calls: rt_sigaction rt_sigprocmask rt_sigpending rt_sigsuspend rt_sigtimedwait rt_sigreturn sigaltstack kill tkill tgkill
// Calls: rt_sigqueueinfo rt_tgsigqueueinfo restart_syscall ppoll
#define _GNU_SOURCE
#include "check.h"
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>

static volatile sig_atomic_t count, order[16], depth, deepest;
static volatile int last_signal, last_code, last_value;
static volatile pid_t last_pid;
static void *volatile handler_stack;

static void note(int signal, siginfo_t *info, void *context) {
    (void)context;
    if (count < 16) order[count] = signal;
    count++;
    last_signal = info->si_signo == signal ? signal : -1;
    last_code = info->si_code;
    last_pid = info->si_pid;
    last_value = info->si_value.sival_int;
    handler_stack = __builtin_frame_address(0);
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *), int flags) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigemptyset(&action.sa_mask);
    CHECK(sigaction(signal, &action, NULL) == 0);
    count = 0;
}

static sigset_t set_of(int a, int b) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, a);
    if (b) sigaddset(&set, b);
    return set;
}

static void actions(void) {
    struct sigaction old, action = {.sa_handler = SIG_IGN};
    handle(SIGUSR1, note, SA_RESTART);
    CHECK(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_sigaction == note && (old.sa_flags & SA_RESTART));
    CHECK_ERROR(sigaction(SIGKILL, &action, NULL), EINVAL);
    CHECK(sigaction(SIGKILL, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
    CHECK_ERROR(syscall(SYS_rt_sigaction, 65, NULL, &old, 8), EINVAL);
    CHECK_ERROR(syscall(SYS_rt_sigaction, SIGUSR1, NULL, &old, 4), EINVAL);
    CHECK_ERROR(syscall(SYS_rt_sigaction, SIGUSR1, bad_address, NULL, 8), EFAULT);
    CHECK(raise(SIGUSR1) == 0 && count == 1 && last_signal == SIGUSR1);
    CHECK(kill(getpid(), SIGUSR1) == 0 && count == 2 && last_code == SI_USER && last_pid == getpid());
    CHECK(syscall(SYS_tkill, getpid(), SIGUSR1) == 0 && count == 3 && last_code == SI_TKILL);
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && raise(SIGUSR1) == 0 && count == 3);
    handle(SIGUSR1, note, (int)SA_RESETHAND);
    raise(SIGUSR1);
    CHECK(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == SIG_DFL && count == 1);
    CHECK_ERROR(kill(getpid(), 65), EINVAL);
    CHECK(kill(getpid(), 0) == 0);
}

static void masks(void) {
    sigset_t one = set_of(SIGUSR1, SIGUSR2), old, pending;
    handle(SIGUSR1, note, 0);
    handle(SIGUSR2, note, 0);
    CHECK(sigprocmask(SIG_BLOCK, &one, &old) == 0 && !sigismember(&old, SIGUSR1));
    raise(SIGUSR2);
    raise(SIGUSR1);
    raise(SIGUSR1);
    CHECK(count == 0);
    CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1) && sigismember(&pending, SIGUSR2));
    CHECK(sigprocmask(SIG_UNBLOCK, &one, &old) == 0 && sigismember(&old, SIGUSR1));
    CHECK(count == 2 && order[0] == SIGUSR2 && order[1] == SIGUSR1); // frames are pushed lowest number first
    CHECK(sigpending(&pending) == 0 && !sigismember(&pending, SIGUSR1));
    CHECK_ERROR(syscall(SYS_rt_sigprocmask, 9, &one, NULL, 8), EINVAL);
    CHECK_ERROR(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &one, NULL, 16), EINVAL);
    CHECK_ERROR(syscall(SYS_rt_sigprocmask, SIG_BLOCK, bad_address, NULL, 8), EFAULT);
    sigset_t all;
    sigfillset(&all);
    CHECK(sigprocmask(SIG_SETMASK, &all, &old) == 0 && sigprocmask(SIG_SETMASK, &old, &all) == 0);
    CHECK(!sigismember(&all, SIGKILL) && !sigismember(&all, SIGSTOP) && sigismember(&all, SIGSEGV));
}

static void queue(void) {
    int first = SIGRTMIN + 2, second = SIGRTMIN + 3;
    sigset_t set = set_of(first, second);
    siginfo_t info;
    struct timespec brief = {0, 1000000};
    handle(first, note, 0);
    handle(second, note, 0);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 1; i <= 3; i++) CHECK(sigqueue(getpid(), second, (union sigval){.sival_int = 100 + i}) == 0);
    CHECK(sigqueue(getpid(), first, (union sigval){.sival_int = 7}) == 0);
    CHECK(sigtimedwait(&set, &info, &brief) == first && info.si_value.sival_int == 7 && info.si_code == SI_QUEUE);
    CHECK(sigwaitinfo(&set, &info) == second && info.si_value.sival_int == 101);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    CHECK(count == 2 && last_value == 103);
    CHECK_ERROR(sigtimedwait(&set, &info, &brief), EAGAIN);
    CHECK_ERROR(syscall(SYS_rt_sigtimedwait, &set, &info, &brief, 4), EINVAL);
}

static void nest(int signal, siginfo_t *info, void *context) {
    (void)info, (void)context;
    if (++depth > deepest) deepest = depth;
    if (++count < 4) raise(signal);
    depth--;
}

static void nesting(void) {
    handle(SIGUSR1, nest, SA_NODEFER);
    deepest = 0;
    raise(SIGUSR1);
    CHECK(count == 4 && deepest == 4);
    handle(SIGUSR1, nest, 0);
    deepest = 0;
    raise(SIGUSR1);
    CHECK(count == 4 && deepest == 1);
}

static void alternate_stack(void) {
    static char memory[65536];
    stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory}, old;
    CHECK(sigaltstack(NULL, &old) == 0 && (old.ss_flags & SS_DISABLE));
    CHECK(sigaltstack(&stack, NULL) == 0);
    handle(SIGUSR1, note, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK((char *)handler_stack > memory && (char *)handler_stack <= memory + sizeof memory);
    handle(SIGUSR1, note, 0);
    raise(SIGUSR1);
    CHECK((char *)handler_stack < memory || (char *)handler_stack > memory + sizeof memory);
    CHECK(sigaltstack(NULL, &old) == 0 && old.ss_sp == memory && old.ss_size == sizeof memory && old.ss_flags == 0);
    stack.ss_size = 100;
    CHECK_ERROR(sigaltstack(&stack, NULL), ENOMEM);
    stack.ss_flags = 0x40;
    CHECK_ERROR(sigaltstack(&stack, NULL), EINVAL);
    stack.ss_flags = SS_DISABLE;
    CHECK(sigaltstack(&stack, &old) == 0);
}

static void on_alternate(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info;
    stack_t now, other = {.ss_flags = SS_DISABLE};
    CHECK(sigaltstack(NULL, &now) == 0 && now.ss_flags == SS_ONSTACK);
    CHECK_ERROR(sigaltstack(&other, NULL), EPERM);
    CHECK(((ucontext_t *)context)->uc_stack.ss_size == 65536);
    count++;
}

static void inside_alternate_stack(void) {
    static char memory[65536];
    stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory};
    CHECK(sigaltstack(&stack, NULL) == 0);
    handle(SIGUSR1, on_alternate, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK(count == 1);
    stack.ss_flags = SS_DISABLE;
    CHECK(sigaltstack(&stack, NULL) == 0);
}

// The mask in the frame is the one to go back to.
static void edit_mask(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info;
    sigaddset(&((ucontext_t *)context)->uc_sigmask, SIGUSR2);
    count++;
}

static void returning(void) {
    sigset_t now, none;
    handle(SIGUSR1, edit_mask, 0);
    raise(SIGUSR1);
    CHECK(sigprocmask(SIG_SETMASK, NULL, &now) == 0 && sigismember(&now, SIGUSR2) && !sigismember(&now, SIGUSR1));
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

// ---- interrupted calls

static void later(int microseconds) {
    struct itimerval timer = {.it_value = {.tv_usec = microseconds}};
    setitimer(ITIMER_REAL, &timer, NULL);
}

static int pipe_ends[2];
static void write_pipe(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info, (void)context;
    count++;
    if (write(pipe_ends[1], "x", 1) != 1) count = -100;
}

static void interruption(void) {
    char byte;
    sigset_t block = set_of(SIGALRM, 0), none;
    struct timespec second = {1, 0}, rest = {0, 0};
    struct pollfd nothing = {.fd = -1};
    sigemptyset(&none);
    CHECK(pipe(pipe_ends) == 0);
    handle(SIGALRM, note, 0);
    later(20000);
    CHECK_ERROR(read(pipe_ends[0], &byte, 1), EINTR);
    CHECK(count == 1);
    handle(SIGALRM, write_pipe, SA_RESTART);
    later(20000);
    CHECK(read(pipe_ends[0], &byte, 1) == 1 && count == 1);
    handle(SIGALRM, note, SA_RESTART);
    later(20000);
    CHECK_ERROR(nanosleep(&second, &rest), EINTR);
    CHECK(rest.tv_sec == 0 && rest.tv_nsec > 500000000);
    later(20000);
    CHECK_ERROR(poll(&nothing, 1, 1000), EINTR);
    later(20000);
    CHECK_ERROR(pause(), EINTR);
    CHECK(count == 3);

    sigprocmask(SIG_BLOCK, &block, NULL);
    raise(SIGALRM);
    CHECK(count == 3);
    CHECK_ERROR(sigsuspend(&none), EINTR);
    CHECK(count == 4);
    later(20000);
    CHECK_ERROR(ppoll(&nothing, 1, &second, &none), EINTR);
    CHECK(count == 5);
    struct timespec none_at_all = {0, 0};
    CHECK(ppoll(&nothing, 1, &none_at_all, &none) == 0);
    raise(SIGALRM);
    CHECK(count == 5); // the temporary mask is gone
    sigprocmask(SIG_UNBLOCK, &block, NULL);
    CHECK(count == 6);
    signal(SIGALRM, SIG_IGN);
    later(10000);
    CHECK(poll(&nothing, 1, 50) == 0); // what is ignored does not interrupt
}

// Many signals into a loop that makes many calls: none is lost, none comes twice, registers survive.
static void storm(void) {
    enum { ROUNDS = 300 };
    int number = SIGRTMIN + 1, mine[2];
    handle(number, note, SA_RESTART);
    CHECK(pipe(mine) == 0);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < ROUNDS; i++) {
            while (sigqueue(getppid(), number, (union sigval){.sival_int = i}) != 0) usleep(100);
            if (i % 7 == 0 && write(mine[1], "y", 1) != 1) _exit(1);
        }
        _exit(0);
    }
    uint64_t sum = 0, bytes = 0;
    char byte;
    while (count < ROUNDS) {
        for (unsigned i = 0; i < 1000; i++) sum += i;
        if (bytes < (ROUNDS + 6) / 7) bytes += (uint64_t)read(mine[0], &byte, 1);
        sum -= 499500;
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(count == ROUNDS && sum == 0 && bytes <= (ROUNDS + 6) / 7);
}

int main(void) {
    actions();
    masks();
    queue();
    nesting();
    alternate_stack();
    inside_alternate_stack();
    returning();
    interruption();
    storm();
    return check_summary();
}
