// SPDX-License-Identifier: MIT
//
// The remote serial protocol's outside: the socket, frames `$text#checksum`, escapes, hexadecimal, signal numbers.
#include "debug/gdb_internal.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

// ---- connection --------------------------------------------------------------------------------------------------------

static int refuse(int fd, const char *place) {
    fprintf(stderr, "kiln: -g %s: %s\n", place, strerror(errno));
    if (fd >= 0) close(fd);
    return -1;
}

// PORT: this machine alone; :PORT: anybody; ADDRESS:PORT: through this address. False: it is no such thing.
static bool read_address(const char *place, struct sockaddr_in *address) {
    char host[64] = "127.0.0.1", *end;
    const char *colon = strrchr(place, ':'), *port = colon ? colon + 1 : place;
    unsigned long number = strtoul(port, &end, 10);
    if (*port < '0' || *port > '9' || *end || number == 0 || number > 65535) return false;
    if (colon) snprintf(host, sizeof host, "%.*s", (int)(colon - place), colon > place ? place : "0.0.0.0");
    if (colon == place) strcpy(host, "0.0.0.0");
    if (strcmp(host, "localhost") == 0) strcpy(host, "127.0.0.1");
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)number)};
    return inet_pton(AF_INET, host, &address->sin_addr) == 1;
}

static int listen_tcp(const char *place, const struct sockaddr_in *address) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    bool good = fd >= 0 && bind(fd, (const struct sockaddr *)address, sizeof *address) == 0 && listen(fd, 1) == 0;
    return good ? fd : refuse(fd, place);
}

static int listen_unix(const char *place) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat st;
    if (strlen(place) >= sizeof address.sun_path) errno = ENAMETOOLONG;
    int fd = strlen(place) >= sizeof address.sun_path ? -1 : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return refuse(fd, place);
    strcpy(address.sun_path, place);
    if (lstat(place, &st) == 0 && S_ISSOCK(st.st_mode)) unlink(place); // left by one that was killed
    bool good = bind(fd, (const struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 1) == 0;
    return good ? fd : refuse(fd, place);
}

