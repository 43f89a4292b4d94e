// SPDX-License-Identifier: MIT
// kiln: skip-qemu
// (Most of these are absent there.)
// Calls that few programs make. Where a call needs rights that the test may lack, the error of a harmless wrong use is
// checked instead: it shows that the call arrived with its arguments in order.
// Calls: io_setup io_submit io_getevents io_pgetevents io_cancel io_destroy fchmodat2 cachestat pidfd_open pidfd_getfd
// Calls: umount2 mount pivot_root chroot quotactl acct capget capset setresuid setresgid setreuid setregid setuid setgid
// Calls: setfsuid setfsgid setsid sethostname setdomainname settimeofday adjtimex clock_adjtime add_key request_key keyctl
// Calls: swapon swapoff get_mempolicy set_mempolicy mbind move_pages fanotify_init landlock_create_ruleset fsopen
// Calls: open_tree sched_setscheduler sched_setparam sched_setattr unshare setns process_madvise
// Calls: syslog reboot delete_module ioprio_set name_to_handle_at open_by_handle_at kcmp getitimer
#include "check.h"
#include <linux/aio_abi.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

// Numbers that this C library may not know; they are the same everywhere.
enum { FCHMODAT2 = 452, CACHESTAT = 451 };

static bool fails(long result, int number) { return result == -1 && errno == number; }

// As above, or it was not allowed to us: both say that the call was there.
static bool refused(long result, int number) { return result == -1 && (errno == number || errno == EPERM); }

static void asynchronous(void) {
    aio_context_t context = 0;
    char text[8] = "";
    struct io_event event;
    struct timespec ts = {2, 0};
    int fd = open("file", O_RDWR | O_CREAT, 0600);
    struct iocb write_it = {.aio_lio_opcode = IOCB_CMD_PWRITE,
                            .aio_fildes = (uint32_t)fd,
                            .aio_buf = (uint64_t) "later",
                            .aio_nbytes = 5,
                            .aio_data = 42},
                *list[1] = {&write_it};
    CHECK(syscall(SYS_io_setup, 2, &context) == 0 && syscall(SYS_io_submit, context, 1, list) == 1);
    CHECK(syscall(SYS_io_getevents, context, 1, 1, &event, &ts) == 1 && event.data == 42 && event.res == 5);
    CHECK(pread(fd, text, 8, 0) == 5 && memcmp(text, "later", 5) == 0);
    uint64_t none = 0;
    struct {
        const void *set;
        size_t size;
    } mask = {&none, 8};
    ts.tv_sec = 0;
    CHECK(syscall(SYS_io_pgetevents, context, 0, 1, &event, &ts, &mask) == 0);
    CHECK(fails(syscall(SYS_io_cancel, context, &write_it, &event), EINVAL));
    CHECK(syscall(SYS_io_destroy, context) == 0);
    uint64_t range[2] = {0, 0}, cached[5] = {0};
    long r = syscall(CACHESTAT, fd, range, cached, 0);
    CHECK((r == 0 && cached[0] <= 1) || errno == ENOSYS || errno == EOPNOTSUPP);
    r = syscall(FCHMODAT2, AT_FDCWD, "file", 0640, AT_SYMLINK_NOFOLLOW);
    CHECK(r == 0 || errno == ENOSYS);
    struct {
        unsigned bytes;
        int type;
        unsigned char data[128];
    } handle = {.bytes = 128};
    int mount_id;
    CHECK(syscall(SYS_name_to_handle_at, AT_FDCWD, "file", &handle, &mount_id, 0) == 0 || errno == EOPNOTSUPP);
    CHECK(fails(syscall(SYS_open_by_handle_at, -1, &handle, O_RDONLY), EBADF) || errno == EPERM || errno == ESTALE);
    close(fd);
    unlink("file");
}

