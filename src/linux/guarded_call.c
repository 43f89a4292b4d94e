// SPDX-License-Identifier: MIT
//
// System calls where code is guarded (engine/guard.c): the kernel must be able to write what a call fills in, also where code lies.
#include "linux/guarded_call.h"
#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { MOST_STRUCT_BYTES = 512, MOST_VECTORS = 1024 };

static void open_bytes(Engine *engine, uint64_t address, uint64_t size) {
    if (address && size && address + size > address) engine_open_code(engine, address, address + size);
}

static void open_vectors(Engine *engine, uint64_t address, uint64_t count) {
    struct iovec vector;
    for (uint64_t i = 0; i < count && i < MOST_VECTORS && guest_read(&vector, address + i * sizeof vector, sizeof vector); i++)
        open_bytes(engine, (uint64_t)vector.iov_base, vector.iov_len);
}

static void open_message(Engine *engine, uint64_t address) {
    struct msghdr message;
    if (!guest_read(&message, address, sizeof message)) return;
    open_bytes(engine, address, sizeof message);
    open_bytes(engine, (uint64_t)message.msg_name, message.msg_namelen);
    open_bytes(engine, (uint64_t)message.msg_control, message.msg_controllen);
    open_vectors(engine, (uint64_t)message.msg_iov, message.msg_iovlen);
}

static void open_argument(Engine *engine, uint16_t kind, uint64_t address, uint64_t next) {
    if (kind == ARG_OUTBUF) {
        open_bytes(engine, address, next);
        return;
    }
    if (!(kind & ARG_STRUCT) || !(kind & ARG_OUT)) return;
    switch (kind & 0xff) {
    case STRUCT_IOVEC: open_vectors(engine, address, next); break;
    case STRUCT_MSGHDR: open_message(engine, address); break;
    case STRUCT_POLLFD: open_bytes(engine, address, 8 * (uint64_t)(uint32_t)next); break;
    case STRUCT_EPOLL_EVENT: open_bytes(engine, address, 16 * (uint64_t)(uint32_t)next); break;
    default: open_bytes(engine, address, MOST_STRUCT_BYTES);
    }
}

long guarded_call(LinuxThread *t, const SyscallRow *row, const uint64_t args[6], SyscallRun *run) {
    Engine *engine = t->process->engine;
    for (int i = 0; row && i < 6 && row->args[i]; i++) open_argument(engine, row->args[i], args[i], i < 5 ? args[i + 1] : 0);
    long result = run(t, row, args);
    // What the table does not describe; or code was made there meanwhile.
    while (result == -EFAULT && engine_open_all_code(engine)) result = run(t, row, args);
    return result;
}
