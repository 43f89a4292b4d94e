// SPDX-License-Identifier: MIT
// The mask under which each of very many signals is handled, and that none is lost, while masks change all the time: by calls, by
// handlers, by what handlers return to, by temporary masks; with signals from outside, from timers and from the thread itself.
// Calls: rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigaction rt_sigqueueinfo kill tgkill tkill ppoll pselect6 setitimer
// kiln: skip-qemu
// qemu: the mask that /proc shows is its own
#define _GNU_SOURCE
#include "check.h"
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>

enum { ROUNDS = 2000 };

static uint64_t bit(int signal) { return UINT64_C(1) << (signal - 1); }
static uint64_t mask_now(void) {
    uint64_t mask = 0;
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8);
    return mask;
}
static void set_mask(uint64_t mask) { syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8); }
static uint64_t saved_in(void *context) {
    uint64_t mask;
    memcpy(&mask, &((ucontext_t *)context)->uc_sigmask, sizeof mask);
    return mask;
}
static void save_in(void *context, uint64_t mask) { memcpy(&((ucontext_t *)context)->uc_sigmask, &mask, sizeof mask); }

static void handle(int signal, void (*handler)(int, siginfo_t *, void *), uint64_t mask, int flags) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    memcpy(&action.sa_mask, &mask, sizeof mask);
    CHECK(sigaction(signal, &action, NULL) == 0);
}

