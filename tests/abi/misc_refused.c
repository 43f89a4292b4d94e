// SPDX-License-Identifier: MIT
// kiln: skip-qemu
// (it does not know most of them)
// Calls for administrators, asked in a way that is refused, and a few rare ones that work: that they reach the kernel with their arguments.
// Calls: vhangup kexec_load init_module finit_module kexec_file_load setgroups mlockall munlockall mlock2 remap_file_pages
// Calls: migrate_pages fanotify_mark bpf pidfd_send_signal move_mount fsconfig fsmount fspick mount_setattr quotactl_fd
// Calls: landlock_add_rule landlock_restrict_self process_mrelease set_mempolicy_home_node
#include "check.h"
#include <grp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

// Fails with this error, or as those do who may not or cannot at all.
static bool refused(long result, int number) {
    return result == -1 && (errno == number || errno == EPERM || errno == ENOSYS || errno == EOPNOTSUPP);
}

static int in_child(int (*run)(void)) {
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) _exit(run());
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// In a session without a terminal there is nothing to hang up.
static int hang_up(void) { return setsid() > 0 && (syscall(SYS_vhangup) == 0 || errno == EPERM) ? 0 : 1; }

static int change_groups(void) {
    gid_t groups[200];
    int count = getgroups(200, groups);
    if (count < 0 || (setgroups((size_t)count, groups) != 0 && errno != EPERM)) return 1;
    return getgroups(0, NULL) == count ? 0 : 2;
}

static void administration(void) {
    CHECK(in_child(hang_up) == 0);
    CHECK(in_child(change_groups) == 0);
    CHECK(refused(syscall(SYS_kexec_load, 0, 1000, NULL, 0), EINVAL));
    CHECK(refused(syscall(SYS_kexec_file_load, -1, -1, 0, "", ~0ul), EINVAL));
    CHECK(refused(syscall(SYS_init_module, NULL, 0, ""), ENOEXEC));
    CHECK(refused(syscall(SYS_finit_module, -1, "", 0), EBADF));
    CHECK(refused(syscall(SYS_bpf, 9999, NULL, 0), EINVAL));
    CHECK(refused(syscall(SYS_fanotify_mark, -1, 0x80000000, 0, AT_FDCWD, "/"), EINVAL));
    CHECK(refused(syscall(SYS_quotactl_fd, -1, 0, 0, NULL), EBADF));
}

static void mounts(void) {
    CHECK(refused(syscall(SYS_move_mount, -1, "", -1, "", ~0u), EINVAL));
    CHECK(refused(syscall(SYS_fsconfig, -1, 9999, NULL, NULL, 0), EINVAL));
    CHECK(refused(syscall(SYS_fsmount, -1, ~0u, 0), EINVAL));
    CHECK(refused(syscall(SYS_fspick, AT_FDCWD, "/", ~0u), EINVAL));
    CHECK(refused(syscall(SYS_mount_setattr, -1, "", ~0u, NULL, 0), EINVAL));
}

static void landlock(void) {
    CHECK(refused(syscall(SYS_landlock_add_rule, -1, 1, NULL, ~0u), EINVAL));
    CHECK(refused(syscall(SYS_landlock_restrict_self, -1, ~0u), EINVAL));
}

static void memory(void) {
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK_ERROR(mlockall(0), EINVAL);
    CHECK_ERROR(mlock2(page, 4096, 99), EINVAL);
    CHECK(mlock2(page, 4096, MLOCK_ONFAULT) == 0 || errno == EPERM || errno == ENOMEM);
    CHECK(munlockall() == 0);
    CHECK(syscall(SYS_remap_file_pages, page + 1, 4096, 1, 0, 0) == -1);
    CHECK(syscall(SYS_migrate_pages, 0, ~0ul, bad_address, bad_address) == -1);
    CHECK(syscall(SYS_set_mempolicy_home_node, page, 4096, ~0ul, 1) == -1);
    CHECK(refused(syscall(SYS_process_mrelease, -1, 0), EBADF));
}

static volatile sig_atomic_t got, from;
static void on_signal(int signal, siginfo_t *info, void *context) {
    (void)context;
    got = signal, from = info->si_pid;
}

static void signals_by_descriptor(void) {
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
    CHECK(self >= 0 && syscall(SYS_pidfd_send_signal, self, SIGUSR1, NULL, 0) == 0 && got == SIGUSR1 && from == getpid());
    CHECK_ERROR(syscall(SYS_pidfd_send_signal, self, 999, NULL, 0), EINVAL);
    CHECK_ERROR(syscall(SYS_pidfd_send_signal, -1, SIGUSR1, NULL, 0), EBADF);
    close(self);
}

int main(void) {
    administration();
    mounts();
    landlock();
    memory();
    signals_by_descriptor();
    return check_summary();
}
