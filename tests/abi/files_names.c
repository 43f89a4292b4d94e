// SPDX-License-Identifier: MIT
// Names: stat, directories, links, permissions, times, extended attributes.
// Calls: newfstatat fstat statx statfs fstatfs mkdirat unlinkat symlinkat linkat renameat2 readlinkat getdents64 mknodat
// Calls: faccessat faccessat2 fchmod fchmodat fchown fchownat utimensat umask getcwd chdir fchdir setxattr lsetxattr fsetxattr
// Calls: getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr removexattr lremovexattr fremovexattr
// Calls: sync syncfs name_to_handle_at
#include "check.h"
#include <dirent.h>
#include <linux/fs.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

static void make(const char *name, const char *text) {
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
}

// Every field of stat against statx, whose layout is the same everywhere.
static void same_as_statx(int directory, const char *name, int flags) {
    struct stat st;
    struct statx sx;
    CHECK(fstatat(directory, name, &st, flags) == 0);
    CHECK(statx(directory, name, flags, STATX_BASIC_STATS, &sx) == 0);
    CHECK(st.st_ino == sx.stx_ino && st.st_mode == sx.stx_mode && st.st_nlink == sx.stx_nlink);
    CHECK(st.st_dev == makedev(sx.stx_dev_major, sx.stx_dev_minor));
    CHECK(st.st_rdev == makedev(sx.stx_rdev_major, sx.stx_rdev_minor));
    CHECK(st.st_uid == sx.stx_uid && st.st_gid == sx.stx_gid && st.st_size == (off_t)sx.stx_size);
    CHECK(st.st_blocks == (blkcnt_t)sx.stx_blocks && st.st_blksize == (blksize_t)sx.stx_blksize);
    CHECK(st.st_mtim.tv_sec == sx.stx_mtime.tv_sec && st.st_mtim.tv_nsec == (long)sx.stx_mtime.tv_nsec);
    CHECK(st.st_atim.tv_sec == sx.stx_atime.tv_sec && st.st_atim.tv_nsec == (long)sx.stx_atime.tv_nsec);
    CHECK(st.st_ctim.tv_sec == sx.stx_ctime.tv_sec && st.st_ctim.tv_nsec == (long)sx.stx_ctime.tv_nsec);
}

static void status(void) {
    struct stat st, by_fd;
    make("file", "12345");
    CHECK(symlink("file", "link") == 0);
    same_as_statx(AT_FDCWD, "file", 0);
    same_as_statx(AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW);
    same_as_statx(AT_FDCWD, ".", 0);
    same_as_statx(AT_FDCWD, "/dev/null", 0);
    CHECK(lstat("link", &st) == 0 && S_ISLNK(st.st_mode) && st.st_size == 4);
    CHECK(stat("link", &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 5 && st.st_nlink == 1);
    int fd = open("file", O_RDONLY);
    CHECK(syscall(SYS_fstat, fd, &by_fd) == 0 && by_fd.st_ino == st.st_ino && by_fd.st_dev == st.st_dev && by_fd.st_size == 5);
    CHECK(fstatat(fd, "", &st, AT_EMPTY_PATH) == 0 && st.st_ino == by_fd.st_ino);
    close(fd);
    CHECK_ERROR(stat("none", &st), ENOENT);
    CHECK_ERROR(stat("file/none", &st), ENOTDIR);
    CHECK_ERROR(fstat(fd, &st), EBADF);
    CHECK_ERROR(syscall(SYS_newfstatat, AT_FDCWD, "file", bad_address, 0), EFAULT);
    CHECK_ERROR(syscall(SYS_newfstatat, AT_FDCWD, bad_address, &st, 0), EFAULT);
    struct statfs fs;
    int proc = open("/proc", O_RDONLY);
    CHECK(fstatfs(proc, &fs) == 0 && fs.f_type == 0x9fa0 && close(proc) == 0);
    CHECK(statfs("/proc", &fs) == 0 && fs.f_type == 0x9fa0);
    CHECK(statfs(".", &fs) == 0 && fs.f_bsize > 0 && fs.f_namelen >= 255);
    unlink("link");
}

static void directories(void) {
    char name[32], text[2048];
    int seen[40] = {0}, dots = 0, strange = 0;
    CHECK(mkdir("dir", 0700) == 0);
    CHECK_ERROR(mkdir("dir", 0700), EEXIST);
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "dir/entry%d", i);
        make(name, "");
    }
    int fd = open("dir", O_RDONLY | O_DIRECTORY);
    long filled;
    while ((filled = syscall(SYS_getdents64, fd, text, 256)) > 0)
        for (long at = 0; at < filled;) {
            struct dirent64 *entry = (struct dirent64 *)(text + at);
            int number;
            if (sscanf(entry->d_name, "entry%d", &number) == 1) seen[number] += entry->d_type == DT_REG;
            else if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) dots++;
            else strange++;
            at += entry->d_reclen;
        }
    int once = 0;
    for (int i = 0; i < 40; i++) once += seen[i] == 1;
    CHECK(filled == 0 && once == 40 && dots == 2 && strange == 0);
    CHECK_ERROR(syscall(SYS_getdents64, fd, text, 1) + 0 * lseek(fd, 0, SEEK_SET), EINVAL);
    CHECK_ERROR(rmdir("dir"), ENOTEMPTY);
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "entry%d", i);
        CHECK(unlinkat(fd, name, 0) == 0);
    }
    char before[256], after[256];
    CHECK(getcwd(before, sizeof before) && fchdir(fd) == 0 && getcwd(after, sizeof after));
    CHECK(strncmp(before, after, strlen(before)) == 0 && strcmp(after + strlen(before), "/dir") == 0);
    CHECK_ERROR(syscall(SYS_getcwd, after, 2), ERANGE);
    CHECK(chdir("..") == 0);
    close(fd);
    CHECK(unlinkat(AT_FDCWD, "dir", AT_REMOVEDIR) == 0);
}