// What the kernel itself keeps, as others see it.
static uint64_t status_mask(const char *field) {
    char line[256];
    unsigned long long mask = ~0ULL;
    FILE *file = fopen("/proc/thread-self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, field, strlen(field))) sscanf(line + strlen(field), " %llx", &mask);
    if (file) fclose(file);
    return mask;
}

// ---- to itself ------------------------------------------------------------------------------------------------------------
static volatile int count, wrong, last_code, nested;
static volatile uint64_t mask_inside, mask_saved, status_inside;
static volatile pid_t last_pid;
static volatile uid_t last_uid;

static void look(int signal, siginfo_t *info, void *context) {
    count++;
    mask_inside = mask_now();
    mask_saved = saved_in(context);
    status_inside = count == 1 ? status_mask("SigBlk:") : 0;
    last_code = info->si_code;
    last_pid = info->si_pid;
    last_uid = info->si_uid;
    wrong += info->si_signo != signal || info->si_errno != 0;
}

static long send_kill(int signal) { return syscall(SYS_kill, getpid(), signal); }
static long send_tkill(int signal) { return syscall(SYS_tkill, gettid(), signal); }
static long send_tgkill(int signal) { return syscall(SYS_tgkill, getpid(), gettid(), signal); }

static void to_itself(void) {
    static long (*const send[])(int) = {send_kill, send_tkill, send_tgkill};
    const uint64_t more = bit(SIGHUP) | bit(SIGRTMIN + 1), around = bit(SIGALRM);
    set_mask(around);
    for (int way = 0; way < 3; way++) {
        int code = way ? SI_TKILL : SI_USER;
        handle(SIGUSR1, look, more, 0);
        count = wrong = 0;
        CHECK(send[way](SIGUSR1) == 0 && count == 1 && wrong == 0); // before the call returns
        CHECK(last_code == code && last_pid == getpid() && last_uid == getuid());
        CHECK(mask_inside == (around | more | bit(SIGUSR1)) && status_inside == mask_inside && mask_saved == around);
        CHECK(mask_now() == around && status_mask("SigBlk:") == around);
        handle(SIGUSR1, look, more, SA_NODEFER);
        CHECK(send[way](SIGUSR1) == 0 && count == 2 && mask_inside == (around | more));
        handle(SIGUSR1, look, 0, (int)SA_RESETHAND);
        CHECK(send[way](SIGUSR1) == 0 && count == 3);
        struct sigaction now;
        CHECK(sigaction(SIGUSR1, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
        // Blocked, it waits in the kernel, once.
        handle(SIGUSR1, look, 0, 0);
        set_mask(around | bit(SIGUSR1));
        CHECK(send[way](SIGUSR1) == 0 && send[way](SIGUSR1) == 0 && count == 3);
        CHECK(status_mask(way ? "SigPnd:" : "ShdPnd:") == bit(SIGUSR1));
        set_mask(around);
        CHECK(count == 4 && mask_saved == around && last_code == code);
        signal(SIGUSR1, SIG_IGN);
        CHECK(send[way](SIGUSR1) == 0 && count == 4);
    }
    set_mask(0);
}

static void raise_other(int signal, siginfo_t *info, void *context) {
    (void)info;
    nested++;
    if (signal == SIGUSR1 && nested == 1) {
        raise(SIGUSR2); // not blocked: at once
        wrong += nested != 2;
        raise(SIGUSR1); // blocked: once this handler has returned
        wrong += nested != 2;
    } else if (signal == SIGUSR1) {
        wrong += saved_in(context) != 0;
    }
}

static void inside_handlers(void) {
    handle(SIGUSR1, raise_other, 0, 0);
    handle(SIGUSR2, raise_other, 0, 0);
    wrong = 0;
    for (int i = 0; i < ROUNDS; i++) {
        nested = 0;
        raise(SIGUSR1);
        wrong += nested != 3;
    }
    CHECK(wrong == 0 && mask_now() == 0);
}

// A process that is not alone; one that its parent waits for; one that stops itself.
static void elsewhere(void) {
    int status;
    handle(SIGUSR1, look, 0, 0);
    count = 0;
    pid_t child = fork();
    if (child == 0) {
        bool good = send_kill(SIGUSR1) == 0 && count == 1 && last_pid == getpid() && last_pid != getppid();
        _exit(good ? 3 : 4);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 3 && count == 0);
    child = vfork();
    if (child == 0) {
        syscall(SYS_kill, getpid(), SIGUSR1);
        _exit(count == 1 && last_pid == getpid() ? 5 : 6);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 5 && count == 1);
    // SIGCONT takes pending stops away and the other way round, also where it has a handler.
    handle(SIGCONT, look, 0, 0);
    set_mask(bit(SIGTSTP));
    send_kill(SIGTSTP);
    CHECK(status_mask("ShdPnd:") == bit(SIGTSTP));
    send_kill(SIGCONT);
    CHECK(count == 2 && status_mask("ShdPnd:") == 0);
    set_mask(0);
    signal(SIGCONT, SIG_DFL);
}

// ---- from outside -----------------------------------------------------------------------------------------------------------
// A child sends numbered signals, some at a time, at any moment; the parent changes masks. Each must arrive, in order, under the right mask.
enum { MANY = 6000, AT_ONCE = 8, PATIENCE = 30 };
static int number;
static volatile int arrived, out_of_order, wrong_mask;
// What the interrupted code may have: one of two, as a change is on its way. `temporary`: of a call that waits under it, NONE: there is no such call.
#define NONE (~UINT64_C(0))
static volatile uint64_t before, after, temporary;

static void in_order(int signal, siginfo_t *info, void *context) {
    uint64_t saved = saved_in(context), own = mask_now(), under = temporary == NONE ? saved : temporary;
    out_of_order += info->si_value.sival_int != arrived || info->si_code != SI_QUEUE;
    wrong_mask += (saved != before && saved != after) || (under & bit(signal)) || own != (under | bit(signal) | bit(SIGHUP));
    arrived++;
}

static void quiet(int signal, siginfo_t *info, void *context) { (void)signal, (void)info, (void)context; }

static void change_to(uint64_t mask) {
    after = mask;
    set_mask(mask);
    before = mask;
    wrong += mask_now() != mask;
}

// Sends AT_ONCE signals, a while after each byte that it gets.
static void send_all(pid_t parent, int tokens) {
    char byte;
    for (int i = 0; i < MANY; i++) {
        if (i % AT_ONCE == 0 && read(tokens, &byte, 1) != 1) _exit(1);
        if (i % AT_ONCE == 0) usleep((useconds_t)(i * 37 % 100));
        while (sigqueue(parent, number, (union sigval){.sival_int = i}) != 0) usleep(100);
    }
    _exit(0);
}

static void storm(const char *what, void (*change)(int round)) {
    int tokens[2], sent = 0, status;
    handle(number, in_order, bit(SIGHUP), SA_RESTART);
    arrived = out_of_order = wrong_mask = wrong = 0;
    before = after = 0;
    temporary = NONE;
    CHECK(pipe(tokens) == 0);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        close(tokens[1]);
        send_all(parent, tokens[0]);
    }
    time_t end = time(NULL) + PATIENCE;
    for (int round = 0; arrived < MANY && time(NULL) < end; round++) {
        if (arrived == sent * AT_ONCE) wrong += write(tokens[1], "x", 1) != 1, sent++;
        change(round);
    }
    printf("# %s: %d arrived, %d out of order, %d under a wrong mask, %d wrong\n", what, arrived, out_of_order, wrong_mask, wrong);
    CHECK(arrived == MANY && out_of_order == 0 && wrong_mask == 0 && wrong == 0);
    close(tokens[1]);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    close(tokens[0]); // the last signal may come just before a byte is written for more
    change_to(0);
}

static void by_calls(int round) {
    change_to(round & 1 ? bit(SIGUSR1) | bit(number) : bit(SIGUSR2));
    if (round & 2) change_to(0);
}

// Their handlers run under a mask that lets the others in.
static void by_own_signals(int round) {
    (void)round;
    after = bit(SIGUSR1) | bit(SIGUSR2);
    raise(SIGUSR1);
    syscall(SYS_kill, getpid(), SIGUSR2);
    after = 0;
}

// Their handler does not let the others in, so what is interrupted has no mask.
static void by_blocking_handlers(int round) {
    (void)round;
    raise(SIGVTALRM);
}

// What the handler returns to has another mask than what it has interrupted.
static volatile uint64_t go_on_with;
static void exchange_mask(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info;
    save_in(context, go_on_with);
}
static void by_returning(int round) {
    after = go_on_with = round & 1 ? bit(SIGUSR1) | bit(number) : bit(SIGWINCH);
    raise(SIGWINCH);
    before = go_on_with;
    wrong += mask_now() != go_on_with;
    change_to(0);
}

static char *page;
static void lift(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info, (void)context;
    mprotect(page, 4096, PROT_READ | PROT_WRITE);
}
static void by_faults(int round) {
    mprotect(page, 4096, PROT_READ);
    *(volatile int *)page = round;
    wrong += *(volatile int *)page != round;
}

// Outside of the call that waits all is blocked.
static void by_waiting(int round) {
    const uint64_t blocked = bit(number) | bit(SIGALRM), open = bit(SIGUSR2);
    struct timespec limit = {0, 300000};
    struct {
        const uint64_t *set;
        uint64_t size;
    } argument = {&open, sizeof open};
    long r;
    if (before != blocked) change_to(blocked);
    temporary = open;
    if (round % 3 == 0) r = syscall(SYS_ppoll, NULL, 0, &limit, &open, sizeof open);
    else if (round % 3 == 1) r = syscall(SYS_pselect6, 0, NULL, NULL, NULL, &limit, &argument);
    else {
        struct itimerval timer = {{0, 0}, {0, 300}};
        setitimer(ITIMER_REAL, &timer, NULL);
        r = syscall(SYS_rt_sigsuspend, &open, sizeof open);
    }
    wrong += r != 0 && errno != EINTR;
    temporary = NONE;
    wrong += mask_now() != blocked;
}

int main(void) {
    number = SIGRTMIN + 3;
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    to_itself();
    inside_handlers();
    elsewhere();
    handle(SIGUSR1, quiet, bit(SIGUSR2), 0);
    handle(SIGUSR2, quiet, bit(SIGUSR1), 0);
    handle(SIGVTALRM, quiet, bit(number), 0);
    handle(SIGWINCH, exchange_mask, NONE, 0);
    handle(SIGSEGV, lift, bit(number), 0);
    handle(SIGALRM, quiet, NONE, 0);
    storm("by calls", by_calls);
    storm("by own signals", by_own_signals);
    storm("by handlers that block", by_blocking_handlers);
    storm("by returning", by_returning);
    storm("by faults", by_faults);
    storm("by waiting", by_waiting);
    return check_summary();
}
