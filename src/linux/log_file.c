// SPDX-License-Identifier: MIT
#include "linux/log_file.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "base/error.h"
#include "linux/own_fd.h"
#include "linux/signal.h"

static struct {
    int fd;
    bool full; // it ends here
} file = {.fd = -1};

// write(2), whose SIGXFSZ would be the guest's.
static ssize_t write_without_signal(int fd, const char *text, size_t size) {
    uint64_t signal = signal_bit(SIGXFSZ), old = host_signal_mask(SIG_BLOCK, signal);
    ssize_t n = write(fd, text, size);
    int error = errno;
    struct timespec now = {0};
    if (n < 0 && error == EFBIG) host_syscall(SYS_rt_sigtimedwait, &signal, NULL, &now, LINUX_SIGSET_SIZE, 0, 0);
    if (!(old & signal)) host_signal_mask(SIG_UNBLOCK, signal);
    errno = error;
    return n;
}

void log_file_write(int fd, const char *text, size_t size) {
    while (size > 0 && !__atomic_load_n(&file.full, __ATOMIC_RELAXED)) {
        ssize_t n = write_without_signal(fd, text, size);
        if (n >= 0) text += n, size -= (size_t)n;
        else if (errno != EINTR && !__atomic_exchange_n(&file.full, true, __ATOMIC_RELAXED))
            warning("the log ends here: %s", strerror(errno));
    }
}

// Nothing is an error to the stream: it would keep what it could not write.
static ssize_t write_stream(void *cookie, const char *text, size_t size) {
    const int *fd = cookie;
    if (*fd >= 0 && !own_fd_is_given(fd)) log_file_write(*fd, text, size);
    return (ssize_t)size;
}

FILE *log_file_stream(int fd) {
    file.fd = fd;
    FILE *stream = fopencookie(&file.fd, "a", (cookie_io_functions_t){.write = write_stream});
    if (!stream) return NULL;
    setvbuf(stream, NULL, _IOLBF, 0); // whole lines: several processes may write
    own_fd_keep(&file.fd);
    return stream;
}

int log_file_fd(void) { return file.fd; }