static void administration(void) {
    CHECK(refused(syscall(SYS_umount2, "/none", 0), ENOENT));
    CHECK(refused(syscall(SYS_mount, "a", "/none", "b", 0, NULL), ENOENT) || errno == ENODEV);
    CHECK(refused(syscall(SYS_pivot_root, "/none", "/none"), ENOENT));
    CHECK(refused(chroot("/none"), ENOENT) && refused(acct("/none"), ENOENT) && refused(syscall(SYS_swapoff, "/none"), ENOENT));
    CHECK(refused(syscall(SYS_swapon, "/none", 0), ENOENT));
    CHECK(syscall(SYS_quotactl, 0x800002u << 8, "/none", 0, NULL) == -1);
    CHECK(refused(syscall(SYS_sethostname, "x", -1), EINVAL) && refused(syscall(SYS_setdomainname, "x", -1), EINVAL));
    CHECK(refused(syscall(SYS_reboot, 1, 2, 3, 0), EINVAL));
    CHECK(refused(syscall(SYS_delete_module, "none", O_NONBLOCK), ENOENT) || errno == ENOSYS);
    struct timeval bad = {0, 2000000};
    CHECK(fails(syscall(SYS_settimeofday, &bad, NULL), EINVAL) || errno == EPERM);
    struct timex timex = {0};
    CHECK(syscall(SYS_adjtimex, &timex) >= 0 && timex.tick > 0 && clock_adjtime(CLOCK_REALTIME, &timex) >= 0);
    CHECK(syscall(SYS_syslog, 10, NULL, 0) > 0 || errno == EPERM);
    CHECK(refused(syscall(SYS_fanotify_init, ~0u, 0), EINVAL) || errno == ENOSYS);
    CHECK(refused(syscall(SYS_fsopen, "none", 0), ENODEV));
    int fd = (int)syscall(SYS_open_tree, AT_FDCWD, "/", 0);
    CHECK(fd >= 0 && close(fd) == 0);
    CHECK(syscall(SYS_landlock_create_ruleset, NULL, 0, 1) > 0 || errno == EOPNOTSUPP || errno == ENOSYS);
}

static void rights(void) {
    CHECK(syscall(SYS_setresuid, -1, -1, -1) == 0 && syscall(SYS_setresgid, -1, -1, -1) == 0);
    CHECK(syscall(SYS_setreuid, -1, -1) == 0 && syscall(SYS_setregid, -1, -1) == 0);
    CHECK(setuid(getuid()) == 0 && setgid(getgid()) == 0);
    CHECK(syscall(SYS_setfsuid, -1) == (long)geteuid() && syscall(SYS_setfsgid, -1) == (long)getegid());
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    CHECK(syscall(SYS_capget, &header, data) == 0 && syscall(SYS_capset, &header, data) == 0);
    pid_t child = fork();
    if (child == 0) _exit(setsid() == getpid() && getsid(0) == getpid() ? 0 : 1);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    long key = syscall(SYS_add_key, "user", "kiln-test", "secret", 6, -2 /* this process's keyring */);
    char text[16];
    CHECK(key > 0 || errno == ENOSYS || errno == EPERM);
    CHECK(key < 0 || (syscall(SYS_keyctl, 11 /* read */, key, text, sizeof text) == 6 && memcmp(text, "secret", 6) == 0));
    CHECK(syscall(SYS_request_key, "user", "kiln-none", NULL, 0) == -1);
}

static void scheduling(void) {
    struct sched_param parameter = {0};
    CHECK(sched_setscheduler(0, SCHED_OTHER, &parameter) == 0 && sched_setparam(0, &parameter) == 0);
    CHECK(fails(syscall(SYS_sched_setattr, 0, bad_address, 0), EFAULT));
    CHECK(syscall(SYS_ioprio_set, 1, 0, 0) == 0 && syscall(SYS_unshare, 0) == 0);
    CHECK(fails(syscall(SYS_setns, -1, 0), EBADF));
    CHECK(syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 0) == 0 || errno == ENOSYS);
    int p[2], process = (int)syscall(SYS_pidfd_open, getpid(), 0);
    CHECK(process >= 0 && pipe(p) == 0);
    int copy = (int)syscall(SYS_pidfd_getfd, process, p[1], 0);
    CHECK(copy >= 0 && write(copy, "x", 1) == 1 && poll(&(struct pollfd){p[0], POLLIN, 0}, 1, 0) == 1);
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct iovec io = {page, 4096};
    CHECK(syscall(SYS_process_madvise, process, &io, 1, MADV_COLD, 0) == 4096 || errno == EPERM);
    close(copy), close(p[0]), close(p[1]), close(process);
    int mode = -1, place = -1;
    CHECK(syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0) == 0 && mode == 0);
    CHECK(syscall(SYS_set_mempolicy, 0, NULL, 0) == 0 && syscall(SYS_mbind, page, 4096, 0, NULL, 0, 0) == 0);
    *page = 1;
    CHECK(syscall(SYS_move_pages, 0, 1, &page, NULL, &place, 0) == 0 && place >= 0);
}

int main(void) {
    temporary_enter();
    asynchronous();
    administration();
    rights();
    scheduling();
    temporary_leave();
    return check_summary();
}