bool gdb_wire_accept(GdbWire *wire, const char *place) {
    struct sockaddr_in address;
    bool tcp = read_address(place, &address);
    int on = 1, listening = tcp ? listen_tcp(place, &address) : listen_unix(place);
    *wire = (GdbWire){.fd = -1};
    if (listening < 0) return false;
    do wire->fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    while (wire->fd < 0 && errno == EINTR);
    if (wire->fd < 0) return refuse(listening, place), false;
    close(listening);
    if (tcp) setsockopt(wire->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    else unlink(place);
    return true;
}

// ---- packets -----------------------------------------------------------------------------------------------------------

static int next_char(GdbWire *wire) {
    if (wire->in_start == wire->in_end) {
        ssize_t n;
        do n = recv(wire->fd, wire->in, sizeof wire->in, 0);
        while (n < 0 && errno == EINTR);
        if (n <= 0) return -1;
        wire->in_start = 0;
        wire->in_end = (size_t)n;
    }
    return (unsigned char)wire->in[wire->in_start++];
}

static bool send_all(GdbWire *wire, const char *text, size_t length) {
    while (length) {
        ssize_t n = send(wire->fd, text, length, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        text += n;
        length -= (size_t)n;
    }
    return true;
}

// Behind '$', up to the checksum. -1: connection gone; -2: damaged or too long.
static long read_frame(GdbWire *wire, char packet[GDB_PACKET + 1]) {
    size_t length = 0;
    unsigned char sum = 0, sent;
    bool escaped = false, fits = true;
    int c;
    while ((c = next_char(wire)) >= 0 && c != '#') {
        sum += (unsigned char)c;
        if (c == '}' && !escaped) {
            escaped = true;
            continue;
        }
        if (length < GDB_PACKET) packet[length++] = (char)(escaped ? c ^ 0x20 : c);
        else fits = false;
        escaped = false;
    }
    int high = c < 0 ? -1 : next_char(wire), low = high < 0 ? -1 : next_char(wire);
    if (low < 0) return -1;
    packet[length] = '\0';
    char digits[3] = {(char)high, (char)low, '\0'};
    return fits && hex_to(&sent, digits, 1) && sent == sum ? (long)length : -2;
}

long gdb_wire_receive(GdbWire *wire, char packet[GDB_PACKET + 1]) {
    for (;;) {
        int c = next_char(wire);
        if (c < 0) return -1;
        if (c == 3) return strcpy(packet, "\003"), 1;
        if (c != '$') continue; // acknowledgements: what was sent has arrived, as the socket is reliable
        long length = read_frame(wire, packet);
        if (length == -1) return -1;
        if (!wire->no_ack && !send_all(wire, length < 0 ? "-" : "+", 1)) return -1;
        if (length >= 0) return length;
    }
}

bool gdb_wire_send(GdbWire *wire, const char *packet, size_t length) {
    static char frame[2 * GDB_PACKET + 8]; // one thread talks at a time
    size_t n = 0;
    unsigned char sum = 0;
    frame[n++] = '$';
    for (size_t i = 0; i < length && n < 2 * GDB_PACKET; i++) {
        if (strchr("$#}*", packet[i])) {
            frame[n++] = '}';
            frame[n++] = (char)(packet[i] ^ 0x20);
        } else {
            frame[n++] = packet[i];
        }
    }
    for (size_t i = 1; i < n; i++) sum += (unsigned char)frame[i];
    n += (size_t)sprintf(frame + n, "#%02x", sum);
    return send_all(wire, frame, n);
}

int gdb_wire_interrupted(GdbWire *wire) {
    while (wire->in_start == wire->in_end) {
        struct pollfd wait = {.fd = wire->fd, .events = POLLIN};
        if (poll(&wait, 1, 0) <= 0) return 0;
        ssize_t n = recv(wire->fd, wire->in, sizeof wire->in, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return -1;
        if (n < 0) return 0;
        wire->in_start = 0;
        wire->in_end = (size_t)n;
        while (wire->in_start < wire->in_end && wire->in[wire->in_start] == '+') wire->in_start++;
    }
    if (wire->in[wire->in_start] != 3) return 1; // it says something else: it has stopped listening to us going on
    wire->in_start++;
    return 1;
}

// ---- hexadecimal -------------------------------------------------------------------------------------------------------

void hex_from(char *to, const void *from, size_t size) {
    const uint8_t *bytes = from;
    for (size_t i = 0; i < size; i++) {
        to[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        to[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    to[2 * size] = '\0';
}

static int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_to(void *to, const char *from, size_t size) {
    for (size_t i = 0; i < size; i++) {
        int high = digit(from[2 * i]), low = high < 0 ? -1 : digit(from[2 * i + 1]);
        if (low < 0) return false;
        ((uint8_t *)to)[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

// ---- signals -----------------------------------------------------------------------------------------------------------

// gdb's numbers of the signals that have a name, by the host's; real-time ones follow a rule with two exceptions.
static const uint8_t gdb_numbers[32] = {
    [SIGHUP] = 1,     [SIGINT] = 2,   [SIGQUIT] = 3,   [SIGILL] = 4,   [SIGTRAP] = 5,  [SIGABRT] = 6,
    [SIGFPE] = 8,     [SIGKILL] = 9,  [SIGBUS] = 10,   [SIGSEGV] = 11, [SIGSYS] = 12,  [SIGPIPE] = 13,
    [SIGALRM] = 14,   [SIGTERM] = 15, [SIGURG] = 16,   [SIGSTOP] = 17, [SIGTSTP] = 18, [SIGCONT] = 19,
    [SIGCHLD] = 20,   [SIGTTIN] = 21, [SIGTTOU] = 22,  [SIGIO] = 23,   [SIGXCPU] = 24, [SIGXFSZ] = 25,
    [SIGVTALRM] = 26, [SIGPROF] = 27, [SIGWINCH] = 28, [SIGUSR1] = 30, [SIGUSR2] = 31, [SIGPWR] = 32,
};
enum { GDB_UNKNOWN = 143, GDB_SIG32 = 77, GDB_SIG33 = 45, GDB_SIG64 = 78 };

int gdb_signal_from_host(int signal) {
    if (signal > 0 && signal < 32) return gdb_numbers[signal] ? gdb_numbers[signal] : GDB_UNKNOWN;
    if (signal == 32) return GDB_SIG32;
    return signal == 64 ? GDB_SIG64 : signal > 32 && signal < 64 ? GDB_SIG33 + signal - 33 : 0;
}

int gdb_signal_to_host(int signal) {
    for (int host = 1; host <= LINUX_SIGNALS && signal; host++)
        if (gdb_signal_from_host(host) == signal) return host;
    return 0;
}
