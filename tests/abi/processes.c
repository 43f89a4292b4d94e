// SPDX-License-Identifier: MIT
// Processes: making them, replacing them, waiting for them.
// Calls: clone clone3 execve execveat exit exit_group wait4 waitid prctl prlimit64 getpid getppid gettid setsid setpgid
// Calls: getpgid getsid set_tid_address set_robust_list get_robust_list futex personality unshare
// kiln: skip-qemu
// qemu: it does not run guest programs on execve
#define _GNU_SOURCE
#include "check.h"
#include <linux/futex.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;
static char self[4096];

static int status_of(pid_t child) {
    int status = -1;
    return waitpid(child, &status, 0) == child ? status : -1;
}

static void forking(void) {
    int status;
    pid_t parent = getpid(), child = fork();
    if (child == 0) _exit(getppid() == parent && getpid() != parent && gettid() == getpid() ? 42 : 1);
    CHECK(status_of(child) == 42 << 8);
    child = fork();
    if (child == 0)
        for (;;) pause();
    CHECK(waitpid(child, &status, WNOHANG) == 0);
    kill(child, SIGTERM);
    CHECK(status_of(child) == SIGTERM);
    CHECK_ERROR(waitpid(child, &status, 0), ECHILD);
    int until[2]; // it goes on until it has been seen to go on
    char byte;
    CHECK(pipe(until) == 0);
    child = fork();
    if (child == 0) {
        close(until[1]);
        raise(SIGSTOP);
        _exit(read(until[0], &byte, 1) == 0 ? 3 : 1);
    }
    CHECK(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    kill(child, SIGCONT);
    CHECK(waitpid(child, &status, WCONTINUED) == child && WIFCONTINUED(status));
    close(until[1]);
    close(until[0]);
    CHECK(status_of(child) == 3 << 8);
    child = fork();
    if (child == 0) _exit(9);
    siginfo_t info = {0};
    CHECK(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == 0 && info.si_pid == child && info.si_status == 9 &&
          info.si_code == CLD_EXITED && info.si_signo == SIGCHLD);
    CHECK(status_of(child) == 9 << 8);
}

static volatile int children_seen;
static void child_ended(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    children_seen += info->si_code == CLD_EXITED && info->si_status == 5;
}

static void child_signals(void) {
    struct sigaction action = {.sa_sigaction = child_ended, .sa_flags = SA_SIGINFO};
    struct timespec brief = {0, 1000000};
    sigaction(SIGCHLD, &action, NULL);
    pid_t child = fork();
    if (child == 0) _exit(5);
    for (int i = 0; i < 2000 && !children_seen; i++) nanosleep(&brief, NULL);
    CHECK(children_seen == 1 && status_of(child) == 5 << 8);
    signal(SIGCHLD, SIG_IGN);
    child = fork();
    if (child == 0) _exit(5);
    int status;
    CHECK_ERROR(waitpid(child, &status, 0), ECHILD); // nobody becomes a zombie
    signal(SIGCHLD, SIG_DFL);
}

// A vfork child runs in its parent's memory, on its stack, with its own signals; the parent waits.
static volatile int shared_word;
static void nothing(int signal) { (void)signal; }

static void vforking(void) {
    signal(SIGUSR1, nothing);
    for (int i = 0; i < 20; i++) {
        pid_t child = vfork();
        if (child == 0) {
            shared_word = 77 + i;
            signal(SIGUSR1, SIG_IGN);
            _exit(i);
        }
        CHECK(shared_word == 77 + i && status_of(child) == i << 8);
    }
    struct sigaction now;
    CHECK(sigaction(SIGUSR1, NULL, &now) == 0 && now.sa_handler == nothing);
    raise(SIGUSR1);
    pid_t child = vfork();
    if (child == 0) {
        execl("/nonexistent", "nonexistent", NULL);
        shared_word = errno;
        _exit(126);
    }
    CHECK(shared_word == ENOENT && status_of(child) == 126 << 8);
    child = vfork();
    if (child == 0) {
        execl(self, "mode", "exit", "31", NULL);
        _exit(1);
    }
    CHECK(status_of(child) == 31 << 8);
    child = vfork();
    if (child == 0) {
        *(volatile int *)8 = 1;
        _exit(1);
    }
    CHECK((status_of(child) & 0x7f) == SIGSEGV);
}

static void cloning(void) {
    struct clone_args args = {.exit_signal = SIGCHLD};
    pid_t child = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (child == 0) _exit(13);
    CHECK(child > 0 && status_of(child) == 13 << 8);
    int written = 0, pidfd = -1;
    args.flags = CLONE_PARENT_SETTID | CLONE_PIDFD;
    args.parent_tid = (uintptr_t)&written;
    args.pidfd = (uintptr_t)&pidfd;
    child = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (child == 0) _exit(14);
    CHECK(child > 0 && written == child && pidfd >= 0);
    siginfo_t info = {0};
    CHECK(waitid((idtype_t)3 /* P_PIDFD */, (id_t)pidfd, &info, WEXITED) == 0 && info.si_status == 14);
    close(pidfd);
    CHECK_ERROR(syscall(SYS_clone3, &args, 10), EINVAL);
    CHECK_ERROR(syscall(SYS_clone3, bad_address, sizeof args), EFAULT);
    CHECK_ERROR(syscall(SYS_clone, CLONE_SIGHAND | SIGCHLD, 0, 0, 0, 0), EINVAL);
    CHECK_ERROR(syscall(SYS_clone, CLONE_THREAD | SIGCHLD, 0, 0, 0, 0), EINVAL);
}

// ---- exec

static void write_file(const char *name, const char *text, mode_t mode) {
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fchmod(fd, mode) == 0);
    close(fd);
}

