// SPDX-License-Identifier: MIT
//
// The system-call layer called directly, without a guest program: what the translated structures look like, what Kiln
// hides, what /proc shows, and that every row of the table is in order. No cpu runs, so guest memory is our own memory.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "engine/internal.h"
#include "linux/memory.h"
#include "linux/own_fd.h"
#include "linux/path.h"
#include "linux/procfs.h"
#include "linux/strace_names.h"
#include "linux/syscall.h"

static int passed, failed;
static void check_at(bool good, const char *what, int line) {
    if (good) passed++;
    else {
        failed++;
        printf("FAIL line %d: %s\n", line, what);
    }
}
#define CHECK(condition) check_at((condition), #condition, __LINE__)

// Numbers of the generic table.
enum {
    G_EPOLL_CREATE1 = 20,
    G_EPOLL_CTL = 21,
    G_EPOLL_PWAIT = 22,
    G_EVENTFD2 = 19,
    G_DUP3 = 24,
    G_FACCESSAT = 48,
    G_OPENAT = 56,
    G_CLOSE = 57,
    G_GETDENTS64 = 61,
    G_READ = 63,
    G_READLINKAT = 78,
    G_NEWFSTATAT = 79,
    G_FSTAT = 80,
    G_UNAME = 160,
    G_SEMGET = 190,
    G_SEMCTL = 191,
    G_CLOSE_RANGE = 436
};

static uint64_t no_number(const Cpu *unused) { return (void)unused, 0; }
static Guest guest = {.linux_abi = {.machine = "guest64", .page_size = 4096, .syscall_number = no_number}};
static Engine engine; // logs nothing
static LinuxProcess process = {.engine = &engine, .guest = &guest, .exe_path = "/etc/passwd", .release = "9.8.7"};
static Cpu cpu;
static LinuxThread thread = {.process = &process, .cpu = &cpu};

static long call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f) {
    uint64_t args[6] = {a, b, c, d, e, f};
    return syscall_dispatch(&thread, number, args);
}
#define CALL6(number, a, b, c, d, e, f, ...)                                                                                       \
    call((number), (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), (uint64_t)(e), (uint64_t)(f))
#define CALL(...) CALL6(__VA_ARGS__, 0, 0, 0, 0, 0, 0)

static void rows(void) {
    unsigned count = 0;
    for (uint64_t number = 0; number < 1000; number++) {
        const SyscallRow *row = syscall_row(number);
        if (!row) continue;
        count++;
        bool good = row->how == SYSCALL_CALL     ? row->handler != NULL
                    : row->how == SYSCALL_ABSENT ? row->reason != NULL
                                                 : row->host >= 0 && !row->handler;
        if (!good) printf("FAIL row %s\n", row->name);
        CHECK(good);
    }
    CHECK(count > 300);
    CHECK(!syscall_row(~UINT64_C(0)) && !syscall_row(244) && CALL(5000) == -ENOSYS && CALL(42) == -ENOSYS);
}

static void structures(void) {
    struct {
        uint64_t dev, ino;
        uint32_t mode, nlink, uid, gid;
        uint64_t rdev, gap;
        int64_t size;
        char rest[72];
    } st = {0};
    CHECK(CALL(G_NEWFSTATAT, AT_FDCWD, "/dev/null", &st, 0) == 0 && (st.mode & 0170777) == 020666 && st.rdev == 0x103);
    CHECK(CALL(G_FSTAT, -1, &st) == -EBADF && CALL(G_NEWFSTATAT, AT_FDCWD, "/", 8, 0) == -EFAULT);
    struct {
        uint32_t events, gap;
        uint64_t data;
    } in = {1, 0, 0x1122334455667788}, out[3] = {0};
    long epoll = CALL(G_EPOLL_CREATE1, 0), event = CALL(G_EVENTFD2, 1, 0);
    CHECK(CALL(G_EPOLL_CTL, epoll, 1, event, &in) == 0 && CALL(G_EPOLL_PWAIT, epoll, out, 3, 0, 0, 8) == 1);
    CHECK(out[0].events == 1 && out[0].data == 0x1122334455667788 && out[1].data == 0);
    close((int)epoll), close((int)event);
    char name[6][65];
    CHECK(CALL(G_UNAME, name) == 0 && strcmp(name[4], "guest64") == 0 && strcmp(name[2], "9.8.7") == 0);
    uint64_t ds[12] = {0};
    ds[11] = 0x55;
    long id = CALL(G_SEMGET, 0, 7, 01600);
    CHECK(id >= 0 && CALL(G_SEMCTL, id, 0, 2, ds) == 0 && ds[8] == 7 && ds[7] > 1000000 && ds[11] == 0x55);
    CHECK(CALL(G_SEMCTL, id, 0, 0) == 0);
}

