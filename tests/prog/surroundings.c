// SPDX-License-Identifier: MIT
// Shows a caller what surrounds it: files by name, limits, a full disk, descriptors, the processor. Used by tests/surroundings.py.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PIECE = 4096 };

static int failed(void) { return printf("%s\n", strerrorname_np(errno)), 0; }

// ---- files by name ----------------------------------------------------------------------------------------------------

static int show_file(char **a) {
    char line[200] = "";
    int fd = open(a[0], O_RDONLY);
    if (fd < 0) return failed();
    if (read(fd, line, sizeof line - 1) < 0) return failed();
    return fputs(line, stdout), 0;
}

static int show_link(char **a) {
    char target[4096];
    ssize_t n = readlink(a[0], target, sizeof target);
    return n < 0 ? failed() : (printf("%.*s\n", (int)n, target), 0);
}

static int show_kind(char **a) {
    struct stat follow, own;
    if (lstat(a[0], &own) < 0) return failed();
    const char *kind = S_ISLNK(own.st_mode) ? "link" : S_ISDIR(own.st_mode) ? "folder" : "file";
    return printf("%s %s\n", kind,
                  stat(a[0], &follow) < 0   ? strerrorname_np(errno)
                  : S_ISDIR(follow.st_mode) ? "folder"
                                            : "file"),
           0;
}

static int make_file(char **a) {
    int fd = open(a[0], O_WRONLY | O_CREAT | O_EXCL, 0666);
    return fd < 0 || write(fd, "made\n", 5) != 5 ? failed() : puts("made");
}

static int change_directory(char **a) { return chdir(a[0]) < 0 ? failed() : show_file(a + 1); }

// ROOT PROGRAM...: with another root directory.
static int execute_in(char **a) {
    fflush(stdout);
    if (chroot(a[0]) < 0 || chdir("/") < 0) return failed();
    execv(a[1], a + 1);
    return failed();
}

static int execute(char **a) {
    fflush(stdout);
    execv(a[0], a);
    return failed();
}

// All of argv.
static int show_arguments(char **a) {
    for (a -= 2; *a; a++) printf("[%s]", *a);
    return puts("");
}

// ---- limits -----------------------------------------------------------------------------------------------------------

static int resource_named(const char *name) { return *name == 's' ? RLIMIT_STACK : *name == 'v' ? RLIMIT_AS : RLIMIT_DATA; }

// limit s|v|d KIB PROGRAM...: sets the soft limit and executes.
static int limit(char **a) {
    struct rlimit r;
    getrlimit(resource_named(a[0]), &r);
    r.rlim_cur = strtoul(a[1], NULL, 0) << 10;
    return setrlimit(resource_named(a[0]), &r) < 0 ? failed() : execute(a + 2);
}

static int show_limits(char **a) {
    for (; *a; a++) {
        struct rlimit r;
        getrlimit(resource_named(*a), &r);
        printf("%s %lld\n", *a, r.rlim_cur == RLIM_INFINITY ? -1ll : (long long)(r.rlim_cur >> 10));
    }
    return 0;
}

// Maps KIB.
static int allocate(char **a) {
    size_t size = strtoul(a[0], NULL, 0) << 10;
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return failed();
    for (size_t i = 0; i < size; i += PIECE) p[i] = 1;
    return puts("mapped");
}

// ---- no room ----------------------------------------------------------------------------------------------------------

static void note(int signal) { dprintf(STDOUT_FILENO, "signal %d\n", signal), _exit(0); }
static void go_on(int signal) { dprintf(STDOUT_FILENO, "signal %d\n", signal); }

// Writes until it cannot, then says what is there.
static int fill(char **a) {
    char piece[PIECE];
    memset(piece, 'x', sizeof piece);
    if (a[1]) signal(SIGXFSZ, *a[1] == 'h' ? go_on : SIG_IGN);
    int fd = open(a[0], O_RDWR | O_CREAT | O_TRUNC, 0666), error = 0;
    if (fd < 0) return failed();
    for (ssize_t n; (n = write(fd, piece, sizeof piece)) != 0;)
        if (n < 0) {
            error = errno;
            break;
        }
    struct stat st;
    fstat(fd, &st);
    return printf("%s after %lld\n", strerrorname_np(error), (long long)st.st_size), 0;
}

// A store, and a system call, into a page of a file for which the disk has no room.
static int map_without_room(char **a) {
    int fd = open(a[0], O_RDWR | O_CREAT | O_TRUNC, 0666), pipes[2];
    if (fd < 0 || ftruncate(fd, 64 << 20) < 0 || pipe(pipes) < 0) return failed();
    char *p = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) return failed();
    size_t at = 0;
    char byte[1] = {1};
    for (; at < 64 << 20; at += PIECE) { // the kernel's store first: it fails where the program would die
        if (write(pipes[1], byte, 1) != 1) return failed();
        if (read(pipes[0], p + at, 1) == 1) continue;
        printf("%s\n", strerrorname_np(errno));
        fflush(stdout);
        break;
    }
    signal(SIGBUS, note);
    *(volatile char *)(p + at) = 1;
    return puts("no signal");
}

// ---- descriptors, processor -------------------------------------------------------------------------------------------

static int show_descriptors(char **a) {
    (void)a;
    for (int fd = 0; fd < 70000; fd++)
        if (fcntl(fd, F_GETFD) >= 0) printf("%d ", fd);
    printf("| ");
    DIR *folder = opendir("/proc/self/fd");
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(folder)) printf("%s ", entry->d_name);
    return puts("");
}

// Closes all there are, then goes on with its log.
static int close_all(char **a) {
    for (int fd = 3; fd < 70000; fd++) close(fd);
    syscall(SYS_close_range, 3u, ~0u, 0);
    return show_descriptors(a);
}

static int show_processor(char **a) {
    (void)a;
    struct {
        int64_t key;
        uint64_t value;
    } pair = {4, 0}; // RISCV_HWPROBE_KEY_IMA_EXT_0
    syscall(258, &pair, 1, 0, NULL, 0);
    char line[300];
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "isa", 3) == 0) break;
    return printf("%lx %llx %s", getauxval(AT_HWCAP), (unsigned long long)pair.value, strchr(line, ':') + 2), 0;
}

static const struct {
    const char *name;
    int arguments;
    int (*run)(char **a);
} modes[] = {
    {"file", 1, show_file},       {"link", 1, show_link},       {"kind", 1, show_kind},    {"make", 1, make_file},
    {"cd", 2, change_directory},  {"exec", 1, execute},         {"chroot", 2, execute_in}, {"args", 0, show_arguments},
    {"limit", 3, limit},          {"limits", 0, show_limits},   {"allocate", 1, allocate}, {"fill", 1, fill},
    {"map", 1, map_without_room}, {"fds", 0, show_descriptors}, {"close", 0, close_all},   {"cpu", 0, show_processor},
};

int main(int argc, char **argv) {
    for (unsigned i = 0; argc > 1 && i < sizeof modes / sizeof *modes; i++)
        if (strcmp(argv[1], modes[i].name) == 0 && argc >= 2 + modes[i].arguments) return modes[i].run(argv + 2) < 0;
    return 2;
}
