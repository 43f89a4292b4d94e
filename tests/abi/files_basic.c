// SPDX-License-Identifier: MIT
// kiln: skip-qemu
// (openat2 is absent there.)
// Opening, reading, writing, descriptors.
// Calls: openat close read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek dup dup3 fcntl pipe2
// Calls: ftruncate truncate fsync fdatasync fallocate fadvise64 openat2 memfd_create close_range sync_file_range readahead
#include "check.h"
#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/uio.h>

static void reading_and_writing(void) {
    char text[32] = "";
    int fd = openat(AT_FDCWD, "file", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    CHECK(fd >= 0);
    CHECK_ERROR(open("file", O_RDWR | O_CREAT | O_EXCL, 0640), EEXIST);
    CHECK(write(fd, "hello, world", 12) == 12);
    CHECK(lseek(fd, 0, SEEK_CUR) == 12 && lseek(fd, -5, SEEK_END) == 7);
    CHECK(read(fd, text, sizeof text) == 5 && memcmp(text, "world", 5) == 0);
    CHECK(read(fd, text, 1) == 0);
    CHECK(pwrite(fd, "H", 1, 0) == 1 && pread(fd, text, 5, 0) == 5 && memcmp(text, "Hello", 5) == 0);
    CHECK(lseek(fd, 0, SEEK_CUR) == 12);
    CHECK_ERROR(lseek(fd, -1, SEEK_SET), EINVAL);
    CHECK_ERROR(pread(fd, bad_address, 4, 0), EFAULT);
    CHECK_ERROR(write(fd, bad_address, 4), EFAULT);
    CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
    CHECK((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR);
    CHECK(close(fd) == 0);
    CHECK_ERROR(close(fd), EBADF);
    CHECK_ERROR(read(-1, text, 1), EBADF);
}

static void vectors(void) {
    char a[4] = "", b[8] = "";
    volatile int bad_count = -1;
    int fd = open("file", O_RDWR);
    struct iovec out[2] = {{(char *)"ab", 2}, {(char *)"cdef", 4}}, in[2] = {{a, 3}, {b, 8}};
    CHECK(writev(fd, out, 2) == 6);
    CHECK(pwritev(fd, out, 2, 6) == 6 && pwritev2(fd, out, 1, 12, 0) == 2);
    lseek(fd, 0, SEEK_SET);
    CHECK(readv(fd, in, 2) == 11 && memcmp(a, "abc", 3) == 0 && memcmp(b, "defabcde", 8) == 0);
    CHECK(preadv(fd, in, 2, 6) == 8 && memcmp(a, "abc", 3) == 0 && memcmp(b, "defab", 5) == 0);
    CHECK(preadv2(fd, in, 1, 1, 0) == 3 && memcmp(a, "bcd", 3) == 0);
    CHECK_ERROR(readv(fd, in, bad_count), EINVAL);
    CHECK_ERROR(writev(fd, bad_address, 1), EFAULT);
    close(fd);
}

static void duplicates(void) {
    int fd = open("file", O_RDONLY), other = dup(fd);
    CHECK(other > fd);
    CHECK(dup3(fd, 77, O_CLOEXEC) == 77 && fcntl(77, F_GETFD) == FD_CLOEXEC);
    CHECK_ERROR(dup3(fd, fd, 0), EINVAL);
    CHECK(fcntl(fd, F_DUPFD, 80) == 80 && fcntl(fd, F_DUPFD_CLOEXEC, 80) == 81);
    CHECK(fcntl(80, F_SETFD, FD_CLOEXEC) == 0 && fcntl(80, F_GETFD) == 1);
    CHECK(lseek(fd, 3, SEEK_SET) == 3 && lseek(other, 0, SEEK_CUR) == 3);
    CHECK(syscall(SYS_close_range, 77u, 81u, 0u) == 0);
    CHECK_ERROR(fcntl(77, F_GETFD), EBADF);
    CHECK_ERROR(fcntl(81, F_GETFD), EBADF);
    CHECK_ERROR(syscall(SYS_close_range, 9u, 8u, 0u), EINVAL);
    CHECK(syscall(SYS_close_range, (unsigned)other, ~0u, 4u) == 0 && fcntl(other, F_GETFD) == FD_CLOEXEC);
    CHECK(syscall(SYS_close_range, (unsigned)other, ~0u, 0u) == 0);
    CHECK_ERROR(close(other), EBADF);
    close(fd);
}

static void pipes(void) {
    int ends[2];
    char text[8];
    CHECK(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    CHECK((fcntl(ends[0], F_GETFL) & O_NONBLOCK) && fcntl(ends[1], F_GETFD) == FD_CLOEXEC);
    CHECK_ERROR(read(ends[0], text, 1), EAGAIN);
    CHECK(write(ends[1], "pipe", 4) == 4 && read(ends[0], text, sizeof text) == 4);
    CHECK(fcntl(ends[0], F_SETPIPE_SZ, 8192) == 8192 && fcntl(ends[1], F_GETPIPE_SZ) == 8192);
    CHECK_ERROR(syscall(SYS_pipe2, bad_address, 0), EFAULT);
    close(ends[1]);
    CHECK(read(ends[0], text, 1) == 0);
    close(ends[0]);
}

static void sizes(void) {
    struct stat st;
    int fd = open("file", O_RDWR);
    CHECK(ftruncate(fd, 5) == 0 && fstat(fd, &st) == 0 && st.st_size == 5);
    CHECK(truncate("file", 9000) == 0 && fstat(fd, &st) == 0 && st.st_size == 9000);
    int error = fallocate(fd, 0, 0, 20000);
    CHECK(error == 0 || errno == EOPNOTSUPP);
    CHECK(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL) == 0);
    CHECK(fsync(fd) == 0 && fdatasync(fd) == 0 && readahead(fd, 0, 4096) == 0);
    CHECK(sync_file_range(fd, 0, 4096, SYNC_FILE_RANGE_WRITE) == 0);
    close(fd);
}

static void flags_of_open(void) {
    CHECK(mkdir("dir", 0755) == 0 && symlink("file", "link") == 0);
    CHECK_ERROR(open("file", O_RDONLY | O_DIRECTORY), ENOTDIR);
    CHECK_ERROR(open("link", O_RDONLY | O_NOFOLLOW), ELOOP);
    CHECK_ERROR(open("dir", O_WRONLY), EISDIR);
    int fd = open("dir", O_RDONLY | O_DIRECTORY);
    CHECK(fd >= 0);
    int below = openat(fd, "new", O_CREAT | O_WRONLY | O_TRUNC, 0600);
    CHECK(below >= 0 && close(below) == 0 && unlinkat(fd, "new", 0) == 0);
    close(fd);
    int path = open("file", O_PATH);
    CHECK(path >= 0);
    CHECK_ERROR(read(path, &fd, 1), EBADF);
    close(path);
    fd = open("file", O_WRONLY | O_APPEND);
    CHECK(fd >= 0 && (fcntl(fd, F_GETFL) & (O_APPEND | O_ACCMODE)) == (O_APPEND | O_WRONLY));
    close(fd);
    fd = open(".", O_TMPFILE | O_RDWR, 0600);
    CHECK(fd >= 0 || errno == EOPNOTSUPP);
    if (fd >= 0) close(fd);
    struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_NO_SYMLINKS};
    CHECK_ERROR(syscall(SYS_openat2, AT_FDCWD, "link", &how, sizeof how), ELOOP);
    how.resolve = 0;
    fd = (int)syscall(SYS_openat2, AT_FDCWD, "link", &how, sizeof how);
    CHECK(fd >= 0 && close(fd) == 0);
    CHECK_ERROR(syscall(SYS_openat, AT_FDCWD, bad_address, 0), EFAULT);
    CHECK_ERROR(open("", O_RDONLY), ENOENT);
    unlink("link");
    rmdir("dir");
}

static void memory_files(void) {
    int fd = memfd_create("name", MFD_ALLOW_SEALING);
    CHECK(fd >= 0 && ftruncate(fd, 100) == 0);
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0 && fcntl(fd, F_GET_SEALS) == F_SEAL_SHRINK);
    CHECK_ERROR(ftruncate(fd, 10), EPERM);
    close(fd);
}

int main(void) {
    temporary_enter();
    reading_and_writing();
    vectors();
    duplicates();
    pipes();
    sizes();
    flags_of_open();
    memory_files();
    unlink("file");
    temporary_leave();
    return check_summary();
}