static int run(const char *path, char *const argv[], char *const envp[]) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        execve(path, argv, envp);
        _exit(200);
    }
    return status_of(child);
}

static void executing(void) {
    char *plain[] = {"mode", "exit", "17", NULL}, *arguments[] = {"mode", "args", "a b", "", "-x", "--", NULL};
    char *environment[] = {"ONE=1", "EMPTY=", "MODE=environment", NULL}, *none[] = {NULL};
    CHECK(run(self, plain, environ) == 17 << 8);
    CHECK(run(self, arguments, environ) == 0);
    char *environment_args[] = {"-0", "environment", NULL};
    CHECK(run(self, environment_args, environment) == 0);
    char *own[] = {"mode", "exit", "18", NULL};
    CHECK(run("/proc/self/exe", own, none) == 18 << 8);
    char *signals_args[] = {"mode", "signals", NULL};
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGSEGV);
    sigprocmask(SIG_BLOCK, &set, &old);
    signal(SIGHUP, SIG_IGN);
    signal(SIGFPE, SIG_IGN);
    signal(SIGUSR1, nothing);
    CHECK(run(self, signals_args, environ) == 0);
    sigprocmask(SIG_SETMASK, &old, NULL);
    signal(SIGHUP, SIG_DFL);
    signal(SIGFPE, SIG_DFL);
}

