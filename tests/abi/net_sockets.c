// SPDX-License-Identifier: MIT
// kiln: skip-qemu
// (it makes a stream of a socket type that does not exist.)
// Sockets: local ones and the loopback.
// Calls: socket socketpair bind listen accept accept4 connect getsockname getpeername sendto recvfrom sendmsg recvmsg
// Calls: sendmmsg recvmmsg setsockopt getsockopt shutdown read write
#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>

static char text[64];

static void pairs(void) {
    int s[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) == 0 && fcntl(s[0], F_GETFD) == FD_CLOEXEC);
    CHECK(send(s[0], "hello", 5, 0) == 5 && recv(s[1], text, sizeof text, MSG_PEEK) == 5);
    CHECK(recv(s[1], text, 2, 0) == 2 && recv(s[1], text, sizeof text, 0) == 3 && memcmp(text, "llo", 3) == 0);
    CHECK_ERROR(recv(s[1], text, 1, MSG_DONTWAIT), EAGAIN);
    struct timeval tv = {0, 20000};
    socklen_t size = sizeof tv;
    CHECK(setsockopt(s[1], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv) == 0);
    CHECK(getsockopt(s[1], SOL_SOCKET, SO_RCVTIMEO, &tv, &size) == 0 && tv.tv_sec == 0 && size == sizeof tv);
    CHECK_ERROR(recv(s[1], text, 1, 0), EAGAIN);
    CHECK(shutdown(s[0], SHUT_WR) == 0 && recv(s[1], text, 1, 0) == 0);
    struct ucred credentials;
    size = sizeof credentials;
    CHECK(getsockopt(s[0], SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0 && credentials.pid == getpid());
    close(s[0]);
    CHECK_ERROR(send(s[1], "x", 1, MSG_NOSIGNAL), EPIPE);
    close(s[1]);
    CHECK_ERROR(socketpair(AF_INET, SOCK_STREAM, 0, s), EOPNOTSUPP);
    CHECK_ERROR(socket(AF_UNIX, 99, 0), EINVAL);
}

// A descriptor and credentials through a local socket.
static void passing(void) {
    int s[2], p[2], on = 1;
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0 && pipe(p) == 0);
    CHECK(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
    union {
        char bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
        struct cmsghdr align;
    } control = {0};
    struct iovec io = {(char *)"msg", 3};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(sizeof(int))};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
    memcpy(CMSG_DATA(c), &p[1], sizeof(int));
    CHECK(sendmsg(s[0], &m, 0) == 3);
    memset(&control, 0, sizeof control);
    io.iov_base = text;
    m.msg_controllen = sizeof control;
    CHECK(recvmsg(s[1], &m, MSG_CMSG_CLOEXEC) == 3);
    int received = -1;
    bool credentials = false;
    for (c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_type == SCM_RIGHTS) memcpy(&received, CMSG_DATA(c), sizeof received);
        if (c->cmsg_type == SCM_CREDENTIALS) credentials = ((struct ucred *)CMSG_DATA(c))->pid == getpid();
    }
    CHECK(credentials && received >= 0 && fcntl(received, F_GETFD) == FD_CLOEXEC);
    CHECK(write(received, "via", 3) == 3 && read(p[0], text, 3) == 3 && memcmp(text, "via", 3) == 0);
    close(received), close(p[0]), close(p[1]), close(s[0]), close(s[1]);
}

static void named(void) {
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "socket"}, peer;
    socklen_t size = sizeof peer;
    int server = socket(AF_UNIX, SOCK_SEQPACKET, 0), client = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
    CHECK_ERROR(connect(client, (struct sockaddr *)&a, sizeof a), ENOENT);
    CHECK(bind(server, (struct sockaddr *)&a, sizeof a) == 0 && listen(server, 1) == 0);
    CHECK(getsockname(server, (struct sockaddr *)&peer, &size) == 0 && strcmp(peer.sun_path, "socket") == 0);
    CHECK(connect(client, (struct sockaddr *)&a, sizeof a) == 0);
    size = sizeof peer;
    int connection = accept(server, (struct sockaddr *)&peer, &size);
    CHECK(connection >= 0 && size == offsetof(struct sockaddr_un, sun_path) && peer.sun_family == AF_UNIX);
    CHECK(write(client, "one", 3) == 3 && write(client, "two", 3) == 3);
    CHECK(read(connection, text, sizeof text) == 3 && read(connection, text, 2) == 2);
    CHECK(unlink("socket") == 0);
    close(server), close(client), close(connection);
}

