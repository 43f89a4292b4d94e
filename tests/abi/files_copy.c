// SPDX-License-Identifier: MIT
// Moving bytes between descriptors, and locks on files.
// Calls: sendfile splice tee vmsplice copy_file_range flock fcntl ioctl
#include "check.h"
#include <signal.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>

static char text[32];

static bool holds(int fd, const char *expected) {
    memset(text, 0, sizeof text);
    return pread(fd, text, sizeof text - 1, 0) >= 0 && strcmp(text, expected) == 0;
}

static void copying(void) {
    int p[2], q[2], in = open("in", O_RDWR | O_CREAT, 0600), out = open("out", O_RDWR | O_CREAT, 0600);
    CHECK(write(in, "0123456789", 10) == 10 && pipe(p) == 0 && pipe(q) == 0);
    off_t at = 2;
    CHECK(sendfile(out, in, &at, 3) == 3 && at == 5 && holds(out, "234"));
    off_t to = 3;
    at = 7;
    CHECK(copy_file_range(in, &at, out, &to, 10, 0) == 3 && at == 10 && to == 6 && holds(out, "234789"));
    at = 0;
    CHECK(splice(in, &at, p[1], NULL, 4, 0) == 4 && at == 4);
    CHECK(tee(p[0], q[1], 100, 0) == 4);
    CHECK(read(q[0], text, sizeof text) == 4 && memcmp(text, "0123", 4) == 0);
    to = 6;
    CHECK(splice(p[0], NULL, out, &to, 4, 0) == 4 && holds(out, "2347890123"));
    struct iovec io = {(char *)"page", 4};
    CHECK(vmsplice(p[1], &io, 1, 0) == 4 && read(p[0], text, sizeof text) == 4 && memcmp(text, "page", 4) == 0);
    CHECK_ERROR(sendfile(out, 999, NULL, 1), EBADF);
    close(in), close(out), close(p[0]), close(p[1]), close(q[0]), close(q[1]);
}

static void alarmed(int signal) { (void)signal; }

static void locking(void) {
    int fd = open("in", O_RDWR);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2, .l_len = 3};
    CHECK(fcntl(fd, F_SETLK, &lock) == 0);
    pid_t child = fork();
    if (child == 0) {
        struct flock other = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
        bool good = fcntl(fd, F_GETLK, &other) == 0 && other.l_type == F_WRLCK && other.l_pid == getppid() && other.l_start == 2 &&
                    other.l_len == 3;
        other = (struct flock){.l_type = F_RDLCK, .l_whence = SEEK_SET};
        good &= fcntl(fd, F_SETLK, &other) == -1 && (errno == EAGAIN || errno == EACCES);
        struct sigaction action = {.sa_handler = alarmed};
        sigaction(SIGALRM, &action, NULL);
        struct itimerval timer = {.it_value = {0, 30000}};
        setitimer(ITIMER_REAL, &timer, NULL);
        good &= fcntl(fd, F_SETLKW, &other) == -1 && errno == EINTR;
        _exit(good ? 0 : 1);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 20};
    CHECK(fcntl(fd, F_OFD_SETLK, &lock) == 0);
    int other = open("in", O_RDWR);
    CHECK_ERROR(fcntl(other, F_OFD_SETLK, &lock), EAGAIN);
    CHECK(flock(fd, LOCK_EX) == 0);
    CHECK_ERROR(flock(other, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    CHECK(flock(fd, LOCK_UN) == 0 && flock(other, LOCK_SH | LOCK_NB) == 0);
    close(fd), close(other);
}

static void controls(void) {
    int p[2], available = 0;
    struct winsize size = {0};
    CHECK(pipe(p) == 0 && write(p[1], "abcde", 5) == 5);
    CHECK(ioctl(p[0], FIONREAD, &available) == 0 && available == 5);
    int on = 1;
    CHECK(ioctl(p[0], FIONBIO, &on) == 0 && (fcntl(p[0], F_GETFL) & O_NONBLOCK));
    CHECK(ioctl(p[0], FIOCLEX) == 0 && fcntl(p[0], F_GETFD) == FD_CLOEXEC);
    CHECK_ERROR(ioctl(p[0], TIOCGWINSZ, &size), ENOTTY);
    CHECK_ERROR(ioctl(p[0], FIONREAD, bad_address), EFAULT);
    close(p[0]), close(p[1]);
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0) return; // no /dev/ptmx here
    CHECK(grantpt(master) == 0 && unlockpt(master) == 0);
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    CHECK(slave >= 0 && isatty(slave));
    size.ws_row = 33, size.ws_col = 77;
    CHECK(ioctl(master, TIOCSWINSZ, &size) == 0);
    memset(&size, 0, sizeof size);
    CHECK(ioctl(slave, TIOCGWINSZ, &size) == 0 && size.ws_row == 33 && size.ws_col == 77);
    struct termios t;
    CHECK(tcgetattr(slave, &t) == 0 && (t.c_lflag & ECHO) && t.c_cc[VINTR] == 3);
    cfmakeraw(&t);
    CHECK(tcsetattr(slave, TCSANOW, &t) == 0 && tcgetattr(slave, &t) == 0 && !(t.c_lflag & (ECHO | ICANON)));
    CHECK(write(master, "\x03x", 2) == 2 && read(slave, text, 2) == 2 && text[0] == 3);
    close(slave), close(master);
}

int main(void) {
    temporary_enter();
    copying();
    locking();
    controls();
    unlink("in"), unlink("out");
    temporary_leave();
    return check_summary();
}