static void execution_errors(void) {
    char *argv[] = {"x", NULL};
    write_file("text", "no program\n", 0755);
    write_file("plain", "#!/bin/sh\n", 0644);
    write_file("empty", "", 0755);
    write_file("elf", "\177ELF", 0755);
    write_file("lost", "#!/nonexistent/interpreter\n", 0755);
    write_file("loop", "#!./loop\n", 0755);
    CHECK_ERROR(execve("missing", argv, environ), ENOENT);
    CHECK_ERROR(execve("", argv, environ), ENOENT);
    CHECK_ERROR(execve("text/x", argv, environ), ENOTDIR);
    CHECK_ERROR(execve("text", argv, environ), ENOEXEC);
    CHECK_ERROR(execve("empty", argv, environ), ENOEXEC);
    CHECK_ERROR(execve("elf", argv, environ), ENOEXEC);
    CHECK_ERROR(execve("plain", argv, environ), EACCES);
    CHECK_ERROR(execve(".", argv, environ), EACCES);
    CHECK_ERROR(execve("lost", argv, environ), ENOENT);
    CHECK_ERROR(execve("loop", argv, environ), ELOOP);
    CHECK_ERROR(execve(bad_address, argv, environ), EFAULT);
    CHECK_ERROR(execve(self, bad_address, environ), EFAULT);
    char *bad[] = {"x", bad_address, NULL};
    CHECK_ERROR(execve(self, bad, environ), EFAULT);
    unlink("text"), unlink("plain"), unlink("empty"), unlink("elf"), unlink("lost"), unlink("loop");
}

static void scripts(void) {
    char line[5000], *argv[] = {"ignored", "two", NULL};
    snprintf(line, sizeof line, "#! %s \t script argument \nrest\n", self);
    write_file("script", line, 0755);
    CHECK(run("./script", argv, environ) == 0);
    unlink("script");
    write_file("shell", "#!/bin/sh\nexit 23\n", 0755);
    CHECK(run("./shell", argv, environ) == 23 << 8);
    unlink("shell");
}

static void by_descriptor(void) {
    char *argv[] = {"mode", "exit", "19", NULL};
    int fd = open(self, O_RDONLY | O_CLOEXEC), directory = open("/", O_RDONLY | O_DIRECTORY);
    pid_t child = fork();
    if (child == 0) syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH), _exit(200);
    CHECK(status_of(child) == 19 << 8);
    child = fork();
    if (child == 0) syscall(SYS_execveat, directory, self + 1, argv, environ, 0), _exit(200);
    CHECK(status_of(child) == 19 << 8);
    CHECK_ERROR(syscall(SYS_execveat, -1, "", argv, environ, AT_EMPTY_PATH), EBADF);
    CHECK_ERROR(syscall(SYS_execveat, fd, "", argv, environ, 0), ENOENT);
    CHECK_ERROR(syscall(SYS_execveat, fd, "x", argv, environ, 0), ENOTDIR);
    CHECK_ERROR(syscall(SYS_execveat, AT_FDCWD, self, argv, environ, 0x80000), EINVAL);
    CHECK(symlink(self, "link") == 0);
    CHECK_ERROR(syscall(SYS_execveat, AT_FDCWD, "link", argv, environ, AT_SYMLINK_NOFOLLOW), ELOOP);
    unlink("link");
    close(fd);
    close(directory);
}

static void spawning(void) {
    char *argv[] = {"mode", "exit", "21", NULL};
    pid_t child;
    CHECK(posix_spawn(&child, "/nonexistent", NULL, NULL, argv, environ) == ENOENT);
    CHECK(posix_spawn(&child, self, NULL, NULL, argv, environ) == 0 && status_of(child) == 21 << 8);
    CHECK(system("exit 5") == 5 << 8);
    for (int i = 0; i < 30; i++)
        if (posix_spawn(&child, "/bin/true", NULL, NULL, argv, environ) != 0 || status_of(child) != 0) CHECK(!"spawn");
}

// ---- the rest

static void identity(void) {
    char name[16] = "";
    pid_t child = fork();
    if (child == 0) {
        pid_t me = getpid();
        _exit(setsid() == me && getsid(0) == me && getpgid(0) == me && setpgid(0, 0) == -1 && errno == EPERM ? 0 : 1);
    }
    CHECK(status_of(child) == 0);
    CHECK(prctl(PR_SET_NAME, "kiln-test") == 0 && prctl(PR_GET_NAME, name) == 0 && strcmp(name, "kiln-test") == 0);
    CHECK_ERROR(prctl(9999, 0, 0, 0, 0), EINVAL);
    CHECK(syscall(SYS_set_tid_address, &shared_word) == gettid());
    size_t size = 0;
    void *head = NULL;
    CHECK(syscall(SYS_get_robust_list, 0, &head, &size) == 0 && size == 24);
    CHECK_ERROR(syscall(SYS_set_robust_list, head, 10), EINVAL);
}

