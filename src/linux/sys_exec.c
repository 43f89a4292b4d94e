// SPDX-License-Identifier: MIT
//
// execve. A program of our guest is run by running Kiln again with the same options:
//
//   kiln OPTIONS -0 ARGV0 -- PROGRAM ARGUMENTS...
//
// Everything else (the host's own programs, what binfmt_misc knows) is the host's execve. What can be wrong with a guest
// program is found out before, because afterwards there is nobody left to return an error to.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "linux/handlers.h"
#include "linux/elf_load.h"
#include "linux/memory.h"
#include "linux/optimizer.h"
#include "linux/own_fd.h"
#include "linux/path.h"
#include "linux/process.h"
#include "linux/signal.h"

enum { EXEC_MAX_STRINGS = 0x7ffffff };

typedef struct ExecCall {
    int directory, flags;
    uint64_t path_address, argv, envp;
    char path[PATH_MAX];                           // as the guest says it
    char host_path[PATH_MAX];                      // what the host calls it
    bool by_descriptor;                            // AT_EMPTY_PATH: the file is `directory` itself
    char limits[LIMITS_TEXT];                      // for the new Kiln
    char self_fd[12], hub[12], optimizer_file[12]; // the same
    const char *name; // for the new program: `path` where that still means the same then, else host_path
    ExecTarget target;
} ExecCall;

// In a new root directory there may be neither /proc nor Kiln: so it is kept open, and handed on to the Kiln that it runs.
static int self_fd = -1;

// -1 where there is none, or not for this task any more.
static int kept_self(void) { return own_fd_is_given(&self_fd) ? -1 : self_fd; }

// ---- vectors of strings -----------------------------------------------------------------------------------------------

// Entries before the NULL of a guest vector, or negative errno. Address 0 is an empty vector.
static long count_vector(uint64_t address) {
    uint64_t entry;
    if (!address) return 0;
    for (long n = 0; n < EXEC_MAX_STRINGS; n++) {
        if (!guest_read(&entry, address + 8 * (uint64_t)n, sizeof entry)) return -EFAULT;
        if (!entry) return n;
    }
    return -E2BIG;
}

// Memory for the vectors of one execve, reused if that fails and there is another.
static char **vector_memory(LinuxThread *t, size_t entries) {
    size_t size = page_up(entries * sizeof(char *));
    if (t->exec_memory && t->exec_memory_size < size) {
        munmap(t->exec_memory, t->exec_memory_size);
        t->exec_memory = NULL;
    }
    if (!t->exec_memory) {
        void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) return NULL;
        t->exec_memory = memory;
        t->exec_memory_size = size;
    }
    return t->exec_memory;
}

static size_t count_strings(char **list) {
    size_t n = 0;
    while (list && list[n]) n++;
    return n;
}

// Tells the new Kiln of a descriptor of this one: the words of the option.
static size_t hand_over(char **list, char *option, int fd, char text[12]) {
    if (fd < 0) return 0;
    snprintf(text, 12, "%d", fd);
    list[0] = option;
    list[1] = text;
    return 2;
}

// Kiln's own argument vector for the program. The guest's strings are not copied: the host's execve reads them.
static long kiln_argv(LinuxThread *t, ExecCall *call, char ***out) {
    LinuxProcess *process = t->process;
    ExecTarget *target = &call->target;
    long argc = count_vector(call->argv);
    if (argc < 0) return argc;
    size_t options = count_strings(process->self_options);
    char **list = vector_memory(t, 1 + options + 12 + target->prefix_count + (size_t)argc + 2);
    if (!list) return -ENOMEM;
    uint64_t argv0 = 0;
    if (argc > 0) guest_read(&argv0, call->argv, sizeof argv0);
    size_t n = 0;
    list[n++] = process->self_path;
    for (size_t i = 0; i < options; i++) list[n++] = process->self_options[i];
    if (limits_text(process, call->limits)) {
        list[n++] = "--limits";
        list[n++] = call->limits;
    }
    n += hand_over(list + n, "--self-fd", kept_self(), call->self_fd);
    n += hand_over(list + n, "--optimizer-hub", optimizer_handed_hub(), call->hub);
    n += hand_over(list + n, "--optimizer-file", optimizer_handed_file(), call->optimizer_file);
    list[n++] = "-0";
    list[n++] = target->prefix_count ? target->prefix[0] : argv0 ? (char *)argv0 : "";
    list[n++] = "--";
    list[n++] = target->prefix_count ? target->name : (char *)call->name;
    for (unsigned i = 1; i < target->prefix_count; i++) list[n++] = target->prefix[i];
    if (argc > 1 && !guest_read(list + n, call->argv + 8, 8 * (size_t)(argc - 1))) return -EFAULT;
    if (argc > 1) n += (size_t)argc - 1;
    list[n] = NULL;
    *out = list;
    return 0;
}

// ---- the path ---------------------------------------------------------------------------------------------------------

static bool names_own_exe(const char *path) {
    char own[40];
    snprintf(own, sizeof own, "/proc/%d/exe", getpid());
    return strcmp(path, "/proc/self/exe") == 0 || strcmp(path, "/proc/thread-self/exe") == 0 || strcmp(path, own) == 0;
}

