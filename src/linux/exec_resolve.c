// SPDX-License-Identifier: MIT
//
// What does running this path mean? Follows "#!" lines as Linux does (at most five, one optional argument, 256 bytes) until
// something is no script. An ELF file of our guest's machine is ours; every other file is the host kernel's business.
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "base/error.h"
#include "linux/elf_load.h"
#include "linux/load_error.h"

bool load_error(LoadError *error, int number, const char *format, ...) {
    error->error = number;
    error->exit_code = number == ENOENT || number == ENOTDIR ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
    va_list args;
    va_start(args, format);
    vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    return false;
}

// open failed: what to tell.
static bool open_error(LoadError *error, const char *name, int number) {
    const char *hint = "";
    if (number == ENOENT && !strchr(name, '/')) hint = " (programs are not looked up in PATH: give a path)";
    if (number == EACCES) hint = " (it must be readable and executable, and its directories searchable)";
    return load_error(error, number, "cannot run '%s': %s%s", name, strerror(number), hint);
}

int program_open(const char *path, const char *name, struct stat *st, LoadError *error) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); // a FIFO must not make us wait
    if (fd < 0) return open_error(error, name, errno), -1;
    bool good = false;
    struct statvfs fs;
    if (fstat(fd, st) < 0) open_error(error, name, errno);
    else if (S_ISDIR(st->st_mode)) load_error(error, EACCES, "cannot run '%s': it is a directory", name);
    else if (!S_ISREG(st->st_mode)) load_error(error, EACCES, "cannot run '%s': it is not a regular file", name);
    else if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
        load_error(error, EACCES, "cannot run '%s': it is not executable (chmod +x makes it so)", name);
    else if (fstatvfs(fd, &fs) == 0 && (fs.f_flag & ST_NOEXEC))
        load_error(error, EACCES, "cannot run '%s': its file system is mounted noexec", name);
    else good = true;
    if (good) return fd;
    close(fd);
    return -1;
}

ssize_t read_at(int fd, void *to, size_t size, uint64_t offset) {
    size_t done = 0;
    while (done < size) {
        ssize_t n = pread(fd, (char *)to + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        if (n == 0) break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

// Splits "#! /bin/sh -e\n" in place; false: no interpreter named. *argument is NULL if there is none.
static bool split_script_line(char *line, size_t size, char **interpreter, char **argument) {
    char *end = memchr(line, '\n', size);
    if (!end) end = memchr(line, '\0', size);
    if (!end) end = line + size - 1; // cut at 255 characters, as Linux did before 5.1
    *end = '\0';
    for (char *p = end; p > line + 2 && (p[-1] == ' ' || p[-1] == '\t');) *--p = '\0';
    *interpreter = line + 2 + strspn(line + 2, " \t");
    if (!**interpreter) return false;
    char *gap = strpbrk(*interpreter, " \t");
    *argument = NULL;
    if (!gap) return true;
    *gap = '\0';
    *argument = gap + 1 + strspn(gap + 1, " \t");
    return true;
}

// Puts interpreter and argument before what is in the prefix.
static void add_prefix(ExecTarget *target, char *interpreter, char *argument) {
    unsigned n = argument ? 2 : 1;
    memmove(target->prefix + n, target->prefix, target->prefix_count * sizeof *target->prefix);
    target->prefix[0] = interpreter;
    if (argument) target->prefix[1] = argument;
    target->prefix_count += n;
}

static bool set_path(const LinuxProcess *process, ExecTarget *target, const char *name, LoadError *error) {
    char buffer[PATH_MAX];
    size_t length = strlen(name);
    if (length >= PATH_MAX) return load_error(error, ENAMETOOLONG, "cannot run '%.64s...': file name too long", name);
    memmove(target->name, name, length + 1);
    const char *path = sysroot_path(process, name, true, buffer);
    memmove(target->path, path, strlen(path) + 1);
    return true;
}

// Looks at target->path. 1: a script, one level was resolved; 0: something else, decided; -1: error.
static int resolve_step(const LinuxProcess *process, ExecTarget *target, unsigned depth, LoadError *error) {
    struct stat st;
    int fd = program_open(target->path, target->name, &st, error);
    if (fd < 0) return -1;
    char *head = target->text[depth < EXEC_MAX_SCRIPTS ? depth : 0];
    uint8_t bytes[EXEC_HEAD];
    ssize_t n = read_at(fd, bytes, sizeof bytes, 0);
    close(fd);
    if (n < 0) return load_error(error, EIO, "cannot read '%s': %s", target->name, strerror((int)-n)), -1;
    if (n < 2 || bytes[0] != '#' || bytes[1] != '!') {
        target->machine = elf_machine_of(bytes, (size_t)n);
        return 0;
    }
    if (depth == EXEC_MAX_SCRIPTS)
        return load_error(error, ELOOP, "cannot run '%s': too many scripts that are run by scripts", target->script), -1;
    memset(head, 0, EXEC_HEAD);
    memcpy(head, bytes, (size_t)n);
    char *interpreter, *argument;
    if (!split_script_line(head, EXEC_HEAD, &interpreter, &argument))
        return load_error(error, ENOEXEC, "cannot run '%s': its first line names no interpreter", target->name), -1;
    if (depth == 0) target->prefix[target->prefix_count++] = target->script;
    add_prefix(target, interpreter, argument);
    return set_path(process, target, interpreter, error) ? 1 : -1;
}

bool exec_resolve(const LinuxProcess *process, const char *path, ExecTarget *target, LoadError *error) {
    target->machine = 0;
    target->prefix_count = 0;
    if (!*path) return load_error(error, ENOENT, "cannot run '': the name is empty");
    if (!set_path(process, target, path, error)) return false;
    memcpy(target->script, target->name, sizeof target->script);
    for (unsigned depth = 0;; depth++) {
        int step = resolve_step(process, target, depth, error);
        if (step <= 0) return step == 0;
    }
}