static void futexes(void) {
    int word = 1;
    struct timespec brief = {0, 10000000};
    CHECK_ERROR(syscall(SYS_futex, &word, FUTEX_WAIT, 0, &brief, NULL, 0), EAGAIN);
    CHECK_ERROR(syscall(SYS_futex, &word, FUTEX_WAIT, 1, &brief, NULL, 0), ETIMEDOUT);
    CHECK(syscall(SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0) == 0);
    volatile int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = fork();
    if (child == 0) {
        usleep(20000);
        *shared = 1;
        _exit(syscall(SYS_futex, shared, FUTEX_WAKE, 1, NULL, NULL, 0) == 1 ? 0 : 1);
    }
    while (*shared == 0) syscall(SYS_futex, shared, FUTEX_WAIT, 0, NULL, NULL, 0);
    CHECK((status_of(child) & 0xff) == 0);
}

static void limits(void) {
    struct rlimit limit, old;
    CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0 && getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur >= 65536);
    limit = old;
    limit.rlim_cur = 100;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK_ERROR(dup2(0, 100), EBADF);
    CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
    limit.rlim_cur = 200, limit.rlim_max = 100;
    CHECK_ERROR(setrlimit(RLIMIT_STACK, &limit), EINVAL);
    CHECK_ERROR(getrlimit((__rlimit_resource_t)99, &limit), EINVAL);
}

// What this program does when it is executed by itself.
static int child_mode(int argc, char **argv) {
    if (strcmp(argv[1], "exit") == 0) return atoi(argv[2]);
    if (strcmp(argv[1], "args") == 0)
        return !(argc == 6 && strcmp(argv[0], "mode") == 0 && strcmp(argv[2], "a b") == 0 && argv[3][0] == 0 &&
                 strcmp(argv[4], "-x") == 0 && strcmp(argv[5], "--") == 0 && argv[6] == NULL);
    if (strcmp(argv[1], "environment") == 0)
        return !(strcmp(argv[0], "-0") == 0 && strcmp(environ[0], "ONE=1") == 0 && strcmp(environ[1], "EMPTY=") == 0 &&
                 strcmp(environ[2], "MODE=environment") == 0 && environ[3] == NULL);
    if (strcmp(argv[1], "script argument") == 0)
        return !(argc == 4 && strcmp(argv[0], self) == 0 && strcmp(argv[2], "./script") == 0 && strcmp(argv[3], "two") == 0);
    if (strcmp(argv[1], "signals") == 0) {
        sigset_t set;
        struct sigaction hup, usr, fpe;
        sigprocmask(SIG_BLOCK, NULL, &set);
        sigaction(SIGHUP, NULL, &hup), sigaction(SIGUSR1, NULL, &usr), sigaction(SIGFPE, NULL, &fpe);
        return !(sigismember(&set, SIGUSR2) && sigismember(&set, SIGSEGV) && !sigismember(&set, SIGUSR1) &&
                 hup.sa_handler == SIG_IGN && fpe.sa_handler == SIG_IGN && usr.sa_handler == SIG_DFL);
    }
    return 99;
}

int main(int argc, char **argv) {
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0) self[n] = 0;
    if (argc > 1) return child_mode(argc, argv);
    temporary_enter();
    forking();
    child_signals();
    vforking();
    cloning();
    executing();
    execution_errors();
    scripts();
    by_descriptor();
    spawning();
    identity();
    futexes();
    limits();
    temporary_leave();
    return check_summary();
}
