// SPDX-License-Identifier: MIT
//
// Messages between a guest process and the optimizer, over a Unix socket of type SOCK_SEQPACKET: one message is one packet; what does
// not fit in a packet travels in a sealed memory file whose descriptor is the packet.
//
// The hub is a socket whose one end the optimizer holds and whose other end is inherited over fork: each packet on it carries one end
// of a new channel, so that a forked process opens a channel of its own without waiting for an answer. The optimizer ends when hub and
// channels are closed.
//
// A mailbox is a socket pair both of whose ends a family of processes inherits; it holds one packet, the token. Looking at the token
// gives a copy of the descriptor that travels with it; taking it makes its taker the only one who may put the next one.
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

typedef enum Token {
    TOKEN_TAKEN, // somebody has it
    TOKEN_FREE,  // nobody has started the optimizer yet
    TOKEN_HUB,   // here is the hub
    TOKEN_NONE   // it could not be started
} Token;
// `descriptor`: the hub, or -1.
bool token_put(int mailbox, Token token, int descriptor);
Token token_look(int mailbox, bool take, int *descriptor);

// To a file. False: errno says why, and a part of it may be there.
bool write_all(int fd, const uint8_t *data, size_t size);

#endif