static bool lists(const char *directory, int wanted) {
    static char buffer[4096];
    bool found = false;
    long fd = CALL(G_OPENAT, AT_FDCWD, directory, O_RDONLY | O_DIRECTORY), filled;
    while ((filled = CALL(G_GETDENTS64, fd, buffer, 80)) > 0)
        for (long at = 0; at < filled; at += *(uint16_t *)(buffer + at + 16)) {
            const char *entry = buffer + at + 19;
            if (entry[0] != '.' && atoi(entry) == wanted) found = true;
        }
    close((int)fd);
    return found;
}

static void own_descriptors(void) {
    char name[64];
    int fd = open("/dev/null", O_RDWR);
    CHECK(own_fd_keep(&fd) && fd >= 64 && own_fd_is((uint64_t)fd) && own_fd_next(0) == fd);
    int first = fd;
    CHECK(CALL(G_CLOSE, fd) == -EBADF && CALL(G_READ, fd, name, 1) == -EBADF);
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    CHECK(CALL(G_FACCESSAT, AT_FDCWD, name, 0) == -ENOENT && access(name, F_OK) == 0);
    CHECK(lists("/proc/self/fd", 0) && !lists("/proc/self/fd", fd) && !lists("/proc/thread-self/fdinfo", fd));
    CHECK(CALL(G_DUP3, 0, fd, O_CLOEXEC) == first && fd != first && own_fd_is((uint64_t)fd));
    CHECK(fcntl(first, F_GETFD) >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
    CHECK(CALL(G_CLOSE_RANGE, first, ~0u, 0) == 0 && fcntl(first, F_GETFD) < 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
    // A task with a copy of the table loses what it claims, and its memory's owner does not.
    int kept = fd, more = open("/dev/null", O_RDWR);
    OwnFdState before = own_fds_copied(true);
    CHECK(own_fds_are_a_copy() && !own_fd_keep(&more) && own_fd_is((uint64_t)kept));
    CHECK(own_fd_yield(kept) && fd == kept && !own_fd_is((uint64_t)kept) && own_fd_is_given(&fd) && own_fd_next(0) == -1);
    own_fds_restore(before);
    CHECK(!own_fds_are_a_copy() && own_fd_is((uint64_t)kept) && !own_fd_is_given(&fd) && own_fd_next(0) == kept);
    close(more);
    own_fd_close(&fd);
    CHECK(fd == -1 && own_fd_next(0) == -1);
}

static bool shows(const char *file, const char *expected, size_t size) {
    static char text[1 << 16];
    long fd = CALL(G_OPENAT, AT_FDCWD, file, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read((int)fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = 0;
    if (fd >= 0) close((int)fd);
    return size ? n == (ssize_t)size && memcmp(text, expected, size) == 0 : strstr(text, expected) != NULL;
}

static void proc(void) {
    static const char arguments[] = "program\0one\0two", environment[] = "A=1\0B=2";
    char text[64] = "", name[64];
    process.arg_start = (uint64_t)arguments, process.arg_end = process.arg_start + sizeof arguments;
    process.env_start = (uint64_t)environment, process.env_end = process.env_start + sizeof environment;
    snprintf(name, sizeof name, "/proc/%d/task/%d/cmdline", getpid(), getpid());
    CHECK(shows("/proc/self/cmdline", arguments, sizeof arguments) && shows(name, arguments, sizeof arguments));
    CHECK(shows("/proc/thread-self/environ", environment, sizeof environment));
    CHECK(shows("/proc/self/stat", ") R ", 0) && shows("/proc/cpuinfo", "guest64", 0));
    CHECK(shows("/proc/self/exe", "root:", 0) && !shows("/proc/1/cmdline", "program", 0));
    CHECK(CALL(G_READLINKAT, AT_FDCWD, "/proc/self/exe", text, 64) == 11 && strcmp(text, "/etc/passwd") == 0);
    CHECK(CALL(G_READLINKAT, AT_FDCWD, "/proc/self/exe", text, 0) == -EINVAL);
    int directory = open("/proc/self", O_RDONLY | O_DIRECTORY);
    CHECK(CALL(G_READLINKAT, directory, "exe", text, 64) == 11);
    close(directory);
    CHECK(CALL(G_OPENAT, AT_FDCWD, "/proc/self/maps", O_RDWR) == -EACCES);
    CHECK(procfs_find("/proc/1/exe") == PROC_NONE && procfs_find("/proc/self/maps2") == PROC_NONE);
}

// What lies under the sysroot hides what lies at the root; a string that ends with its page is read, one beyond is not.
static void paths(void) {
    char root[] = "/tmp/kiln-root-XXXXXX", name[64], buffer[PATH_MAX];
    uint64_t host;
    CHECK(mkdtemp(root) != NULL);
    snprintf(name, sizeof name, "%s/file", root);
    close(open(name, O_CREAT | O_WRONLY, 0600));
    process.sysroot = root;
    CHECK(path_translate(&thread, AT_FDCWD, (uint64_t) "/file", true, buffer, &host) == 0);
    CHECK(host == (uint64_t)buffer && strcmp(buffer, name) == 0);
    CHECK(CALL(G_FACCESSAT, AT_FDCWD, "/file", 0) == 0 && CALL(G_FACCESSAT, AT_FDCWD, "/etc/passwd", 0) == 0);
    process.sysroot = NULL;
    CHECK(CALL(G_FACCESSAT, AT_FDCWD, "/file", 0) == -ENOENT);
    unlink(name), rmdir(root);
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(pages + 4096, 4096, PROT_NONE);
    strcpy(pages + 4096 - 5, "/etc");
    CHECK(CALL(G_FACCESSAT, AT_FDCWD, pages + 4096 - 5, 0) == 0);
    pages[4095] = 'x';
    CHECK(CALL(G_FACCESSAT, AT_FDCWD, pages + 4096 - 5, 0) == -EFAULT && CALL(G_OPENAT, AT_FDCWD, 8, 0) == -EFAULT);
    CHECK(guest_read_string(buffer, (uint64_t) "abc", 3) == -ENAMETOOLONG);
    munmap(pages, 8192);
}

static bool bits(unsigned table, uint64_t value, const char *expected) {
    char text[256];
    name_bits(text, sizeof text, table, value);
    if (strcmp(text, expected) != 0) printf("%s, not %s\n", text, expected);
    return strcmp(text, expected) == 0;
}

static bool value(unsigned table, uint64_t number, const char *expected) {
    char text[256];
    name_value(text, sizeof text, table, number);
    if (strcmp(text, expected) != 0) printf("%s, not %s\n", text, expected);
    return strcmp(text, expected) == 0;
}

static void names(void) {
    CHECK(bits(TABLE_OPEN, O_RDONLY | O_CLOEXEC, "O_RDONLY|O_CLOEXEC") && bits(TABLE_OPEN, O_RDWR | O_SYNC, "O_RDWR|O_SYNC"));
    CHECK(bits(TABLE_OPEN, O_WRONLY | O_TMPFILE, "O_WRONLY|O_TMPFILE") && bits(TABLE_OPEN, 0, "O_RDONLY"));
    CHECK(bits(TABLE_PROT, 0, "0") && bits(TABLE_PROT, 7, "PROT_READ|PROT_WRITE|PROT_EXEC") && bits(TABLE_ACCESS, 0, "F_OK"));
    CHECK(bits(TABLE_CLONE, 17, "SIGCHLD") && bits(TABLE_CLONE, 0x4111, "SIGCHLD|CLONE_VM|CLONE_VFORK"));
    CHECK(bits(TABLE_SOCKET, 1 | 02000000, "SOCK_STREAM|SOCK_CLOEXEC") && bits(TABLE_PROT, 0x101, "PROT_READ|0x100"));
    CHECK(value(TABLE_FUTEX, 128, "FUTEX_WAIT_PRIVATE") && value(TABLE_FUTEX, 1, "FUTEX_WAKE"));
    CHECK(value(TABLE_IOCTL, 0x5413, "TIOCGWINSZ") && value(TABLE_SEEK, 77, "77") && value(TABLE_CLOCK, 1, "CLOCK_MONOTONIC"));
    CHECK(strcmp(signal_name(11), "SIGSEGV") == 0 && strcmp(signal_name(33), "SIGRT_1") == 0);
}

int main(void) {
    memory_init(GUEST_AREA_HIGH);
    rows();
    structures();
    own_descriptors();
    proc();
    paths();
    names();
    printf("%d passed, %d failed\n", passed, failed);
    return failed ? 1 : 0;
}
