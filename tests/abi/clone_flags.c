// SPDX-License-Identifier: MIT
// clone3: what it refuses, and what each of its fields does for a child with a copy of the memory, for one that shares it (with CLONE_VFORK and
// without) and for a thread.
// Calls: clone3 clone wait4 waitid sigaltstack
// kiln: skip-qemu
// qemu: it has no clone3
#define _GNU_SOURCE
#include "check.h"
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>

enum { STACK = 1 << 17, NO_FD = 999, BY_PIDFD = 3 };
typedef int (*Run)(void);

static char *stack, alternate[1 << 14];
static volatile int child_word;

// The child runs on a stack of its own and ends with what `run` gives back. A negative errno.
long clone3_run(const struct clone_args *args, size_t size, Run run);
#ifdef __riscv
__asm__(".text\n.globl clone3_run\nclone3_run:\n    mv t0, a2\n    li a7, 435\n    ecall\n    beqz a0, 1f\n    ret\n"
        "1:  jalr t0\n    li a7, 93\n    ecall\n    unimp\n");
#else
__asm__(
    ".text\n.globl clone3_run\nclone3_run:\n    mov %rdx, %r8\n    mov $435, %eax\n    syscall\n    test %rax, %rax\n    jz 1f\n"
    "    ret\n1:  call *%r8\n    mov %eax, %edi\n    mov $60, %eax\n    syscall\n    hlt\n");
#endif

static struct clone_args with(uint64_t flags) {
    struct clone_args args;
    memset(&args, 0, sizeof args);
    args.flags = flags;
    args.exit_signal = SIGCHLD;
    args.stack = (uint64_t)stack;
    args.stack_size = STACK;
    return args;
}

