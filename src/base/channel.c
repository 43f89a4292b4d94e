// SPDX-License-Identifier: MIT
//
// Packets, and what travels beside them as descriptors.
//
// A packet without a descriptor is a message. A packet with one is a message that lies in a sealed memory file; its bytes (the
// size, for a reader of strace) are not looked at. A message is never empty, because an empty packet looks like the end.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/channel.h"

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE, DESCRIPTORS = 4 };

typedef union Control {
    char bytes[CMSG_SPACE(DESCRIPTORS * sizeof(int))];
    struct cmsghdr align;
} Control;

static ChannelOutcome outcome_of_errno(void) {
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR || errno == ENOBUFS || errno == ENOMEM || errno == ETOOMANYREFS
               ? CHANNEL_AGAIN
               : CHANNEL_BROKEN;
}

// One packet, with a descriptor if it is not negative.
static ssize_t send_packet(int fd, const void *data, size_t size, int descriptor) {
    struct iovec piece = {(void *)(uintptr_t)data, size};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    Control control;
    memset(&control, 0, sizeof control);
    if (descriptor >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    }
    ssize_t sent;
    do sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent;
}

bool write_all(int fd, const uint8_t *data, size_t size) {
    while (size) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        data += n;
        size -= (size_t)n;
    }
    return true;
}

// The process's limit on the size of files counts for memory files too, and who meets it gets a signal.
static bool is_allowed(size_t size) {
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) != 0 || size <= limit.rlim_cur;
}

static ChannelOutcome send_large(int fd, const uint8_t *data, size_t size) {
    if (!is_allowed(size)) return CHANNEL_TOO_LARGE;
    int file = memfd_create("kiln-message", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (file < 0) return CHANNEL_AGAIN;
    ChannelOutcome outcome = CHANNEL_AGAIN;
    uint64_t length = size;
    if (write_all(file, data, size) && fcntl(file, F_ADD_SEALS, SEALS) == 0)
        outcome = send_packet(fd, &length, sizeof length, file) >= 0 ? CHANNEL_OK : outcome_of_errno();
    close(file);
    return outcome;
}

ChannelOutcome channel_send(int fd, const uint8_t *data, size_t size) {
    if (size == 0 || size > CHANNEL_LARGEST) return CHANNEL_TOO_LARGE;
    if (size > CHANNEL_PACKET) return send_large(fd, data, size);
    if (send_packet(fd, data, size, -1) >= 0) return CHANNEL_OK;
    return errno == EMSGSIZE ? send_large(fd, data, size) : outcome_of_errno();
}

// The first descriptor of a received packet, or -1; further ones are closed.
static int take_descriptor(struct msghdr *message) {
    int taken = -1;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int descriptor;
            memcpy(&descriptor, CMSG_DATA(header) + i * sizeof descriptor, sizeof descriptor);
            if (taken < 0) taken = descriptor;
            else close(descriptor);
        }
    }
    return taken;
}

static ssize_t receive_packet(int fd, void *data, size_t size, int flags, int *descriptor) {
    struct iovec piece = {data, size};
    Control control;
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    ssize_t received;
    do received = recvmsg(fd, &message, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (received < 0 && errno == EINTR);
    *descriptor = received < 0 ? -1 : take_descriptor(&message);
    return received;
}

// What the sender could still change is not read.
static ChannelOutcome read_file(int file, uint8_t **data, size_t *size) {
    struct stat status;
    int seals = fcntl(file, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS || fstat(file, &status) != 0) return CHANNEL_BROKEN;
    if (status.st_size <= 0 || status.st_size > CHANNEL_LARGEST) return CHANNEL_TOO_LARGE;
    size_t length = (size_t)status.st_size, done = 0;
    uint8_t *bytes = malloc(length);
    if (!bytes) return CHANNEL_TOO_LARGE;
    while (done < length) {
        ssize_t n = pread(file, bytes + done, length - done, (off_t)done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        done += (size_t)n;
    }
    if (done < length) {
        free(bytes);
        return CHANNEL_BROKEN;
    }
    *data = bytes;
    *size = length;
    return CHANNEL_OK;
}

ChannelOutcome channel_receive(int fd, uint8_t **data, size_t *size) {
    ssize_t length;
    do length = recv(fd, NULL, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
    while (length < 0 && errno == EINTR);
    if (length < 0) return outcome_of_errno();
    if (length == 0) return CHANNEL_BROKEN;
    if (length > CHANNEL_PACKET) length = 1; // nobody who keeps to the rules sends that: what is cut off is refused below
    uint8_t *bytes = malloc((size_t)length);
    if (!bytes) return CHANNEL_AGAIN;
    int file;
    ssize_t received = receive_packet(fd, bytes, (size_t)length, 0, &file);
    ChannelOutcome outcome = received > 0 ? CHANNEL_OK : received == 0 ? CHANNEL_BROKEN : outcome_of_errno();
    if (outcome == CHANNEL_OK && file < 0) {
        *data = bytes;
        *size = (size_t)received;
        return CHANNEL_OK;
    }
    free(bytes);
    if (outcome == CHANNEL_OK) outcome = read_file(file, data, size);
    if (file >= 0) close(file);
    return outcome;
}

ChannelOutcome channel_open(int hub, int *fd) {
    int ends[2];
    *fd = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return CHANNEL_AGAIN;
    static const char greeting = 'c';
    ChannelOutcome outcome = send_packet(hub, &greeting, 1, ends[1]) >= 0 ? CHANNEL_OK : outcome_of_errno();
    close(ends[1]);
    if (outcome == CHANNEL_OK) *fd = ends[0];
    else close(ends[0]);
    return outcome;
}

ChannelOutcome channel_accept(int hub, int *fd) {
    for (;;) {
        char byte;
        ssize_t received = receive_packet(hub, &byte, 1, 0, fd);
        if (received == 0) {
            if (*fd >= 0) close(*fd);
            return CHANNEL_BROKEN;
        }
        if (received < 0) return outcome_of_errno();
        if (*fd >= 0) return CHANNEL_OK; // else a packet that brings nothing: the next one
    }
}

bool token_put(int mailbox, Token token, int descriptor) {
    uint8_t byte = (uint8_t)token;
    return send_packet(mailbox, &byte, 1, descriptor) == 1;
}

// A hub for which there is no descriptor left is none.
Token token_look(int mailbox, bool take, int *descriptor) {
    uint8_t byte;
    if (receive_packet(mailbox, &byte, 1, take ? 0 : MSG_PEEK, descriptor) != 1) return TOKEN_TAKEN;
    return byte == TOKEN_HUB && *descriptor < 0 ? TOKEN_NONE : (Token)byte;
}
