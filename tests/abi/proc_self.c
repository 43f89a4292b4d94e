// SPDX-License-Identifier: MIT
// kiln: skip-qemu
// (it hands execve of a guest program to the host kernel.)
// /proc as a program sees itself in it.
// Calls: openat readlinkat newfstatat getdents64 read
#include "check.h"
#include <dirent.h>
#include <elf.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/mman.h>

extern char **environ;

static char text[1 << 18];
static ssize_t read_all(int fd) {
    ssize_t length = 0, n;
    while (fd >= 0 && (n = read(fd, text + length, sizeof text - 1 - (size_t)length)) > 0) length += n;
    text[length] = 0;
    close(fd);
    return length;
}
static ssize_t read_file(const char *name) { return read_all(open(name, O_RDONLY)); }

static void executable(const char *self) {
    char path[4096], by_pid[64], by_link[4096];
    struct stat a, b;
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    CHECK(n > 0 && path[0] == '/');
    path[n > 0 ? n : 0] = 0;
    CHECK(realpath(self, by_link) && strcmp(path, by_link) == 0);
    snprintf(by_pid, sizeof by_pid, "/proc/%d/exe", getpid());
    CHECK(readlink(by_pid, by_link, sizeof by_link) == n && memcmp(path, by_link, (size_t)n) == 0);
    CHECK(readlink("/proc/self/exe", by_link, 3) == 3);
    CHECK(stat("/proc/self/exe", &a) == 0 && stat(self, &b) == 0 && a.st_ino == b.st_ino && a.st_size == b.st_size);
    CHECK(lstat("/proc/self/exe", &a) == 0 && S_ISLNK(a.st_mode));
    CHECK(access("/proc/self/exe", X_OK) == 0);
    ElfW(Ehdr) header;
    int fd = open("/proc/self/exe", O_RDONLY);
    CHECK(read(fd, &header, sizeof header) == sizeof header && memcmp(header.e_ident, ELFMAG, SELFMAG) == 0);
    close(fd);
    const char *base = strrchr(path, '/') + 1;
    CHECK(strstr((const char *)getauxval(AT_EXECFN), base) != NULL);
#ifdef __riscv
    CHECK(header.e_machine == EM_RISCV);
#else
    CHECK(header.e_machine == EM_X86_64);
#endif
}

static void strings(char **argv) {
    ssize_t n = read_file("/proc/self/cmdline");
    CHECK(n == (ssize_t)(strlen(argv[0]) + 1 + strlen(argv[1]) + 1));
    CHECK(strcmp(text, argv[0]) == 0 && strcmp(text + strlen(argv[0]) + 1, argv[1]) == 0);
    n = read_file("/proc/self/environ");
    CHECK(!environ[0] ? n == 0 : strcmp(text, environ[0]) == 0);
    n = read_file("/proc/self/auxv");
    CHECK(n > 0 && n % (ssize_t)sizeof(ElfW(auxv_t)) == 0);
    const ElfW(auxv_t) *a = (const void *)text;
    while (a->a_type != AT_NULL && a->a_type != AT_ENTRY) a++;
    CHECK(a->a_type == AT_ENTRY && a->a_un.a_val == getauxval(AT_ENTRY));
    CHECK_ERROR(open("/proc/self/cmdline", O_RDONLY | O_DIRECTORY), ENOTDIR);
}

// The protection (as in "r-xp") of the mapping that holds an address; the rest of its line in *name.
static const char *mapping_of(const void *address, char *name) {
    static char prot[5];
    for (char *line = text, *next; (next = strchr(line, '\n')) != NULL; line = next + 1) {
        unsigned long start, end;
        name[0] = *next = 0;
        if (sscanf(line, "%lx-%lx %4s %*x %*s %*u %255s", &start, &end, prot, name) < 3) strcpy(prot, "?"), end = 0;
        *next = '\n';
        if (start <= (unsigned long)address && (unsigned long)address < end) return prot;
    }
    return "none";
}

static void maps(void) {
    char name[256];
    int local;
    char *anonymous = mmap(NULL, 3 * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(anonymous + 4096, 4096, PROT_NONE);
    CHECK(read_file("/proc/self/maps") > 0);
    CHECK(strncmp(mapping_of((void *)maps, name), "r-x", 3) == 0 && strstr(name, "proc_self") != NULL);
    CHECK(strcmp(mapping_of(&local, name), "rw-p") == 0 && strcmp(name, "[stack]") == 0);
    CHECK(strcmp(mapping_of(anonymous, name), "r--p") == 0 && name[0] == 0);
    CHECK(strcmp(mapping_of(anonymous + 4096, name), "---p") == 0);
    CHECK(strstr(text, "/kiln") == NULL || strstr(text, "kiln-abi") != NULL);
    sbrk(65536);
    CHECK(read_file("/proc/self/maps") > 0 && strstr(text, "[heap]") != NULL);
    CHECK(read_file("/proc/self/smaps") > 0 && strstr(text, "Rss:") != NULL);
    munmap(anonymous, 3 * 4096);
}

static void statistics(void) {
    int pid = 0, local;
    unsigned long start_of_stack = 0;
    CHECK(read_file("/proc/self/stat") > 0 && sscanf(text, "%d", &pid) == 1 && pid == getpid());
    char *field = strrchr(text, ')') + 2;
    int fields = 3;
    for (; *field; field++)
        if (*field == ' ' && ++fields == 28) sscanf(field, "%lu", &start_of_stack);
    CHECK(fields == 52);
    CHECK(start_of_stack > (unsigned long)&local && start_of_stack - (unsigned long)&local < 1 << 20);
    CHECK(read_file("/proc/cpuinfo") > 0 && strstr(text, "processor") != NULL);
#ifdef __riscv
    CHECK(strstr(text, "rv64") != NULL);
#else
    CHECK(strstr(text, "flags") != NULL);
#endif
}

static void relative(void) {
    int directory = open("/proc/self", O_RDONLY | O_DIRECTORY);
    char a[4096], b[4096];
    ssize_t n = readlink("/proc/self/exe", a, sizeof a);
    CHECK(readlinkat(directory, "exe", b, sizeof b) == n && memcmp(a, b, (size_t)n) == 0);
    CHECK(read_all(openat(directory, "cmdline", O_RDONLY)) > 0 && strstr(text, "proc_self") != NULL);
    close(directory);
}

// The descriptors that the directory shows are those that exist for us.
static void descriptors(void) {
    int shown = 0, wrong = 0;
    DIR *d = opendir("/proc/self/fd");
    CHECK(d != NULL);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        shown++;
        if (fcntl(atoi(e->d_name), F_GETFD) < 0) wrong++;
    }
    int exist = 0;
    for (int fd = 0; fd < 70000; fd++) exist += fcntl(fd, F_GETFD) >= 0;
    CHECK(wrong == 0 && shown == exist);
    closedir(d);
}

int main(int argc, char **argv) {
    if (argc < 2) { // once more with known arguments
        execl(argv[0], argv[0], "argument", (char *)NULL);
        return 1;
    }
    executable(argv[0]);
    strings(argv);
    maps();
    statistics();
    relative();
    descriptors();
    return check_summary();
}