static void links(void) {
    char text[32] = "";
    struct stat st;
    make("a", "x");
    CHECK(link("a", "b") == 0 && stat("a", &st) == 0 && st.st_nlink == 2);
    CHECK(symlink("some/where", "s") == 0 && readlink("s", text, sizeof text) == 10 && memcmp(text, "some/where", 10) == 0);
    CHECK(readlink("s", text, 4) == 4);
    CHECK_ERROR(readlink("a", text, sizeof text), EINVAL);
    CHECK_ERROR(readlinkat(AT_FDCWD, "s", bad_address, 4), EFAULT);
    CHECK(rename("b", "c") == 0 && access("b", F_OK) == -1 && access("c", R_OK | W_OK) == 0);
    CHECK_ERROR(syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE), EEXIST);
    CHECK(mkfifo("fifo", 0600) == 0 && stat("fifo", &st) == 0 && S_ISFIFO(st.st_mode));
    CHECK(syscall(SYS_faccessat, AT_FDCWD, "a", R_OK) == 0);
    CHECK_ERROR(syscall(SYS_faccessat, AT_FDCWD, "none", F_OK), ENOENT);
    CHECK(syscall(SYS_faccessat2, AT_FDCWD, "a", R_OK, AT_EACCESS) == 0);
    unlink("a"), unlink("c"), unlink("s"), unlink("fifo");
}

static void permissions_and_times(void) {
    struct stat st;
    mode_t old = umask(027);
    CHECK(umask(old) == 027);
    CHECK(chmod("file", 0604) == 0 && stat("file", &st) == 0 && (st.st_mode & 07777) == 0604);
    int fd = open("file", O_RDWR);
    CHECK(fchmod(fd, 0640) == 0 && fstat(fd, &st) == 0 && (st.st_mode & 07777) == 0640);
    CHECK(fchown(fd, getuid(), getgid()) == 0 && chown("file", (uid_t)-1, (gid_t)-1) == 0);
    struct timespec times[2] = {{1000000000, 123456789}, {1100000000, 987654321}};
    CHECK(utimensat(AT_FDCWD, "file", times, 0) == 0 && stat("file", &st) == 0);
    CHECK(st.st_atim.tv_sec == 1000000000 && st.st_mtim.tv_sec == 1100000000);
    CHECK(st.st_atim.tv_nsec == 123456789 && st.st_mtim.tv_nsec == 987654321);
    times[0].tv_nsec = UTIME_OMIT, times[1].tv_nsec = UTIME_NOW;
    CHECK(futimens(fd, times) == 0 && fstat(fd, &st) == 0 && st.st_atim.tv_sec == 1000000000 && st.st_mtim.tv_sec > 1100000000);
    CHECK(syncfs(fd) == 0);
    close(fd);
    sync();
}

static void attributes(void) {
    char text[64];
    if (setxattr("file", "user.kiln", "value", 5, 0) != 0) {
        CHECK(errno == EOPNOTSUPP);
        return;
    }
    CHECK(getxattr("file", "user.kiln", text, sizeof text) == 5 && memcmp(text, "value", 5) == 0);
    CHECK(lgetxattr("file", "user.kiln", NULL, 0) == 5);
    CHECK_ERROR(setxattr("file", "user.kiln", "v", 1, XATTR_CREATE), EEXIST);
    CHECK_ERROR(getxattr("file", "user.none", text, sizeof text), ENODATA);
    CHECK_ERROR(getxattr("file", "user.kiln", text, 2), ERANGE);
    CHECK(listxattr("file", text, sizeof text) >= 10 && llistxattr("file", NULL, 0) >= 10);
    int fd = open("file", O_RDWR);
    CHECK(fsetxattr(fd, "user.two", "2", 1, 0) == 0 && fgetxattr(fd, "user.two", text, sizeof text) == 1);
    CHECK(flistxattr(fd, NULL, 0) >= 19 && fremovexattr(fd, "user.two") == 0);
    CHECK(lsetxattr("file", "user.three", "3", 1, 0) == 0 && lremovexattr("file", "user.three") == 0);
    CHECK(removexattr("file", "user.kiln") == 0);
    CHECK_ERROR(removexattr("file", "user.kiln"), ENODATA);
    close(fd);
}

int main(void) {
    temporary_enter();
    status();
    directories();
    links();
    permissions_and_times();
    attributes();
    unlink("file");
    temporary_leave();
    return check_summary();
}