static int listening(struct sockaddr_in *a) {
    socklen_t size = sizeof *a;
    int server = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    *a = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
    CHECK(bind(server, (struct sockaddr *)a, sizeof *a) == 0 && listen(server, 4) == 0);
    CHECK(getsockname(server, (struct sockaddr *)a, &size) == 0 && a->sin_port != 0);
    return server;
}

static void streams(void) {
    struct sockaddr_in a, peer;
    socklen_t size = sizeof peer;
    int server = listening(&a), client = socket(AF_INET, SOCK_STREAM, 0), on = 1, type = 0, available;
    CHECK(connect(client, (struct sockaddr *)&a, sizeof a) == 0);
    int connection = accept4(server, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC);
    CHECK(connection >= 0 && size == sizeof peer && peer.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
    size = sizeof a;
    CHECK(getpeername(connection, (struct sockaddr *)&a, &size) == 0 && a.sin_port == peer.sin_port);
    CHECK(setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    size = sizeof type;
    CHECK(getsockopt(client, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM && size == 4);
    CHECK(write(client, "stream", 6) == 6 && recv(connection, text, 6, MSG_WAITALL) == 6);
    CHECK(write(connection, "abc", 3) == 3 && recv(client, text, 1, MSG_PEEK) == 1);
    CHECK(ioctl(client, FIONREAD, &available) == 0 && available == 3);
    CHECK_ERROR(getsockopt(client, SOL_SOCKET, SO_TYPE, bad_address, &size), EFAULT);
    close(connection), close(client), close(server);
    CHECK_ERROR(accept(server, NULL, NULL), EBADF);
}

static void datagrams(void) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, from;
    socklen_t size = sizeof a;
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(bind(s, (struct sockaddr *)&a, sizeof a) == 0 && getsockname(s, (struct sockaddr *)&a, &size) == 0);
    CHECK(sendto(s, "datagram", 8, 0, (struct sockaddr *)&a, sizeof a) == 8);
    size = sizeof from;
    CHECK(recvfrom(s, text, sizeof text, 0, (struct sockaddr *)&from, &size) == 8 && from.sin_port == a.sin_port);
    struct iovec io[2] = {{(char *)"a", 1}, {(char *)"bc", 2}};
    struct mmsghdr m[2] = {{.msg_hdr = {&a, sizeof a, &io[0], 1, 0, 0, 0}}, {.msg_hdr = {&a, sizeof a, &io[1], 1, 0, 0, 0}}};
    CHECK(sendmmsg(s, m, 2, 0) == 2 && m[0].msg_len == 1 && m[1].msg_len == 2);
    io[0] = (struct iovec){text, 8}, io[1] = (struct iovec){text + 8, 8};
    CHECK(recvmmsg(s, m, 2, 0, NULL) == 2 && m[1].msg_len == 2 && memcmp(text + 8, "bc", 2) == 0);
    close(s);
}

static void alarmed(int signal) { (void)signal; }

// Waiting calls are ended by a handler without SA_RESTART, and go on with it.
static void interrupted(void) {
    struct sockaddr_in a;
    int server = listening(&a), s[2];
    struct sigaction action = {.sa_handler = alarmed};
    struct itimerval timer = {.it_value = {0, 30000}};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    CHECK_ERROR(accept(server, NULL, NULL), EINTR);
    setitimer(ITIMER_REAL, &timer, NULL);
    CHECK_ERROR(recv(s[0], text, 1, 0), EINTR);
    action.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &action, NULL);
    pid_t child = fork();
    if (child == 0) {
        usleep(80000);
        _exit(write(s[1], "z", 1) == 1 ? 0 : 1);
    }
    setitimer(ITIMER_REAL, &timer, NULL);
    CHECK(recv(s[0], text, 1, 0) == 1 && text[0] == 'z');
    CHECK(waitpid(child, NULL, 0) == child);
    close(server), close(s[0]), close(s[1]);
}

int main(void) {
    temporary_enter();
    pairs();
    passing();
    named();
    streams();
    datagrams();
    interrupted();
    temporary_leave();
    return check_summary();
}
