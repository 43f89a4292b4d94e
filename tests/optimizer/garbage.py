# SPDX-License-Identifier: MIT
# An optimizer that answers every request with what is no result. Socket 3 is the hub (src/base/channel.h).
import os
import random
import select
import socket

hub, channels = socket.socket(fileno=3), []
while hub or channels:
    ready, _, _ = select.select([s for s in (hub, *channels) if s], [], [])
    for s in ready:
        if s is hub:
            data, fds, _, _ = socket.recv_fds(hub, 16, 4)
            channels += [socket.socket(fileno=fd) for fd in fds]
            hub = hub if data else None
            continue
        request = s.recv(1 << 20)
        if not request:
            channels.remove(s)
            continue
        kind = random.randrange(4)
        answer = [os.urandom(random.randrange(1, 3000)), request[:random.randrange(1, len(request) + 1)], b"\0" * 64,
                  bytes(b ^ (random.random() < 0.01) for b in request)][kind]
        try:
            s.send(answer)
        except OSError:
            channels.remove(s)
