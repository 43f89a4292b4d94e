// SPDX-License-Identifier: MIT
//
// Messages between a guest process and the optimizer, over a Unix socket of type SOCK_SEQPACKET: one message is one packet; what does
// not fit in a packet travels in a sealed memory file whose descriptor is the packet.
//
// The hub is a socket whose one end the optimizer holds and whose other end is inherited over fork: each packet on it carries one end
// of a new channel, so that a forked process opens a channel of its own without waiting for an answer. The optimizer ends when hub and
// channels are closed.
#ifndef KILN_BASE_CHANNEL_H
#define KILN_BASE_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CHANNEL_PACKET = 128 << 10, CHANNEL_LARGEST = 16 << 20 };

typedef enum ChannelOutcome {
    CHANNEL_OK,
    CHANNEL_AGAIN /* would have to wait */,
    CHANNEL_BROKEN,
    CHANNEL_TOO_LARGE
} ChannelOutcome;

// Neither waits. Close-on-exec for every descriptor that comes into being.
ChannelOutcome channel_send(int fd, const uint8_t *data, size_t size);
// *data is malloc'ed, the caller's.
ChannelOutcome channel_receive(int fd, uint8_t **data, size_t *size);

// Makes a channel and hands its other end over through the hub. AGAIN: not possible now; BROKEN: never again.
ChannelOutcome channel_open(int hub, int *fd);
// The optimizer's side: the next channel that was handed over.
ChannelOutcome channel_accept(int hub, int *fd);

#endif