// A descriptor's file by name, which outlives a close-on-exec descriptor; without a name /proc/self/fd must do.
static void name_descriptor(int fd, char path[PATH_MAX]) {
    char link[40];
    struct stat by_fd, by_name;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n > 0) {
        path[n] = '\0';
        if (fstat(fd, &by_fd) == 0 && stat(path, &by_name) == 0 && by_fd.st_dev == by_name.st_dev && by_fd.st_ino == by_name.st_ino)
            return;
    }
    snprintf(path, PATH_MAX, "%s", link);
}

static long find_path(LinuxThread *t, ExecCall *call) {
    struct stat st;
    call->name = call->host_path;
    long length = guest_read_string(call->path, call->path_address, sizeof call->path);
    if (length < 0) return length;
    if (length == 0 && !(call->flags & AT_EMPTY_PATH)) return -ENOENT;
    if (length == 0) {
        if (fcntl(call->directory, F_GETFD) < 0) return -EBADF;
        call->by_descriptor = true;
        name_descriptor(call->directory, call->host_path);
    } else if (call->path[0] == '/' || call->directory == AT_FDCWD) {
        char buffer[PATH_MAX];
        bool own = names_own_exe(call->path);
        const char *path = own ? t->process->exe_path : call->path;
        if (!own) call->name = call->path;
        snprintf(call->host_path, PATH_MAX, "%s", sysroot_path(t->process, path, !(call->flags & AT_SYMLINK_NOFOLLOW), buffer));
    } else {
        char directory[PATH_MAX];
        if (fstat(call->directory, &st) < 0) return -EBADF;
        if (!S_ISDIR(st.st_mode)) return -ENOTDIR;
        name_descriptor(call->directory, directory);
        int n = snprintf(call->host_path, PATH_MAX, "%s/%s", directory, call->path);
        if (n >= PATH_MAX) return -ENAMETOOLONG;
    }
    bool nofollow = call->flags & AT_SYMLINK_NOFOLLOW;
    return nofollow && lstat(call->host_path, &st) == 0 && S_ISLNK(st.st_mode) ? -ELOOP : 0;
}

// ---- execve -----------------------------------------------------------------------------------------------------------

static long run_native(LinuxThread *t, const ExecCall *call) {
    long r;
    uint64_t soft[2] = {t->process->limit_as.soft, t->process->limit_data.soft};
    limits_exchange(t->process, soft);
    signals_leave_for_exec(t);
    engine_write_out();
    if (call->by_descriptor) r = safe_syscall(t, SYS_execveat, call->directory, "", call->argv, call->envp, call->flags, 0);
    else r = safe_syscall(t, SYS_execve, call->host_path, call->argv, call->envp, 0, 0, 0);
    signals_return_from_exec(t);
    limits_exchange(t->process, soft);
    return r;
}

void exec_keep_self(LinuxProcess *process, int fd) {
    if (self_fd >= 0) return;
    if (fd < 0 && own_fds_are_a_copy()) return;
    if (fd < 0) fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    if (fd < 0) fd = open(process->self_path, O_PATH | O_CLOEXEC);
    if (fd < 0) return;
    self_fd = fd;
    own_fd_keep(&self_fd);
}

// Descriptors that outlive the execve where `kept`.
static void keep_over_exec(bool kept) {
    const int fds[] = {kept_self(), optimizer_handed_hub(), optimizer_handed_file()};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0) fcntl(fds[i], F_SETFD, kept ? 0 : FD_CLOEXEC);
}

static long run_again(LinuxThread *t, char **argv, uint64_t envp) {
    if (kept_self() >= 0) return safe_syscall(t, SYS_execveat, self_fd, "", argv, envp, AT_EMPTY_PATH, 0);
    long r = safe_syscall(t, SYS_execve, "/proc/self/exe", argv, envp, 0, 0, 0);
    return r == -ENOENT ? safe_syscall(t, SYS_execve, t->process->self_path, argv, envp, 0, 0, 0) : r; // no /proc here
}

static long run_kiln(LinuxThread *t, ExecCall *call) {
    char **argv;
    long r = kiln_argv(t, call, &argv);
    if (r < 0) return r;
    signals_leave_for_exec(t);
    engine_write_out();
    keep_over_exec(true);
    r = run_again(t, argv, call->envp);
    keep_over_exec(false);
    signals_return_from_exec(t);
    return r;
}

static long execute(LinuxThread *t, ExecCall *call) {
    LoadError error;
    long r = find_path(t, call);
    if (r < 0) return r;
    if (!exec_resolve(t->process, call->host_path, &call->target, &error)) return -error.error;
    snprintf(call->target.script, PATH_MAX, "%s", call->name);
    bool ours = call->target.machine == t->process->guest->elf_machine;
    if (ours && !elf_check(t->process, &call->target, &error)) return -error.error;
    if (signals_block(t)) return -LINUX_ERESTARTNOINTR;
    r = ours ? run_kiln(t, call) : run_native(t, call);
    return r == -LINUX_ERESTARTSYS ? -LINUX_ERESTARTNOINTR : r; // the kernel may have waited for a lock
}

long sys_execve(LinuxThread *t, const uint64_t args[6]) {
    ExecCall call = {.directory = AT_FDCWD, .path_address = args[0], .argv = args[1], .envp = args[2]};
    return execute(t, &call);
}

long sys_execveat(LinuxThread *t, const uint64_t args[6]) {
    if (args[4] & ~(uint64_t)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) return -EINVAL;
    ExecCall call = {.directory = (int)args[0], .flags = (int)args[4], .path_address = args[1], .argv = args[2], .envp = args[3]};
    return execute(t, &call);
}