static int status_of(long pid) {
    int status = -1;
    return pid > 0 && waitpid((pid_t)pid, &status, __WALL) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int run_seven(void) { return 7; }
static long result(const struct clone_args *args) {
    long r = clone3_run(args, sizeof *args, run_seven);
    return r > 0 ? status_of(r) : r;
}

// ---- refused ------------------------------------------------------------------------------------------------------------
static void refused(void) {
    struct clone_args args;
    char large[4097] = {0};
    const uint64_t thread = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM;
    const uint64_t senseless[] = {0xff,
                                  0x400000 /* CLONE_DETACHED */,
                                  CLONE_THREAD,
                                  CLONE_SIGHAND,
                                  CLONE_PARENT,
                                  CLONE_PARENT | CLONE_VM,
                                  thread,
                                  CLONE_VM | CLONE_SIGHAND | CLONE_CLEAR_SIGHAND,
                                  CLONE_NEWNS | CLONE_FS,
                                  CLONE_VM | CLONE_VFORK | CLONE_NEWNS | CLONE_FS,
                                  UINT64_C(1) << 40,
                                  UINT64_C(1) << 40 | CLONE_VM};
    for (size_t i = 0; i < sizeof senseless / sizeof *senseless; i++) args = with(senseless[i]), CHECK(result(&args) == -EINVAL);
    args = with(0), args.exit_signal = 65, CHECK(result(&args) == -EINVAL);
    args = with(CLONE_VM), args.exit_signal = 0x111, CHECK(result(&args) == -EINVAL);
    args = with(0), args.stack_size = 0, CHECK(result(&args) == -EINVAL);
    args = with(0), args.stack = 0, CHECK(result(&args) == -EINVAL);
    for (uint64_t shares = 0; shares <= CLONE_VM; shares += CLONE_VM) {
        args = with(shares), args.set_tid_size = 1, CHECK(result(&args) == -EINVAL);
        args = with(shares), args.set_tid = (uint64_t)large, CHECK(result(&args) == -EINVAL);
        args = with(shares), args.set_tid = (uint64_t)large, args.set_tid_size = 33, CHECK(result(&args) == -EINVAL);
        args = with(shares | CLONE_INTO_CGROUP), args.cgroup = NO_FD, CHECK(result(&args) == -EBADF);
        CHECK(clone3_run(&args, CLONE_ARGS_SIZE_VER1, run_seven) == -EINVAL); // the field is not there
        args = with(shares | CLONE_PIDFD), args.pidfd = 8, CHECK(result(&args) == -EFAULT);
    }
    args = with(0), memcpy(large, &args, sizeof args);
    struct clone_args *in_large = (struct clone_args *)(void *)large;
    CHECK(clone3_run(in_large, CLONE_ARGS_SIZE_VER0 - 1, run_seven) == -EINVAL && clone3_run(in_large, 0, run_seven) == -EINVAL);
    CHECK(clone3_run(in_large, sizeof large, run_seven) == -E2BIG && clone3_run((void *)8, sizeof args, run_seven) == -EFAULT);
    CHECK(status_of(clone3_run(in_large, CLONE_ARGS_SIZE_VER0, run_seven)) == 7);
    CHECK(status_of(clone3_run(in_large, sizeof large - 1, run_seven)) == 7);
    large[sizeof args + 1] = 1;
    CHECK(clone3_run(in_large, sizeof large - 1, run_seven) == -E2BIG);
}

// ---- what the fields do ---------------------------------------------------------------------------------------------------
static int run_ids(void) { return child_word == (int)syscall(SYS_gettid) ? 11 : 12; }
static int run_action(void) {
    struct sigaction action;
    sigaction(SIGUSR1, NULL, &action);
    return action.sa_handler == SIG_DFL ? 13 : 14;
}
static int run_alternate(void) {
    stack_t now;
    sigaltstack(NULL, &now);
    return now.ss_flags & SS_DISABLE ? 15 : 16;
}
static int in_group(void) {
    char text[400] = {0};
    int fd = open("/proc/self/cgroup", O_RDONLY);
    bool good = read(fd, text, sizeof text - 1) > 0 && strstr(text, "kiln-clone");
    close(fd);
    return good ? 17 : 18;
}
static void on_signal(int signal) { (void)signal; }

static void fields(uint64_t shares) {
    int pidfd = -1;
    volatile pid_t parent_tid = 0;
    siginfo_t info = {0};
    struct clone_args args = with(shares | CLONE_PIDFD | CLONE_PARENT_SETTID);
    args.pidfd = (uint64_t)&pidfd, args.parent_tid = (uint64_t)&parent_tid;
    long pid = clone3_run(&args, sizeof args, run_seven);
    CHECK(pid > 0 && parent_tid == pid && pidfd >= 0 && fcntl(pidfd, F_GETFD) == FD_CLOEXEC);
    CHECK(waitid(BY_PIDFD, (id_t)pidfd, &info, WEXITED) == 0 && info.si_pid == pid && info.si_status == 7);
    close(pidfd);

    args = with(shares | CLONE_PIDFD), args.pidfd = (uint64_t)&pidfd;
    CHECK(result(&args) == 7 && close(pidfd) == 0);

    child_word = -1;
    args = with(shares | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID), args.child_tid = (uint64_t)&child_word;
    CHECK(status_of(clone3_run(&args, sizeof args, run_ids)) == 11 && child_word == (shares ? 0 : -1));

    signal(SIGUSR1, on_signal);
    args = with(shares | CLONE_CLEAR_SIGHAND);
    CHECK(status_of(clone3_run(&args, sizeof args, run_action)) == 13);
    args = with(shares);
    CHECK(status_of(clone3_run(&args, sizeof args, run_action)) == 14);

    stack_t own = {.ss_sp = alternate, .ss_size = sizeof alternate}, none = {.ss_flags = SS_DISABLE};
    CHECK(sigaltstack(&own, NULL) == 0);
    CHECK(status_of(clone3_run(&args, sizeof args, run_alternate)) == (shares == CLONE_VM ? 15 : 16));
    sigaltstack(&none, NULL);

    args.exit_signal = 0;
    CHECK(result(&args) == 7);
    args = with(shares), args.exit_signal = 64;
    signal(64, SIG_IGN);
    CHECK(result(&args) == 7);
}

// An id, a cgroup and a time namespace need rights; where there are none, or no cgroups, that is the answer.
static void with_rights(uint64_t shares) {
    pid_t free_id = 0;
    for (pid_t id = 31000; !free_id && id < 32000; id++)
        if (kill(id, 0) < 0 && errno == ESRCH) free_id = id;
    struct clone_args args = with(shares);
    args.set_tid = (uint64_t)&free_id, args.set_tid_size = 1;
    long pid = clone3_run(&args, sizeof args, run_seven);
    CHECK(pid == -EPERM || (pid == free_id && status_of(pid) == 7));
    pid_t own = getpid();
    args.set_tid = (uint64_t)&own;
    pid = clone3_run(&args, sizeof args, run_seven);
    CHECK(pid == -EPERM || pid == -EEXIST);
    args = with(shares | 0x80 /* CLONE_NEWTIME */);
    pid = result(&args);
    CHECK(pid == -EPERM || pid == 7);
}

static void groups(void) {
    char mounted[] = "/tmp/kiln-cgroup-XXXXXX", group[64];
    if (!mkdtemp(mounted)) return;
    snprintf(group, sizeof group, "%s/kiln-clone-%d", mounted, getpid());
    bool can = mount("none", mounted, "cgroup2", 0, NULL) == 0 && mkdir(group, 0755) == 0;
    int fd = open(group, O_RDONLY | O_DIRECTORY);
    const uint64_t shares[] = {0, CLONE_VM, CLONE_VM | CLONE_VFORK};
    for (int i = 0; i < 3; i++) {
        struct clone_args args = with(shares[i] | CLONE_INTO_CGROUP);
        args.cgroup = (uint64_t)fd;
        CHECK(!can || status_of(clone3_run(&args, sizeof args, in_group)) == 17);
    }
    if (fd >= 0) close(fd);
    if (can) rmdir(group);
    umount2(mounted, MNT_DETACH);
    rmdir(mounted);
}

static void as_thread(void) {
    struct clone_args args =
        with(CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID);
    volatile pid_t parent_tid = 0;
    args.exit_signal = 0;
    args.tls = (uint64_t)__builtin_thread_pointer();
    args.parent_tid = (uint64_t)&parent_tid, args.child_tid = (uint64_t)&child_word;
    child_word = 1;
    long tid = clone3_run(&args, sizeof args, run_seven);
    CHECK(tid > 0 && parent_tid == tid);
    for (int i = 0; i < 5000 && child_word; i++) usleep(1000);
    CHECK(child_word == 0);
    args.flags |= CLONE_CLEAR_SIGHAND;
    CHECK(clone3_run(&args, sizeof args, run_seven) == -EINVAL);
}

int main(void) {
    stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    refused();
    fields(0);
    fields(CLONE_VM);
    fields(CLONE_VM | CLONE_VFORK);
    with_rights(0);
    with_rights(CLONE_VM);
    with_rights(CLONE_VM | CLONE_VFORK);
    groups();
    as_thread();
    return check_summary();
}
